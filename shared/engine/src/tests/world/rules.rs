//! Stand-ins for the proof verifier and the policy evaluator of the test world.

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
        let (subject, made_for, task) = (words.next().unwrap(), words.next().unwrap(), words.next());
        let expected = match audience {
            Audience::Ask => "ask",
            Audience::Approvals => "approve",
            Audience::Credentials => "credentials",
        };
        if made_for != expected {
            return Err(refused("token_audience", false));
        }
        let identity = self.0.get(subject).cloned().ok_or_else(|| refused("identity_unregistered", true))?;
        let proof = ProofSummary::Token {
            issuer: "okta".parse().unwrap(),
            subject: subject.to_owned(),
            token_digest: Digest::of_bytes(proof.expose().as_bytes()),
            issued_at: now,
            expires_at: now.plus(300),
            auth: AuthContext { mfa: task == Some("mfa"), ..AuthContext::default() },
        };
        Ok(Caller { identity, task: task.map(|task| Task::try_from(task.to_owned()).unwrap()), proof })
    }
}

/// Allows pipelines at once and agents with one approval, and denies everybody else. Omar and lea approve.
pub(super) struct ClassPolicy(pub(super) Deployment, pub(super) Arc<Mutex<Rules>>);

/// The decisions of [`ClassPolicy`]. A test changes them as a new bundle would.
pub(in crate::tests) struct Rules {
    pub(in crate::tests) bundle: Digest,
    pub(in crate::tests) entitlements: Vec<Entitlement>,
    pub(in crate::tests) registered: BTreeMap<String, Identity>,
    pub(in crate::tests) schedules: Schedules,
    pub(in crate::tests) approvers: Vec<&'static str>,
    /// The number of approvals required.
    pub(in crate::tests) count: u8,
    /// Whether humans and workloads may request with approval, as agents may.
    pub(in crate::tests) humans_with_approval: bool,
    /// The approval steps, if not a single step of `count` and `approvers`.
    pub(in crate::tests) steps: Option<Vec<Step>>,
    /// Secrets to rotate when any grant ends.
    pub(in crate::tests) rotate: Vec<Rotation>,
    /// The number of times in a row that any grant may be renewed.
    pub(in crate::tests) max_renewals: u32,
    /// The separation-of-duties rules of every entitlement.
    pub(in crate::tests) duties: Duties,
    /// The reason to deny every request, if set.
    pub(in crate::tests) denied: Option<String>,
}

#[async_trait]
impl Evaluator for ClassPolicy {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let rules = self.1.lock().unwrap();
        let entitlement = rules.entitlements.iter().find(|known| known.id == request.ask.entitlement).cloned();
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
                    let approvers = rules.approvers.iter().map(|name| name.parse().unwrap()).collect();
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
        let found = rules.entitlements.iter().find(|known| known.id == *entitlement);
        Ok(found.and_then(Entitlement::break_glass_use))
    }

    async fn may_approve(&self, _: &Caller, _: &Decision, _: Timestamp) -> Result<Vec<String>, EvaluatorError> {
        Ok(vec!["anybody-apart".to_owned()])
    }
}
