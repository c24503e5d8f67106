//! One grant as its holder, sponsor or approver sees it.

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
