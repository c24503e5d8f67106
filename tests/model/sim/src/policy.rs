//! Scripted proofs and a scripted policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use brevet_domain::bundle::{BundleText, Schedules};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Step, Traits, Verdict};
use brevet_domain::duties::Duties;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Audience, AuthContext, Caller, Identity, ProofSummary, Task};
use brevet_domain::plan::PlanTemplate;
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::ManualClock;
use brevet_engine::port::{Clock, Evaluator, EvaluatorError, ProofRefused, ProofVerifier, RawProof};

use crate::catalogue::{self, APPROVERS, MAX_RENEWALS, PAIR, needs_votes};
use crate::ledger::{Asked, Ledger};

/// The catalogue in force, for the policy and the proofs.
#[derive(Debug)]
pub struct Rules {
    pub bundle: Digest,
    /// The listed entitlements.
    pub entitlements: Vec<Entitlement>,
    /// The registered identities.
    pub registered: BTreeMap<String, Identity>,
    pub schedules: Schedules,
}

impl Rules {
    /// The first catalogue of a world, and its bundle.
    #[must_use]
    pub fn first() -> (Self, BundleText) {
        static BUILT: OnceLock<BundleText> = OnceLock::new();
        let text = BUILT.get_or_init(|| catalogue::without(None).2).clone();
        let (registered, entitlements) = (catalogue::people(), catalogue::entitlements());
        (Self { bundle: text.digest, entitlements, registered, schedules: catalogue::schedules() }, text)
    }
}

/// Locks, also after a run that panicked.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proof is the text of identity and audience, as in `bot ask`. It names a task unless it ends in `for no task`.
pub(crate) struct TextProofs(pub(crate) Arc<Mutex<Rules>>);

#[async_trait]
impl ProofVerifier for TextProofs {
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused> {
        let refused = |code: &'static str, unregistered| {
            Err(ProofRefused { code, message: code.to_owned(), unavailable: false, unregistered })
        };
        let expected = match audience {
            Audience::Ask => "ask",
            Audience::Approvals => "approve",
            Audience::Credentials => "credentials",
        };
        let (text, is_tasked) = match proof.expose().strip_suffix(" for no task") {
            Some(text) => (text, false),
            None => (proof.expose(), true),
        };
        let (who, made_for) = text.split_once(' ').unwrap_or_default();
        if made_for != expected {
            return refused("token_audience", false);
        }
        let Some(identity) = locked(&self.0).registered.get(who).cloned() else {
            return refused("identity_unregistered", true);
        };
        let proof = ProofSummary::Token {
            issuer: "okta".parse().expect("an issuer"),
            subject: who.to_owned(),
            token_digest: Digest::of_bytes(proof.expose().as_bytes()),
            issued_at: now,
            expires_at: now.plus(300),
            auth: AuthContext::default(),
        };
        Ok(Caller { identity, task: Task::try_from("run-1".to_owned()).ok().filter(|_| is_tasked), proof })
    }
}

/// The approval steps: one vote of either approver, or for [`PAIR`] one vote of each in turn.
fn steps(entitlement: &str) -> Vec<Step> {
    let people = |names: &[&str]| names.iter().map(|who| who.parse().expect("a name")).collect();
    if entitlement != PAIR {
        return vec![Step::single(1, people(&APPROVERS))];
    }
    let step = |name: &str, who: &str| Step { name: name.parse().expect("a name"), ..Step::single(1, people(&[who])) };
    vec![step("first", APPROVERS[0]), step("second", APPROVERS[1])]
}

/// Allows pipelines at once, agents and people with approval, and other classes never. Allows break-glass to people
/// only, at once. Records every evaluated request in the ledger.
pub(crate) struct ClassPolicy {
    pub(crate) deployment: Deployment,
    pub(crate) rules: Arc<Mutex<Rules>>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) true_clock: Arc<ManualClock>,
}

#[async_trait]
impl Evaluator for ClassPolicy {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let rules = locked(&self.rules);
        let listed = rules.entitlements.iter().find(|one| one.id == request.ask.entitlement);
        let entitlement = listed.ok_or_else(|| EvaluatorError::UnknownEntitlement(request.ask.entitlement.clone()))?;
        let who = &caller.identity;
        let at = self.true_clock.now();
        let asked = Asked {
            identity: who.clone(),
            entitlement: entitlement.id.to_string(),
            at,
            on_behalf_of: request.ask.on_behalf_of.clone(),
            renews: request.ask.renews,
            schedule: caller.proof.schedule().cloned(),
        };
        // A rehearsal is not a request.
        if request.id != GrantId::NONE {
            locked(&self.ledger).judge(request.id, asked);
        }
        let outcome = match needs_votes(who.class, entitlement.id.as_str()) {
            Some(0) => Outcome::Allow,
            Some(_) => Outcome::NeedsApproval {
                steps: steps(entitlement.id.as_str()),
                deadline: now.plus(entitlement.approval.within_s),
            },
            None => Outcome::Deny { reason: "no policy allows it".to_owned() },
        };
        let rotate = if matches!(outcome, Outcome::Deny { .. }) { Vec::new() } else { entitlement.rotate.clone() };
        let template = PlanTemplate::for_grant(
            &self.deployment,
            entitlement,
            &request.ask.parameters,
            &who.id,
            caller.task.as_ref(),
            request.id,
        );
        Ok(Verdict {
            bundle_digest: rules.bundle,
            outcome,
            determining: vec!["by-class".to_owned()],
            template: template.ok().map(|template| template.on_behalf_of(request.ask.on_behalf_of.as_ref())),
            term: request.ask.term_s,
            start_within_s: entitlement.start_within_s,
            max_renewals: MAX_RENEWALS,
            traits: Traits { rotate, break_glass: entitlement.break_glass_use(), ..Traits::default() },
            duties: Duties::default(),
            nearest: None,
        })
    }

    async fn registered(&self, id: &IdentityId, _: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        Ok(locked(&self.rules).registered.get(id.as_str()).cloned())
    }

    async fn schedules(&self, _: Timestamp) -> Result<Schedules, EvaluatorError> {
        Ok(locked(&self.rules).schedules.clone())
    }

    async fn reviewer(&self, id: &EntitlementId, _: Timestamp) -> Result<Option<BreakGlassUse>, EvaluatorError> {
        let rules = locked(&self.rules);
        Ok(rules.entitlements.iter().find(|one| one.id == *id).and_then(Entitlement::break_glass_use))
    }

    async fn may_approve(&self, _: &Caller, _: &Decision, _: Timestamp) -> Result<Vec<String>, EvaluatorError> {
        Ok(vec!["independent-approver".to_owned()])
    }
}
