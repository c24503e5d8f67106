//! What can happen to a grant. Past tense: an event tells what was done or seen, it does not ask.

use serde::{Deserialize, Serialize};

use super::Delivery;
use super::state::{Before, EffectiveAccess, EndCause, Problem, Sighting};
use super::vends::VendAnswer;
use crate::canonical::Digest;
use crate::decision::Tally;
use crate::entitlement::Rotation;
use crate::id::{GrantId, IdentityId, StepName};
use crate::review::ReviewOutcome;
use crate::time::Timestamp;

/// Something that happened to a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An eligible person said yes.
    ApprovalGiven {
        /// Who.
        by: IdentityId,
        /// In which step: the one that is open.
        step: StepName,
    },
    /// An eligible person said no.
    ApprovalRefused {
        /// Who.
        by: IdentityId,
    },
    /// At quorum it was decided again, and policy is against it now.
    DecidedAgainst {
        /// Why, for the person who asked.
        reason: String,
    },
    /// At quorum it was decided again, and the plan is another one: what was voted on is void.
    PlanChanged {
        /// The digest of the decision as it is now.
        decision_digest: Digest,
        /// How access would reach its holder now.
        delivery: Delivery,
        /// The secrets to rotate at its end now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rotate: Vec<Rotation>,
        /// Who must say yes to it; what has been said counts for nothing.
        steps: Vec<Tally>,
        /// How long after the last yes it may be started, in seconds.
        start_within_s: u32,
    },
    /// The approvals did not come in time.
    ApprovalDeadlinePassed,
    /// The start did not come in time.
    StartByPassed,
    /// A block covers it: released, withdrawn, revoked, killed, or its identity left.
    Stopped {
        /// Why.
        cause: EndCause,
        /// By whom.
        by: Option<IdentityId>,
        /// The instant from which on the removal's entry is surely in force; see [`super::Revoking::fence`].
        fence: Timestamp,
    },
    /// Break-glass: its use was reviewed.
    Reviewed {
        /// By whom: neither its holder nor whoever answers for the holder.
        by: IdentityId,
        /// What came of it.
        outcome: ReviewOutcome,
    },
    /// Its deadline passed.
    DeadlinePassed,
    /// Session: a vend was recorded; its call comes next.
    VendRecorded(NewVend),
    /// Session: a vend's call was answered.
    VendAnswered {
        /// Which vend.
        seq: u32,
        /// What became of it.
        answer: VendAnswer,
    },
    /// Attachment: an attempt was recorded; its call comes next.
    ActivationRecorded {
        /// The instant before which the call may still land.
        fence: Timestamp,
        /// Digest of the document that is put.
        plan_digest: Digest,
        /// What stood before.
        before: Before,
    },
    /// Attachment: the principal is not fit to have it attached; nothing was asked of AWS but to show it.
    PreflightRefused {
        /// Why.
        problem: Problem,
    },
    /// Attachment: the attempt was surely not made; the next may be made from then on.
    AttemptNotDone {
        /// Why.
        problem: Problem,
        /// From when.
        next_at: Timestamp,
    },
    /// Attachment: the call was refused, or its outcome stayed unknown past the fence.
    ActivationFailed {
        /// Why.
        problem: Problem,
    },
    /// Attachment: AWS was read and showed it there.
    PresenceObserved(Sighting),
    /// Attachment: AWS was read and showed something else than was put.
    DriftObserved(Sighting),
    /// A removal was recorded; its call comes next.
    RemovalRecorded {
        /// The call, as the AWS API names it.
        operation: String,
        /// The role or principal that it changes.
        target: String,
        /// The policy that it changes.
        policy: String,
        /// Digest of the document that is put; absent for a deletion.
        document_digest: Option<Digest>,
        /// When to look at the grant again.
        next_at: Timestamp,
    },
    /// A removal did not go as it should; what it did is unknown until AWS is read.
    RemovalTroubled {
        /// What went wrong.
        problem: Problem,
        /// When to look at the grant again.
        next_at: Timestamp,
    },
    /// Somebody in charge knows that it is overdue, and that its end is worked on.
    OverdueAcknowledged {
        /// Who: neither its holder nor whoever answers for the holder.
        by: IdentityId,
    },
    /// AWS was read and showed it gone (a session: showed it denied).
    AbsenceObserved(Sighting),
    /// AWS's own clock is past the deadline that every vended session policy carries.
    DeadlineProved {
        /// AWS's `Date`.
        aws_date: Timestamp,
        /// AWS's id of the call whose answer carried it.
        request_id: String,
    },
    /// Other live grants still hold the same managed policy.
    HandedOver {
        /// They.
        holders: Vec<GrantId>,
        /// The reading that showed it present.
        seen: Sighting,
    },
    /// The effective permissions were checked after the end.
    EffectiveAccessChecked(EffectiveAccess),
    /// A rotation of a secret was recorded; its call comes next.
    RotationRecorded {
        /// The secret.
        secret: String,
        /// The call's idempotency token.
        token: Digest,
        /// The instant before which the call may still land.
        fence: Timestamp,
        /// When to see what became of it; not before the fence.
        next_at: Timestamp,
        /// What was seen of the call before, where it is made again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Problem>,
    },
    /// Secrets Manager was read and showed the rotation done: its version is, or was, the current one.
    RotationObserved {
        /// The secret.
        secret: String,
        /// The token that the rotation was asked for with.
        token: Digest,
        /// The reading.
        seen: Sighting,
    },
    /// A rotation did not go as it should, or is not done yet.
    RotationTroubled {
        /// The secret.
        secret: String,
        /// What went wrong.
        problem: Problem,
        /// When to look at it again.
        next_at: Timestamp,
    },
}

/// A vend about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewVend {
    /// The deadline that its session policy carries.
    pub deadline: Timestamp,
    /// The instant before which its call may still land.
    pub fence: Timestamp,
    /// Digest of its session policy.
    pub policy_digest: Digest,
    /// How long its credential lives, in seconds.
    pub duration_s: u32,
}

impl Event {
    /// The event's name, as evidence writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApprovalGiven { .. } => "ApprovalGiven",
            Self::ApprovalRefused { .. } => "ApprovalRefused",
            Self::DecidedAgainst { .. } => "DecidedAgainst",
            Self::PlanChanged { .. } => "PlanChanged",
            Self::ApprovalDeadlinePassed => "ApprovalDeadlinePassed",
            Self::StartByPassed => "StartByPassed",
            Self::Stopped { .. } => "Stopped",
            Self::Reviewed { .. } => "Reviewed",
            Self::DeadlinePassed => "DeadlinePassed",
            Self::VendRecorded(_) => "VendRecorded",
            Self::VendAnswered { .. } => "VendAnswered",
            Self::ActivationRecorded { .. } => "ActivationRecorded",
            Self::PreflightRefused { .. } => "PreflightRefused",
            Self::AttemptNotDone { .. } => "AttemptNotDone",
            Self::ActivationFailed { .. } => "ActivationFailed",
            Self::PresenceObserved(_) => "PresenceObserved",
            Self::DriftObserved(_) => "DriftObserved",
            Self::RemovalRecorded { .. } => "RemovalRecorded",
            Self::RemovalTroubled { .. } => "RemovalTroubled",
            Self::OverdueAcknowledged { .. } => "OverdueAcknowledged",
            Self::AbsenceObserved(_) => "AbsenceObserved",
            Self::DeadlineProved { .. } => "DeadlineProved",
            Self::HandedOver { .. } => "HandedOver",
            Self::EffectiveAccessChecked(_) => "EffectiveAccessChecked",
            Self::RotationRecorded { .. } => "RotationRecorded",
            Self::RotationObserved { .. } => "RotationObserved",
            Self::RotationTroubled { .. } => "RotationTroubled",
        }
    }
}
