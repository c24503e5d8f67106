//! Who is believed and what is allowed in the small world: stand-ins of the ports that say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::bundle::Schedules;
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Step, Traits, Verdict};
use brevet_domain::duties::Duties;
use brevet_domain::entitlement::{Entitlement, Rotation};
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Audience, AuthContext, Caller, Identity, IdentityClass, ProofSummary, Task};
use brevet_domain::plan::PlanTemplate;
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;

use crate::port::{Evaluator, EvaluatorError, ProofRefused, ProofVerifier, RawProof};

/// Proofs are texts like `bot ask run-1`: identity, audience, task. `omar approve mfa` shows two factors.
pub(super) struct TextProofs(pub(super) BTreeMap<String, Identity>);

#[async_trait]
impl ProofVerifier for TextProofs {
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused> {
        let refused =
            |code, unregistered| ProofRefused { code, message: code.to_owned(), unavailable: false, unregistered };
        let mut words = proof.expose().split(' ');
        let (who, made_for, task) = (words.next().unwrap(), words.next().unwrap(), words.next());
        let wanted = match audience {
            Audience::Ask => "ask",
            Audience::Approvals => "approve",
            Audience::Credentials => "credentials",
        };
        if made_for != wanted {
            return Err(refused("token_audience", false));
        }
        let identity = self.0.get(who).cloned().ok_or_else(|| refused("identity_unregistered", true))?;
        let proof = ProofSummary::Token {
            issuer: "okta".parse().unwrap(),
            subject: who.to_owned(),
            token_digest: Digest::of_bytes(proof.expose().as_bytes()),
            issued_at: now,
            expires_at: now.plus(300),
            auth: AuthContext { mfa: task == Some("mfa"), ..AuthContext::default() },
        };
        Ok(Caller { identity, task: task.map(|task| Task::try_from(task.to_owned()).unwrap()), proof })
    }
}

/// Pipelines get it at once, agents with one approval, others not at all. Omar and lea approve.
pub(super) struct ClassPolicy(pub(super) Deployment, pub(super) Arc<Mutex<Rules>>);

/// What [`ClassPolicy`] says, as far as a test may change it: as another bundle would.
pub(in crate::tests) struct Rules {
    pub(in crate::tests) bundle: Digest,
    pub(in crate::tests) entitlements: Vec<Entitlement>,
    pub(in crate::tests) registered: BTreeMap<String, Identity>,
    pub(in crate::tests) schedules: Schedules,
    /// Who may approve.
    pub(in crate::tests) approvers: Vec<&'static str>,
    /// How many must.
    pub(in crate::tests) count: u8,
    /// Whether people get it as agents do.
    pub(in crate::tests) humans_with_approval: bool,
    /// Which steps, where they are not a single one of these.
    pub(in crate::tests) steps: Option<Vec<Step>>,
    /// Secrets to rotate at the end of anything.
    pub(in crate::tests) rotate: Vec<Rotation>,
    /// How often in a row anything may be renewed.
    pub(in crate::tests) max_renewals: u32,
    /// What must not be held beside anything.
    pub(in crate::tests) duties: Duties,
    /// Why nobody may have anything, if so.
    pub(in crate::tests) denied: Option<String>,
}

#[async_trait]
impl Evaluator for ClassPolicy {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let rules = self.1.lock().unwrap();
        let entitlement = rules.entitlements.iter().find(|one| one.id == request.ask.entitlement).cloned();
        let entitlement =
            entitlement.ok_or_else(|| EvaluatorError::UnknownEntitlement(request.ask.entitlement.clone()))?;
        let outcome = match caller.identity.class {
            _ if rules.denied.is_some() => Outcome::Deny { reason: rules.denied.clone().unwrap() },
            IdentityClass::Pipeline => Outcome::Allow,
            _ if entitlement.break_glass.is_some() => Outcome::Allow,
            IdentityClass::Human | IdentityClass::Workload if !rules.humans_with_approval => {
                Outcome::Deny { reason: "no policy allows it".to_owned() }
            }
            IdentityClass::Human | IdentityClass::Workload | IdentityClass::Agent => Outcome::NeedsApproval {
                steps: rules.steps.clone().unwrap_or_else(|| {
                    let approvers = rules.approvers.iter().map(|who| who.parse().unwrap()).collect();
                    vec![Step::single(rules.count, approvers)]
                }),
                deadline: now.plus(600),
            },
        };
        let template = PlanTemplate::for_grant(
            &self.0,
            &entitlement,
            &request.ask.parameters,
            &caller.identity.id,
            caller.task.as_ref(),
            request.id,
        );
        Ok(Verdict {
            bundle_digest: rules.bundle,
            outcome,
            determining: vec!["by-class".to_owned()],
            nearest: None,
            template: Some(template.unwrap().on_behalf_of(request.ask.on_behalf_of.as_ref())),
            term: request.ask.term_s,
            start_within_s: entitlement.start_within_s,
            max_renewals: rules.max_renewals,
            traits: Traits {
                break_glass: entitlement.break_glass_use(),
                rotate: if rules.denied.is_some() { Vec::new() } else { rules.rotate.clone() },
                canary: entitlement.canary,
                ..Traits::default()
            },
            duties: rules.duties.clone(),
        })
    }

    async fn registered(&self, id: &IdentityId, _: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        Ok(self.1.lock().unwrap().registered.get(id.as_str()).cloned())
    }

    async fn schedules(&self, _: Timestamp) -> Result<Schedules, EvaluatorError> {
        Ok(self.1.lock().unwrap().schedules.clone())
    }

    async fn reviewer(
        &self,
        entitlement: &EntitlementId,
        _: Timestamp,
    ) -> Result<Option<BreakGlassUse>, EvaluatorError> {
        let rules = self.1.lock().unwrap();
        let one = rules.entitlements.iter().find(|one| one.id == *entitlement);
        Ok(one.and_then(Entitlement::break_glass_use))
    }

    async fn may_approve(&self, _: &Caller, _: &Decision, _: Timestamp) -> Result<Vec<String>, EvaluatorError> {
        Ok(vec!["anybody-apart".to_owned()])
    }
}
