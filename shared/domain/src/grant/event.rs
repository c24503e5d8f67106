//! What can happen to a grant. Names are in the past tense: an event records an act or a reading. It is never a
//! command.

use serde::{Deserialize, Serialize};

use super::Delivery;
use super::state::{Before, EffectiveAccess, EndCause, Problem, Reading};
use super::vends::VendAnswer;
use crate::canonical::Digest;
use crate::decision::Tally;
use crate::entitlement::Rotation;
use crate::id::{GrantId, IdentityId, StepName};
use crate::review::ReviewOutcome;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An eligible person approved.
    ApprovalGiven {
        by: IdentityId,
        /// The step that is open.
        step: StepName,
    },
    /// An eligible person refused.
    ApprovalRefused {
        by: IdentityId,
    },
    /// The decision was made again at quorum, and the policy now denies it.
    DecidedAgainst {
        /// The reason, as the requester reads it.
        reason: String,
    },
    /// The decision was made again at quorum and gave another plan. The votes on the old plan are void.
    PlanChanged {
        /// The digest of the new decision.
        decision_digest: Digest,
        /// The delivery in the new plan.
        delivery: Delivery,
        /// The secrets to rotate after the end, in the new plan.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rotate: Vec<Rotation>,
        /// The approval steps of the new plan. Approvals in them are ignored.
        steps: Vec<Tally>,
        /// The time for the start after the last approval, in seconds.
        start_within_s: u32,
    },
    /// The approvals did not come in time.
    ApprovalDeadlinePassed,
    /// The start did not come in time.
    StartByPassed,
    /// A block covers the grant: released, withdrawn, revoked, killed, or its identity left the catalogue.
    Stopped {
        cause: EndCause,
        by: Option<IdentityId>,
        /// The instant from which the removal's entry is certainly in force; see [`super::Revoking::fence`].
        fence: Timestamp,
    },
    /// A break-glass use was reviewed.
    Reviewed {
        /// The reviewer: neither the holder nor the holder's sponsor.
        by: IdentityId,
        outcome: ReviewOutcome,
    },
    DeadlinePassed,
    /// Session: a vend was recorded; its call follows.
    VendRecorded(NewVend),
    /// Session: the call of a vend was answered.
    VendAnswered {
        /// The number of the vend.
        seq: u32,
        answer: VendAnswer,
    },
    /// Attachment: an attempt was recorded; its call follows.
    ActivationRecorded {
        /// The instant until which the call may still take effect.
        fence: Timestamp,
        /// The digest of the document that is put.
        plan_digest: Digest,
        /// The previous state of the principal.
        before: Before,
    },
    /// Attachment: the preflight check of the principal failed. AWS was only read.
    PreflightRefused {
        problem: Problem,
    },
    /// Attachment: the attempt was certainly not made. The next may be made from `next_at` on.
    AttemptNotDone {
        problem: Problem,
        next_at: Timestamp,
    },
    /// Attachment: the call was refused, or its outcome stayed unknown past the fence.
    ActivationFailed {
        problem: Problem,
    },
    /// Attachment: a reading showed the policy present.
    PresenceObserved(Reading),
    /// Attachment: a reading showed other content than was put.
    DriftObserved(Reading),
    /// A removal was recorded; its call follows.
    RemovalRecorded {
        /// The name of the call in the AWS API.
        operation: String,
        /// The role or principal that the call changes.
        target: String,
        /// The policy that the call changes.
        policy: String,
        /// The digest of the document that is put; absent for a deletion.
        document_digest: Option<Digest>,
        /// The instant of the next attempt or reading.
        next_at: Timestamp,
    },
    /// A removal failed. Its effect is unknown until AWS is read.
    RemovalTroubled {
        problem: Problem,
        /// The instant of the next attempt or reading.
        next_at: Timestamp,
    },
    /// A responsible person acknowledged that the grant is overdue and that its end is being worked on.
    OverdueAcknowledged {
        /// The person: neither the holder nor the holder's sponsor.
        by: IdentityId,
    },
    /// A reading of AWS showed the access gone (for a session: denied).
    AbsenceObserved(Reading),
    /// AWS's own clock is past the deadline that every vended session policy carries.
    DeadlineProved {
        /// The `Date` header of AWS's answer.
        aws_date: Timestamp,
        /// The AWS request id of that answer.
        request_id: String,
    },
    /// Other live grants still hold the same managed policy.
    HandedOver {
        holders: Vec<GrantId>,
        /// The reading that showed the policy present.
        reading: Reading,
    },
    /// The effective permissions were checked after the end.
    EffectiveAccessChecked(EffectiveAccess),
    /// The rotation of a secret was recorded; its call follows.
    RotationRecorded {
        secret: String,
        /// The call's idempotency token.
        token: Digest,
        /// The instant until which the call may still take effect.
        fence: Timestamp,
        /// The instant of the next reading; not before the fence.
        next_at: Timestamp,
        /// The problem of the previous call, if this call repeats it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Problem>,
    },
    /// A reading of Secrets Manager showed the rotation done: its version is, or was, the current one.
    RotationObserved {
        secret: String,
        /// The idempotency token of the call that asked for the rotation.
        token: Digest,
        reading: Reading,
    },
    /// A rotation failed or is not done yet.
    RotationTroubled {
        secret: String,
        problem: Problem,
        /// The instant of the next attempt or reading.
        next_at: Timestamp,
    },
}

/// A vend that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewVend {
    /// The deadline in the session policy.
    pub deadline: Timestamp,
    /// The instant until which the call may still take effect.
    pub fence: Timestamp,
    /// The digest of the session policy.
    pub policy_digest: Digest,
    /// The lifetime of the credential, in seconds.
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
