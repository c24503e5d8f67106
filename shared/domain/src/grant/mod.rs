//! The grant: one time-bound hold by one identity on one entitlement, from its decision on.
//!
//! `state` holds the data of each state, `event` lists what can happen, and `apply` is the one function between them.

mod apply;
mod event;
mod rotation;
mod state;
mod vends;

use serde::{Deserialize, Serialize};

pub use apply::{Applied, TransitionError};
pub use event::{Event, NewVend};
pub use rotation::{AskedRotation, SecretRotation};
pub use state::{
    Acknowledged, Before, DeniedBy, EffectiveAccess, EndCause, EndedBy, LapseCause, Problem, Proof, Reading, Revoking,
    State,
};
pub use vends::{Vend, VendAnswer, Vends};

use crate::canonical::{CanonicalError, Digest};
use crate::decision::{Decision, Outcome, Step};
use crate::evidence::Head;
use crate::id::{AccountId, EntitlementId, GrantId, IdentityId};
use crate::identity::{IdentityClass, Task};
use crate::plan::{PlanTemplate, Probe, Probes};
use crate::review::Review;
use crate::settings::{Bounds, Deployment};
use crate::time::{Term, Timestamp};

/// How long a terminal grant is kept, in seconds: 400 days.
pub const RETENTION_S: u32 = 400 * 86_400;

/// How access reaches its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "delivery", rename_all = "snake_case")]
pub enum Delivery {
    /// STS credentials vended against the grant.
    Session {
        role_arn: String,
        session_name: String,
        /// Whether the session may call IAM. If it may, its end is never proved by construction.
        iam_allowed: bool,
    },
    /// An inline policy on a principal.
    Inline {
        principal_arn: String,
        policy_name: String,
        /// The actions that the effective-permission check tries after removal.
        probes: Vec<Probe>,
        /// The number of allowed actions that the check does not try.
        #[serde(default, skip_serializing_if = "is_zero")]
        n_untried: u32,
    },
    /// A managed policy attached to a principal. Grants share it, so its holders are counted.
    Managed {
        principal_arn: String,
        policy_arn: String,
        /// The actions that the effective-permission check tries after removal.
        probes: Vec<Probe>,
        /// The number of allowed actions that the check does not try.
        #[serde(default, skip_serializing_if = "is_zero")]
        n_untried: u32,
    },
}

impl Delivery {
    /// The delivery that `template` gives to the holder of grant `id`.
    #[must_use]
    pub fn of(template: Option<&PlanTemplate>, deployment: &Deployment, id: GrantId) -> Self {
        delivery(template, deployment, id)
    }

    /// The ARN of the session role or principal that the access is on.
    #[must_use]
    pub fn principal(&self) -> &str {
        match self {
            Self::Session { role_arn, .. } => role_arn,
            Self::Inline { principal_arn, .. } | Self::Managed { principal_arn, .. } => principal_arn,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn delivery(template: Option<&PlanTemplate>, deployment: &Deployment, id: GrantId) -> Delivery {
    let Probes { tried: probes, n_untried } = template.map(PlanTemplate::probes).unwrap_or_default();
    match template {
        Some(PlanTemplate::Session(session)) => Delivery::Session {
            role_arn: session.role_arn.clone(),
            session_name: deployment.session_name(id),
            iam_allowed: session.iam_allowed,
        },
        Some(PlanTemplate::Inline(inline)) => Delivery::Inline {
            principal_arn: inline.principal_arn.clone(),
            policy_name: inline.policy_name.clone(),
            probes,
            n_untried,
        },
        Some(PlanTemplate::Managed(managed)) => Delivery::Managed {
            principal_arn: managed.principal_arn.clone(),
            policy_arn: managed.policy_arn.clone(),
            probes,
            n_untried,
        },
        // A denial delivers nothing.
        None => {
            Delivery::Session { role_arn: String::new(), session_name: deployment.session_name(id), iam_allowed: false }
        }
    }
}

/// The to-do list that a grant is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueRole {
    /// The issuer's: an attachment to make or to read back. The reaper reads it too, for grants that are out of time.
    Issue,
    /// The reaper's.
    Reap,
    /// The reaper's too, but read last: secrets to rotate. A rotation never delays a removal.
    Rotate,
}

/// The interval between readings of a live inline attachment, in seconds. The policy carries its own time limit.
pub const WATCH_S: u32 = 300;

/// The interval between readings of a live managed attachment, in seconds. Only its removal ends it.
pub const WATCH_MANAGED_S: u32 = 60;

/// One grant. Only [`Grant::apply`] changes it; every change is written together with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: GrantId,
    /// The number of writes so far; every write is conditional on it.
    pub version: u64,
    /// The holder.
    pub identity: IdentityId,
    pub class: IdentityClass,
    /// The human who is accountable for the holder.
    pub sponsor: IdentityId,
    /// The holder's task, from its proof.
    pub task: Option<Task>,
    /// The human on whose behalf the holder acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    pub entitlement: EntitlementId,
    /// The account that holds the target.
    pub account: AccountId,
    /// The duration, counted from activation.
    pub term: Term,
    pub delivery: Delivery,
    /// The instant of the decision.
    pub created_at: Timestamp,
    /// The digest of the decision's terms.
    pub decision_digest: Digest,
    pub bounds: Bounds,
    /// The review of a break-glass use; `None` for other grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Secrets to rotate after the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<SecretRotation>,
    pub state: State,
    /// The head of the grant's evidence chain.
    pub evidence: Head,
}

impl Grant {
    /// The grant that `decision` creates: denied, awaiting approval, or approved.
    #[must_use]
    pub fn decided(decision: &Decision, deployment: &Deployment, bounds: Bounds) -> Self {
        let terms = &decision.terms;
        let is_denied = matches!(terms.outcome, Outcome::Deny { .. });
        let state = match &terms.outcome {
            Outcome::Allow => State::approved(terms.decided_at, terms.start_within_s),
            Outcome::Deny { reason } => State::Denied { by: DeniedBy::Policy, reason: reason.clone() },
            Outcome::NeedsApproval { steps, deadline } => State::ApprovalAwaited {
                deadline: *deadline,
                steps: steps.iter().map(Step::tally).collect(),
                start_within_s: terms.start_within_s,
            },
        };
        Self {
            id: decision.id,
            version: 1,
            identity: terms.identity.clone(),
            class: terms.class,
            sponsor: terms.sponsor.clone(),
            task: terms.task.clone(),
            on_behalf_of: terms.on_behalf_of().cloned(),
            entitlement: terms.entitlement.clone(),
            account: deployment.account.clone(),
            term: terms.term,
            delivery: delivery(terms.template.as_ref(), deployment, decision.id),
            created_at: terms.decided_at,
            decision_digest: decision.digest().unwrap_or(Digest::ZERO),
            bounds,
            review: terms.traits.break_glass.as_ref().filter(|_| !is_denied).map(|_| Review::Awaited),
            rotations: terms.traits.rotate.iter().map(SecretRotation::of).collect(),
            state,
            evidence: Head::START,
        }
    }

    /// Whether `who` is the holder, the holder's sponsor, or the human on whose behalf the holder acts.
    #[must_use]
    pub fn belongs_to(&self, who: &IdentityId) -> bool {
        self.identity == *who || self.sponsor == *who || self.on_behalf_of.as_ref() == Some(who)
    }

    /// The deadline that a first activation at `now` sets, in whole seconds: a policy can express no fractions.
    #[must_use]
    pub fn deadline_if_activated(&self, now: Timestamp) -> Timestamp {
        now.plus(self.term.as_seconds()).floor()
    }

    /// The digest of the grant without its chain head. Each evidence entry binds this digest.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the grant has no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(&Self { evidence: Head::START, ..self.clone() })
    }

    /// The next instant at which the grant needs work; `None` once it is terminal and no rotation is pending.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } => None,
            State::Ended { verified_at, .. } => {
                self.pending_rotations().map(|rotation| rotation.next_at.unwrap_or(*verified_at)).min()
            }
            State::ApprovalAwaited { deadline, .. } => Some(*deadline),
            State::Approved { starts_at, start_by } => {
                Some(if self.due_role() == DueRole::Issue { *starts_at } else { *start_by })
            }
            State::Activating { deadline, fence, retry_at, .. } => Some(retry_at.unwrap_or(*fence).min(*deadline)),
            State::Active { deadline, next_check_at, .. } => Some(next_check_at.unwrap_or(*deadline).min(*deadline)),
            State::Revoking(revoking) => Some(revoking.next_at),
        }
    }

    /// The instant of the next reading, for an attachment that was read as present at `now`.
    pub(crate) fn next_reading_at(&self, now: Timestamp) -> Timestamp {
        let managed = matches!(self.delivery, Delivery::Managed { .. });
        now.plus(if managed { WATCH_MANAGED_S } else { WATCH_S })
    }

    /// The to-do list that the grant is on while it is due at all.
    #[must_use]
    pub fn due_role(&self) -> DueRole {
        let attached = !matches!(self.delivery, Delivery::Session { .. });
        if attached && matches!(self.state, State::Approved { .. } | State::Activating { .. }) {
            DueRole::Issue
        } else if matches!(self.state, State::Ended { .. }) {
            DueRole::Rotate
        } else {
            DueRole::Reap
        }
    }

    /// The latest instant at which access can end, if the approvals and the start come as late as they may. `None` for
    /// a grant that has ended or is being revoked.
    #[must_use]
    pub fn over_by(&self) -> Option<Timestamp> {
        let term_s = self.term.as_seconds();
        match &self.state {
            State::ApprovalAwaited { deadline, start_within_s, .. } => {
                Some(deadline.plus(*start_within_s).plus(term_s))
            }
            State::Approved { start_by, .. } => Some(start_by.plus(term_s)),
            State::Activating { deadline, .. } | State::Active { deadline, .. } => Some(*deadline),
            State::Denied { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. }
            | State::Revoking(_)
            | State::Ended { .. } => None,
        }
    }

    /// Whether the grant is a break-glass use that awaits its review. A grant that touched nothing needs none.
    #[must_use]
    pub fn awaits_review(&self) -> bool {
        let untouched = matches!(self.state, State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. });
        self.review == Some(Review::Awaited) && !untouched
    }

    /// The seconds that the grant is overdue at `now`, counted from its deadline or from the instant it was stopped.
    ///
    /// Not counted from [`Grant::due_at`], because every failed attempt postpones that instant.
    #[must_use]
    pub fn overdue_s(&self, now: Timestamp) -> u64 {
        self.over_since().map_or(0, |since| now.seconds_since(since))
    }

    /// The instant at which the grant should have ended: its deadline, or the instant it was stopped. `None` before
    /// activation and after the end.
    #[must_use]
    pub fn over_since(&self) -> Option<Timestamp> {
        match &self.state {
            State::Revoking(revoking) => Some(revoking.since.min(revoking.deadline)),
            State::Activating { deadline, .. } | State::Active { deadline, .. } => Some(*deadline),
            State::Denied { .. }
            | State::ApprovalAwaited { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. }
            | State::Approved { .. }
            | State::Ended { .. } => None,
        }
    }

    /// When the record may be dropped: only after the end and the retention period, never while the reaper needs it.
    #[must_use]
    pub fn drop_at(&self) -> Option<Timestamp> {
        let ended_at = match &self.state {
            State::Denied { .. } => self.created_at,
            State::Lapsed { at, .. } | State::Withdrawn { at, .. } => *at,
            // A grant that awaits its review is kept.
            State::Ended { .. } if self.review == Some(Review::Awaited) => return None,
            State::Ended { .. } if self.pending_rotations().next().is_some() => return None,
            State::Ended { verified_at, .. } => *verified_at,
            State::ApprovalAwaited { .. }
            | State::Approved { .. }
            | State::Activating { .. }
            | State::Active { .. }
            | State::Revoking(_) => return None,
        };
        Some(ended_at.plus(RETENTION_S))
    }
}

#[cfg(test)]
mod tests;
