//! One grant as its holder, sponsor or approver sees it.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Step, Tally, Traits};
use brevet_domain::delegation::Delegated;
use brevet_domain::entitlement::ParameterValue;
use brevet_domain::grant::{
    Acknowledged, Delivery, DeniedBy, EffectiveAccess, EndCause, EndedBy, Grant, LapseCause, Problem, Proof, Revoking,
    SecretRotation, Sighting, State, Vend, Vends,
};
use brevet_domain::id::{EntitlementId, GrantId, IdentityId, ScheduleId, StepName};
use brevet_domain::identity::{IdentityClass, Task};
use brevet_domain::renewal::Renewal;
use brevet_domain::request::{Justification, Request, Ticket};
use brevet_domain::review::Review;
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

/// A grant, or a request that is not decided yet. What does not apply is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its name.
    pub id: GrantId,
    /// Its state; `Requested` until it is decided.
    pub state: &'static str,
    /// Who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityId>,
    /// The holder's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<IdentityClass>,
    /// The human who answers for the holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<IdentityId>,
    /// The delegation that it rests on: by whom, and which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegated>,
    /// The grant that it carries on, and the how-manyeth in a row it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// What it is a hold on.
    pub entitlement: EntitlementId,
    /// How access reaches the holder; left out where none ever will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryView>,
    /// The holder's task, from its proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The schedule of the catalogue that asked for it, where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleId>,
    /// How long it lasts from activation.
    pub term_s: Term,
    /// When it was decided; when it came in, until then.
    pub created_at: Timestamp,
    /// The digest of its decision: what an approver names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The bundle that it was decided under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// The policies that determined the decision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub determining: Vec<String>,
    /// What its entitlement says of it beside: risk, environment, secrets to rotate at its end, what outlives it.
    #[serde(flatten)]
    pub traits: Traits,
    /// What was asked, if it is still what was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestView>,
    /// Whose approval it awaits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalView>,
    /// From when it may be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Until when it may be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Timestamp>,
    /// When it was activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When access must be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What was vended; left out for an attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vends: Option<VendsView>,
    /// Its removal, while that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoking: Option<RevokingView>,
    /// Its end, once that is proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<EndView>,
    /// The secrets that are rotated since its end, and how far that has come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationView>,
    /// Whether its use was reviewed, for break-glass that may have been used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Why it never came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of what awaits a reviewer, those that wait longest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReviewList {
    /// The grants. A page may hold none and yet not be the last.
    pub reviews: Vec<GrantView>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// The entitlement's parameters.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// The human on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    /// The grant to carry on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<GrantId>,
}

/// How access reaches the holder: never what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeliveryView {
    /// Credentials are vended.
    Session,
    /// An inline policy is put on a role.
    Inline {
        /// The role.
        principal_arn: String,
        /// The policy's name on it.
        policy_name: String,
    },
    /// A managed policy is attached to a role.
    Managed {
        /// The role.
        principal_arn: String,
        /// The policy's name.
        policy_name: String,
    },
}

/// Whose approval is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalView {
    /// The steps, one after the other: votes are counted in the first that lacks somebody.
    pub steps: Vec<StepView>,
    /// Until when all of them.
    pub deadline: Timestamp,
}

/// One step of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Its name; `approval` where there is but one.
    pub name: StepName,
    /// How many different people must say yes.
    pub needed: u8,
    /// Who has.
    pub approved_by: Vec<IdentityId>,
    /// Who may.
    pub approvers: BTreeSet<IdentityId>,
    /// Whether each must show more than one factor.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// How many seconds before the vote each may have signed in at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

/// What was vended: never a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendsView {
    /// How many times.
    pub count: u32,
    /// The last few.
    pub last: Vec<Vend>,
}

/// A removal that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokingView {
    /// Why it ends.
    pub cause: EndCause,
    /// Who asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<IdentityId>,
    /// Since when.
    pub since: Timestamp,
    /// Removals attempted.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// The first reading that showed it gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_absence: Option<Sighting>,
    /// What the check of effective permissions found since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
    /// Who in charge knows that it is overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

/// A proved end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndView {
    /// Why it ended.
    pub cause: EndCause,
    /// How that is known.
    pub proof: Proof,
    /// When it became known.
    pub verified_at: Timestamp,
    /// What ended it first.
    pub ended_by: EndedBy,
    /// What the check of effective permissions found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
}

/// A secret that is rotated since the grant's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RotationView {
    /// Its ARN; `-??????` at its end stands for what Secrets Manager adds to a name.
    pub secret: String,
    /// How often it is to be rotated.
    pub times: u8,
    /// How many rotations were seen done.
    pub done: u8,
    /// Rotations asked for.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// When it is looked at next; left out once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl GrantView {
    /// The view of what is stored at `now`; nothing if there is neither a grant nor a request.
    #[must_use]
    pub fn of(
        request: Option<&Request>,
        decision: Option<&Decision>,
        grant: Option<&Grant>,
        now: Timestamp,
    ) -> Option<Self> {
        match (grant, request) {
            (Some(grant), request) => Some(Self::decided(grant, decision, request)),
            (None, Some(request)) => Some(Self::requested(request, now)),
            (None, None) => None,
        }
    }

    fn requested(request: &Request, now: Timestamp) -> Self {
        let lapsed = now >= request.decide_by;
        Self {
            id: request.id,
            state: if lapsed { "Lapsed" } else { "Requested" },
            identity: None,
            class: None,
            sponsor: None,
            delegation: None,
            renewal: None,
            entitlement: request.ask.entitlement.clone(),
            delivery: None,
            task: None,
            schedule: None,
            term_s: request.ask.term_s,
            created_at: request.asked_at,
            digest: None,
            bundle: None,
            determining: Vec::new(),
            traits: Traits::default(),
            request: Some(RequestView::of(request)),
            approval: None,
            starts_at: None,
            start_by: None,
            activated_at: None,
            deadline: None,
            vends: None,
            revoking: None,
            end: None,
            rotations: Vec::new(),
            review: None,
            reason: lapsed.then(|| format!("it was not decided by {}", request.decide_by)),
        }
    }

    fn decided(grant: &Grant, decision: Option<&Decision>, request: Option<&Request>) -> Self {
        // A request is intake's word: shown only if it is what the decision was made about.
        let asked = request.filter(|request| {
            decision.is_some_and(|d| Digest::of(*request).is_ok_and(|digest| digest == d.terms.request_digest))
        });
        let view = Self {
            id: grant.id,
            state: grant.state.name(),
            identity: Some(grant.identity.clone()),
            class: Some(grant.class),
            sponsor: Some(grant.sponsor.clone()),
            delegation: decision.and_then(|d| d.terms.delegation.clone()),
            renewal: decision.and_then(|d| d.terms.renewal),
            entitlement: grant.entitlement.clone(),
            delivery: DeliveryView::of(grant),
            task: grant.task.clone(),
            schedule: decision.and_then(|d| d.terms.proof.schedule().cloned()),
            term_s: grant.term,
            created_at: grant.created_at,
            digest: Some(grant.decision_digest),
            bundle: decision.map(|d| d.terms.bundle_digest),
            determining: decision.map(|d| d.terms.determining.clone()).unwrap_or_default(),
            traits: decision.map(|d| d.terms.traits.clone()).unwrap_or_default(),
            request: asked.map(RequestView::of),
            approval: None,
            starts_at: None,
            start_by: None,
            activated_at: None,
            deadline: None,
            vends: None,
            revoking: None,
            end: None,
            rotations: RotationView::all(grant),
            review: grant.review.clone().filter(|review| *review != Review::Awaited || grant.awaits_review()),
            reason: None,
        };
        let view = view.in_state(&grant.state, decision);
        let vends = view.vends.filter(|_| matches!(grant.delivery, Delivery::Session { .. }));
        Self { vends, ..view }
    }

    fn in_state(self, state: &State, decision: Option<&Decision>) -> Self {
        match state {
            State::Denied { by, reason } => Self { reason: Some(denial(by, reason)), ..self },
            State::ApprovalAwaited { deadline, steps, .. } => {
                let steps = steps.iter().map(|tally| StepView::of(tally, decision)).collect();
                let approval = ApprovalView { steps, deadline: *deadline };
                Self { approval: Some(approval), ..self }
            }
            State::Lapsed { cause, at } => Self { reason: Some(lapse(*cause, *at)), ..self },
            State::Withdrawn { cause, by, at } => Self { reason: Some(withdrawal(*cause, by.as_ref(), *at)), ..self },
            State::Approved { starts_at, start_by } => {
                Self { starts_at: Some(*starts_at), start_by: Some(*start_by), ..self }
            }
            State::Activating { deadline, start_by, .. } => {
                Self { deadline: Some(*deadline), start_by: Some(*start_by), ..self }
            }
            State::Active { activated_at, deadline, vends, .. } => Self {
                activated_at: Some(*activated_at),
                deadline: Some(*deadline),
                vends: Some(VendsView::of(vends)),
                ..self
            },
            State::Revoking(revoking) => Self {
                deadline: Some(revoking.deadline),
                vends: Some(VendsView::of(&revoking.vends)),
                revoking: Some(RevokingView::of(revoking)),
                ..self
            },
            State::Ended { cause, proof, verified_at, ended_by, effective } => {
                let end = EndView {
                    cause: *cause,
                    proof: proof.clone(),
                    verified_at: *verified_at,
                    ended_by: *ended_by,
                    effective: effective.clone(),
                };
                Self { end: Some(end), ..self }
            }
        }
    }
}

impl DeliveryView {
    fn of(grant: &Grant) -> Option<Self> {
        if matches!(grant.state, State::Denied { .. }) {
            return None;
        }
        let name = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        Some(match &grant.delivery {
            Delivery::Session { .. } => Self::Session,
            Delivery::Inline { principal_arn, policy_name, .. } => {
                Self::Inline { principal_arn: principal_arn.clone(), policy_name: policy_name.clone() }
            }
            Delivery::Managed { principal_arn, policy_arn, .. } => {
                Self::Managed { principal_arn: principal_arn.clone(), policy_name: name(policy_arn) }
            }
        })
    }
}

impl RequestView {
    fn of(request: &Request) -> Self {
        let ask = &request.ask;
        Self {
            parameters: ask.parameters.clone(),
            ticket: ask.ticket.clone(),
            justification: ask.justification.clone(),
            on_behalf_of: ask.on_behalf_of.clone(),
            renews: ask.renews,
        }
    }
}

impl StepView {
    /// The step of `tally` as the decision has it. One that it does not have has no approvers.
    fn of(tally: &Tally, decision: Option<&Decision>) -> Self {
        let steps: &[Step] = match decision.map(|decision| &decision.terms.outcome) {
            Some(Outcome::NeedsApproval { steps, .. }) => steps,
            Some(Outcome::Allow | Outcome::Deny { .. }) | None => &[],
        };
        let step = steps.iter().find(|step| step.name == tally.step);
        Self {
            name: tally.step.clone(),
            needed: tally.needed,
            approved_by: tally.approved_by.clone(),
            approvers: step.map(|step| step.approvers.clone()).unwrap_or_default(),
            mfa: step.is_some_and(|step| step.mfa),
            auth_within_s: step.and_then(|step| step.auth_within_s),
        }
    }
}

impl VendsView {
    fn of(vends: &Vends) -> Self {
        Self { count: vends.count, last: vends.last.clone() }
    }
}

impl RevokingView {
    fn of(revoking: &Revoking) -> Self {
        Self {
            cause: revoking.cause,
            by: revoking.by.clone(),
            since: revoking.since,
            attempts: revoking.attempts,
            last_problem: revoking.last_problem.clone(),
            first_absence: revoking.first_absence.clone(),
            effective: revoking.effective.clone(),
            acknowledged: revoking.acknowledged.clone(),
        }
    }
}

impl RotationView {
    /// Nothing before the end is proved: until then the decision says what will be rotated.
    fn all(grant: &Grant) -> Vec<Self> {
        let State::Ended { verified_at, .. } = &grant.state else { return Vec::new() };
        grant.rotations.iter().map(|one| Self::of(one, *verified_at)).collect()
    }

    fn of(one: &SecretRotation, ended_at: Timestamp) -> Self {
        Self {
            secret: one.secret.clone(),
            times: one.times,
            done: one.done,
            attempts: one.attempts,
            last_problem: one.last_problem.clone(),
            next_at: one.is_pending().then(|| one.next_at.unwrap_or(ended_at)),
        }
    }
}

fn denial(by: &DeniedBy, reason: &str) -> String {
    match by {
        DeniedBy::Policy => reason.to_owned(),
        DeniedBy::Approver(who) => format!("`{who}` refused: {reason}"),
    }
}

fn lapse(cause: LapseCause, at: Timestamp) -> String {
    match cause {
        LapseCause::Approval => format!("its approvals did not come in time; lapsed at {at}"),
        LapseCause::Unfit => format!("its principal was not fit to have it attached; lapsed at {at}"),
        LapseCause::Start => format!("it was not started in time; lapsed at {at}"),
    }
}

fn withdrawal(cause: EndCause, by: Option<&IdentityId>, at: Timestamp) -> String {
    let cause = match cause {
        EndCause::Deadline => "its time was over",
        EndCause::Released => "released",
        EndCause::Revoked => "revoked",
        EndCause::Killed => "killed",
        EndCause::Leaver => "its identity, owner or entitlement left the catalogue",
        EndCause::Drift => "what stands in AWS had changed",
        EndCause::ActivationFailed => "it could not be activated for sure",
    };
    match by {
        Some(by) => format!("withdrawn before activation: {cause} by `{by}` at {at}"),
        None => format!("withdrawn before activation: {cause} at {at}"),
    }
}

#[cfg(test)]
mod tests;
