//! The view of one grant for its holder, sponsor or approver.

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Traits};
use brevet_domain::delegation::Delegated;
use brevet_domain::grant::{Delivery, DeniedBy, EndCause, Grant, LapseCause, State};
use brevet_domain::id::{EntitlementId, GrantId, IdentityId, ScheduleId};
use brevet_domain::identity::{IdentityClass, Task};
use brevet_domain::renewal::Renewal;
use brevet_domain::request::Request;
use brevet_domain::review::Review;
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

pub use self::parts::{
    ApprovalView, DeliveryView, EndView, RequestView, RevokingView, RotationView, StepView, VendsView,
};

mod parts;

/// A grant, or a request that is not decided yet. Fields that do not apply are omitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    pub id: GrantId,
    /// The state of the grant; `Requested` until it is decided.
    pub state: &'static str,
    /// The holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityId>,
    /// The holder's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<IdentityClass>,
    /// The human who is accountable for the holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<IdentityId>,
    /// The delegation that the grant rests on: the delegating human and the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegated>,
    /// The renewed grant, and the position of this grant in the row of renewals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// The entitlement that the grant gives.
    pub entitlement: EntitlementId,
    /// How access reaches the holder; omitted for a denied grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryView>,
    /// The task from the holder's proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The catalogue schedule that created the grant, if no caller requested it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleId>,
    /// The term, from activation.
    pub term_s: Term,
    /// The time of the decision; until then, the time of the request.
    pub created_at: Timestamp,
    /// The digest of the decision, which an approver must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The bundle that the grant was decided under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// The policies that determined the decision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub determining: Vec<String>,
    /// Further properties of the entitlement: risk, environment, secrets to rotate, effects that outlive the grant.
    #[serde(flatten)]
    pub traits: Traits,
    /// The request, if its digest still matches the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestView>,
    /// The awaited approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalView>,
    /// The earliest start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// The latest start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Timestamp>,
    /// When the grant was activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When access must be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The vended credentials, without secrets; omitted for an attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vends: Option<VendsView>,
    /// The removal, while in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoking: Option<RevokingView>,
    /// The end, once it is proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<EndView>,
    /// The secrets to rotate after the end, with progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationView>,
    /// The review state of a break-glass grant that may have been used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Why the grant never became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of grants that await review, longest wait first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReviewList {
    /// The grants. An empty page is not necessarily the last.
    pub reviews: Vec<GrantView>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

impl GrantView {
    /// Shows the stored records as of `now`; `None` if there is neither a grant nor a request.
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
            reason: lapsed.then(|| format!("the request was not decided by {}", request.decide_by)),
        }
    }

    fn decided(grant: &Grant, decision: Option<&Decision>, request: Option<&Request>) -> Self {
        // Intake writes the request, so it is shown only if the decision names its digest.
        let decided_request = request.filter(|request| {
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
            request: decided_request.map(RequestView::of),
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

fn denial(by: &DeniedBy, reason: &str) -> String {
    match by {
        DeniedBy::Policy => reason.to_owned(),
        DeniedBy::Approver(approver) => format!("`{approver}` refused: {reason}"),
    }
}

fn lapse(cause: LapseCause, at: Timestamp) -> String {
    match cause {
        LapseCause::Approval => format!("the approvals were not complete in time; lapsed at {at}"),
        LapseCause::PreflightFailed => {
            format!("the principal failed the preflight checks for an attachment; lapsed at {at}")
        }
        LapseCause::Start => format!("the grant was not started in time; lapsed at {at}"),
    }
}

fn withdrawal(cause: EndCause, by: Option<&IdentityId>, at: Timestamp) -> String {
    let cause = match cause {
        EndCause::Deadline => "deadline passed",
        EndCause::Released => "released",
        EndCause::Revoked => "revoked",
        EndCause::Killed => "killed",
        EndCause::Leaver => "identity, owner or entitlement removed from the catalogue",
        EndCause::Drift => "configuration in AWS changed",
        EndCause::ActivationFailed => "activation could not be confirmed",
    };
    match by {
        Some(by) => format!("withdrawn before activation: {cause} by `{by}` at {at}"),
        None => format!("withdrawn before activation: {cause} at {at}"),
    }
}

#[cfg(test)]
mod tests;
