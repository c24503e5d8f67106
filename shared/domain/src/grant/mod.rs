//! The grant: one time-bound hold by one identity on one entitlement, from its decision on.
//!
//! `state` says what is known in each state, `event` what can happen, `apply` is the one function between them.

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
    Acknowledged, Before, DeniedBy, EffectiveAccess, EndCause, EndedBy, LapseCause, Problem, Proof, Revoking, Sighting,
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
        /// The session role.
        role_arn: String,
        /// The STS session name.
        session_name: String,
        /// Whether the session may touch IAM: then its end is never proved by construction.
        iam_allowed: bool,
    },
    /// An inline policy on a principal.
    Inline {
        /// The principal.
        principal_arn: String,
        /// The policy's name.
        policy_name: String,
        /// What is tried once it must be gone.
        probes: Vec<Probe>,
        /// How much of what it allows is not tried.
        #[serde(default, skip_serializing_if = "is_zero")]
        n_untried: u32,
    },
    /// A managed policy attached to a principal; shared with other grants, so counted.
    Managed {
        /// The principal.
        principal_arn: String,
        /// The policy.
        policy_arn: String,
        /// What is tried once it must be gone.
        probes: Vec<Probe>,
        /// How much of what it allows is not tried.
        #[serde(default, skip_serializing_if = "is_zero")]
        n_untried: u32,
    },
}

impl Delivery {
    /// How access by `template` reaches the holder of grant `id`.
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
        // A denial: nothing will reach anybody.
        None => {
            Delivery::Session { role_arn: String::new(), session_name: deployment.session_name(id), iam_allowed: false }
        }
    }
}

/// Whose to-do list a grant is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueRole {
    /// Issue's: an attachment to be made or looked for. Reap reads it too, for what has run out of time.
    Issue,
    /// Reap's.
    Reap,
    /// Reap's too, but read last: secrets to rotate, which hold up no removal.
    Rotate,
}

/// How often a live inline attachment is looked at, in seconds: it carries its own time limit.
pub const WATCH_S: u32 = 300;

/// How often a live managed one is: nothing but its removal ends it.
pub const WATCH_MANAGED_S: u32 = 60;

/// One grant. Changed by [`Grant::apply`] alone; every change carries evidence in the same write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// How often it was written; every write is conditional on it.
    pub version: u64,
    /// Who holds it.
    pub identity: IdentityId,
    /// The holder's class.
    pub class: IdentityClass,
    /// The human who answers for the holder.
    pub sponsor: IdentityId,
    /// The holder's task, from its proof.
    pub task: Option<Task>,
    /// The human on whose behalf it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    /// What it is a hold on.
    pub entitlement: EntitlementId,
    /// The account that holds the target.
    pub account: AccountId,
    /// How long it lasts from activation.
    pub term: Term,
    /// How access reaches the holder.
    pub delivery: Delivery,
    /// When it was decided.
    pub created_at: Timestamp,
    /// The digest of its decision's terms.
    pub decision_digest: Digest,
    /// The bounds on time that hold for it.
    pub bounds: Bounds,
    /// Whether its use was reviewed; nothing for what is not break-glass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Secrets to rotate once it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<SecretRotation>,
    /// Where it is in its life.
    pub state: State,
    /// The end of its evidence chain.
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

    /// Whether `who` holds it, answers for its holder, or has it held on their behalf.
    #[must_use]
    pub fn belongs_to(&self, who: &IdentityId) -> bool {
        self.identity == *who || self.sponsor == *who || self.on_behalf_of.as_ref() == Some(who)
    }

    /// The deadline that a first activation at `now` fixes, in whole seconds, as a policy can express it.
    #[must_use]
    pub fn deadline_if_activated(&self, now: Timestamp) -> Timestamp {
        now.plus(self.term.as_seconds()).floor()
    }

    /// The digest of the grant without its chain head: what each evidence entry binds.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if it has no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(&Self { evidence: Head::START, ..self.clone() })
    }

    /// The next instant at which anybody must look at it; nothing once it is terminal and nothing is left to rotate.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } => None,
            State::Ended { verified_at, .. } => {
                self.pending_rotations().map(|one| one.next_at.unwrap_or(*verified_at)).min()
            }
            State::ApprovalAwaited { deadline, .. } => Some(*deadline),
            State::Approved { starts_at, start_by } => {
                Some(if self.due_role() == DueRole::Issue { *starts_at } else { *start_by })
            }
            State::Activating { deadline, fence, retry_at, .. } => Some(retry_at.unwrap_or(*fence).min(*deadline)),
            State::Active { deadline, look_at, .. } => Some(look_at.unwrap_or(*deadline).min(*deadline)),
            State::Revoking(revoking) => Some(revoking.next_at),
        }
    }

    /// When it is looked at next, if it was seen standing at `now`.
    pub(crate) fn look_after(&self, now: Timestamp) -> Timestamp {
        let managed = matches!(self.delivery, Delivery::Managed { .. });
        now.plus(if managed { WATCH_MANAGED_S } else { WATCH_S })
    }

    /// Whose to-do list it is on while it is on one.
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

    /// When its access is over at the latest, whenever people say yes and whenever it is started; nothing for what is
    /// over, or being ended.
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

    /// Whether it is a use of break-glass that awaits its review: not what ended before anything was touched.
    #[must_use]
    pub fn awaits_review(&self) -> bool {
        let untouched = matches!(self.state, State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. });
        self.review == Some(Review::Awaited) && !untouched
    }

    /// For how many seconds at `now` it should have been over: from its deadline, or from when it was stopped.
    ///
    /// Not from [`Grant::due_at`], which every attempt that fails puts off.
    #[must_use]
    pub fn overdue_s(&self, now: Timestamp) -> u64 {
        self.over_since().map_or(0, |since| now.seconds_since(since))
    }

    /// From when on it should be over: its deadline, or when it was stopped. Nothing for what has not begun, or is over.
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

    /// When its record may be dropped: only once terminal, and beyond retention. Never what the reaper still needs.
    #[must_use]
    pub fn drop_at(&self) -> Option<Timestamp> {
        let ended_at = match &self.state {
            State::Denied { .. } => self.created_at,
            State::Lapsed { at, .. } | State::Withdrawn { at, .. } => *at,
            // What is to be reviewed is kept for that.
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
