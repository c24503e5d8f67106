//! The states of a grant, each with the data that is known in it.

use serde::{Deserialize, Serialize};

use super::vends::Vends;
use crate::canonical::Digest;
use crate::decision::Tally;
use crate::id::{GrantId, IdentityId};
use crate::time::Timestamp;

/// The state of a grant. `Requested` is not among them: before the decision there is only a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// The policy or an approver refused. Terminal.
    Denied {
        by: DeniedBy,
        /// The reason, as the requester reads it.
        reason: String,
    },
    /// The policy requires approvals.
    ApprovalAwaited {
        /// The instant until which people can vote.
        deadline: Timestamp,
        /// The steps in their order, with the approvals so far; never empty.
        steps: Vec<Tally>,
        /// The time for the start after the last approval, in seconds.
        start_within_s: u32,
    },
    /// The approvals or the start did not come in time; nothing in AWS was touched. Terminal.
    Lapsed {
        cause: LapseCause,
        /// The instant at which this was recorded.
        at: Timestamp,
    },
    /// Withdrawn before activation. Terminal.
    Withdrawn { cause: EndCause, by: Option<IdentityId>, at: Timestamp },
    /// Allowed, not yet started.
    Approved {
        /// The earliest start.
        starts_at: Timestamp,
        /// The latest start.
        start_by: Timestamp,
    },
    /// Attachments only: the AWS call is recorded and may or may not have happened.
    Activating {
        /// The instant at which access must be gone.
        deadline: Timestamp,
        /// The instant until which a new attempt may be made.
        start_by: Timestamp,
        /// The instant until which a call already started may still take effect.
        fence: Timestamp,
        /// The number of this attempt, from 1.
        attempt: u32,
        /// The digest of the document that is put.
        plan_digest: Digest,
        /// The previous state of the principal.
        before: Before,
        /// The earliest next attempt; set once the last call is known not to have been made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// Access was observed (attachment) or the first vend was recorded (session).
    Active {
        activated_at: Timestamp,
        /// The instant at which access must be gone.
        deadline: Timestamp,
        /// The instant until which a call already started may still take effect.
        fence: Timestamp,
        /// The vends; empty for an attachment.
        vends: Vends,
        /// The digest of the attached document; absent for a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_digest: Option<Digest>,
        /// The instant of the next reading of the attachment; absent for a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_check_at: Option<Timestamp>,
    },
    /// Removal is in progress. Only a proof of ending leads out of this state.
    Revoking(Box<Revoking>),
    /// The access is gone, with proof. Terminal.
    Ended {
        cause: EndCause,
        proof: Proof,
        /// The instant of the proof.
        verified_at: Timestamp,
        ended_by: EndedBy,
        /// The result of the effective-permission check, once it was made.
        effective: Option<EffectiveAccess>,
    },
}

/// A removal in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoking {
    pub cause: EndCause,
    /// The identity that asked for the end, if any did.
    pub by: Option<IdentityId>,
    /// The instant at which the removal began.
    pub since: Timestamp,
    /// The grant's own deadline: access must be gone then in any case.
    pub deadline: Timestamp,
    /// The instant until which a call already started may still take effect. The second absence must be read after it.
    pub fence: Timestamp,
    /// The number of removals attempted.
    pub attempts: u32,
    /// The last problem.
    pub last_problem: Option<Problem>,
    /// The first reading of absence that no later reading contradicts.
    pub first_absence: Option<Reading>,
    /// The instant of the next attempt or reading.
    pub next_at: Timestamp,
    /// The vends; empty for an attachment.
    pub vends: Vends,
    /// The result of the effective-permission check, made after the first absence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
    /// The acknowledgement that the grant is overdue. The grant stays overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

/// A responsible person's acknowledgement that a grant is overdue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: IdentityId,
    pub at: Timestamp,
}

/// A problem in the words of the port that failed: at most 300 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Problem(String);

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self(text.chars().take(300).collect())
    }
}

impl From<Problem> for String {
    fn from(problem: Problem) -> Self {
        problem.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeniedBy {
    Policy,
    Approver(IdentityId),
}

/// The reason why a grant lapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LapseCause {
    /// The approvals did not come in time.
    Approval,
    /// The start did not come in time.
    Start,
    /// The preflight check of the principal failed.
    PreflightFailed,
}

/// The reason why access ends or a grant is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// The deadline passed.
    Deadline,
    /// The holder or the holder's sponsor released it.
    Released,
    /// A responsible person revoked it.
    Revoked,
    /// A kill switch covers it.
    Killed,
    /// The identity, sponsor or entitlement was removed from the catalogue.
    Leaver,
    /// AWS and the table differ: an attachment was altered or is gone, or the table was restored to an older state.
    Drift,
    /// No reading confirmed the activation.
    ActivationFailed,
}

/// The state of the principal before an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// No policy of that name.
    Absent,
    /// The same managed policy, attached and held by other grants.
    HeldByGrants,
}

/// One reading of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The instant of the reading, by the reader's clock.
    pub at: Timestamp,
    /// The AWS request id of the reading call.
    pub request_id: String,
}

/// The proof that access ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// Two readings of AWS showed the access gone (for a session: denied).
    Observed {
        first: Reading,
        /// The second reading, after the fence and the quiet period.
        second: Reading,
    },
    /// No issued credential can outlive the deadline, and AWS's own clock is past it.
    ByConstruction {
        /// The deadline that every vended session policy carries.
        deadline: Timestamp,
        /// The `Date` header of AWS's answer.
        aws_date: Timestamp,
        /// The AWS request id of that answer.
        request_id: String,
    },
    /// Other live grants still hold the same managed policy on the same principal.
    HandedOver {
        holders: Vec<GrantId>,
        /// The reading that showed the policy present.
        reading: Reading,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The time limit in the policy.
    TimeLimit,
    /// The removal.
    Removal,
    /// Nothing yet, because other grants hold the same access.
    HandOver,
}

/// The result of an effective-permission check after the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EffectiveAccess {
    /// The actions are no longer allowed, except through other live grants.
    NotAllowed {
        /// Live grants that still allow one of the actions. Another grant does not count as residual access.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        but_by: Vec<GrantId>,
    },
    /// Standing access still allows the actions.
    Residual {
        /// The policies that allow them.
        policies: Vec<String>,
    },
    /// The check gave no answer.
    Undetermined { why: String },
}

impl State {
    /// Approved at `now`, to be started within `start_within_s` seconds.
    #[must_use]
    pub(crate) fn approved(now: Timestamp, start_within_s: u32) -> Self {
        Self::Approved { starts_at: now, start_by: now.plus(start_within_s) }
    }

    /// The state's name, as items, wire types and evidence write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "Denied",
            Self::ApprovalAwaited { .. } => "ApprovalAwaited",
            Self::Lapsed { .. } => "Lapsed",
            Self::Withdrawn { .. } => "Withdrawn",
            Self::Approved { .. } => "Approved",
            Self::Activating { .. } => "Activating",
            Self::Active { .. } => "Active",
            Self::Revoking(_) => "Revoking",
            Self::Ended { .. } => "Ended",
        }
    }

    /// Whether the grant can no longer change any access.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Lapsed { .. } | Self::Withdrawn { .. } | Self::Ended { .. })
    }
}
