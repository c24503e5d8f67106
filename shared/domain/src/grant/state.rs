//! The states of a grant, each holding what is known in it.

use serde::{Deserialize, Serialize};

use super::vends::Vends;
use crate::canonical::Digest;
use crate::decision::Tally;
use crate::id::{GrantId, IdentityId};
use crate::time::Timestamp;

/// Where a grant is in its life. `Requested` is no state of a grant: until it is decided there is only a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// Policy or an approver said no. Terminal.
    Denied {
        /// Who said no.
        by: DeniedBy,
        /// Why, for the person who asked.
        reason: String,
    },
    /// Policy wants people.
    ApprovalAwaited {
        /// Until when they can say yes.
        deadline: Timestamp,
        /// The steps, in their order, and who has; never none.
        steps: Vec<Tally>,
        /// How long after the last yes it may be started, in seconds.
        start_within_s: u32,
    },
    /// Approval or start did not come in time; nothing was touched. Terminal.
    Lapsed {
        /// What did not come.
        cause: LapseCause,
        /// When that was seen.
        at: Timestamp,
    },
    /// Taken back before activation. Terminal.
    Withdrawn {
        /// Why.
        cause: EndCause,
        /// By whom.
        by: Option<IdentityId>,
        /// When.
        at: Timestamp,
    },
    /// Decided in its favour, not yet used.
    Approved {
        /// From when it may be started.
        starts_at: Timestamp,
        /// Until when it may be started.
        start_by: Timestamp,
    },
    /// Attachments only: the AWS call was recorded and may or may not have happened.
    Activating {
        /// When access must be gone.
        deadline: Timestamp,
        /// Until when a new attempt may be made.
        start_by: Timestamp,
        /// The instant before which a call that was started may still land.
        fence: Timestamp,
        /// Which attempt this is, from 1.
        attempt: u32,
        /// Digest of the document that is put.
        plan_digest: Digest,
        /// What stood before.
        before: Before,
        /// From when the next attempt may be made: set once the last one is known not to have been made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// Access was observed (attachment) or the first vend was recorded (session).
    Active {
        /// When.
        activated_at: Timestamp,
        /// When access must be gone.
        deadline: Timestamp,
        /// The instant before which a call that was started may still land.
        fence: Timestamp,
        /// What was vended; empty for an attachment.
        vends: Vends,
        /// Digest of what was attached; absent for a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_digest: Option<Digest>,
        /// When to see whether it still stands; absent for a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look_at: Option<Timestamp>,
    },
    /// Removal is under way. Left only with a proof of ending.
    Revoking(Box<Revoking>),
    /// Gone, and proved. Terminal.
    Ended {
        /// Why it ended.
        cause: EndCause,
        /// How that is known.
        proof: Proof,
        /// When it became known.
        verified_at: Timestamp,
        /// What ended it first.
        ended_by: EndedBy,
        /// What the check of effective permissions found, once it was made.
        effective: Option<EffectiveAccess>,
    },
}

/// Removal under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoking {
    /// Why it ends.
    pub cause: EndCause,
    /// By whom, where a person or identity asked.
    pub by: Option<IdentityId>,
    /// Since when.
    pub since: Timestamp,
    /// When access must be gone in any case.
    pub deadline: Timestamp,
    /// The instant before which a call that was started may still land; the second absence must be seen after it.
    pub fence: Timestamp,
    /// Removals attempted.
    pub attempts: u32,
    /// What went wrong last.
    pub last_problem: Option<Problem>,
    /// The first absence that was read and not contradicted since.
    pub first_absence: Option<Sighting>,
    /// When to look at it again.
    pub next_at: Timestamp,
    /// What was vended; empty for an attachment.
    pub vends: Vends,
    /// What the check of effective permissions found, since the first absence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
    /// Who said that they know that it is overdue. It stays as overdue as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

/// That somebody in charge knows that a grant is overdue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: IdentityId,
    /// When they said so.
    pub at: Timestamp,
}

/// What went wrong, as the port said it: at most 300 characters.
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

/// Who denied a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeniedBy {
    /// The policy.
    Policy,
    /// An approver.
    Approver(IdentityId),
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LapseCause {
    /// The approvals.
    Approval,
    /// The start.
    Start,
    /// The principal was not fit to have anything attached.
    Unfit,
}

/// Why access ends, or a grant is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its time is over.
    Deadline,
    /// Its holder, or the human who answers for it, gave it back.
    Released,
    /// Somebody in charge took it.
    Revoked,
    /// A kill switch covers it.
    Killed,
    /// Its identity, owner or entitlement left the catalogue.
    Leaver,
    /// What stands in AWS is not what the table says: an attachment that was altered or is gone, or a table that was put back
    /// to an older state.
    Drift,
    /// It could not be activated for sure.
    ActivationFailed,
}

/// What stood on the principal before an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Nothing under the name that is put.
    Absent,
    /// The same managed policy, held by other grants.
    HeldByGrants,
}

/// One reading of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When the answer was read, by the reader's clock.
    pub at: Timestamp,
    /// AWS's id of the reading call.
    pub request_id: String,
}

/// How it is known that access ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// AWS was read twice and showed it gone (a session: showed it denied).
    Observed {
        /// The first reading.
        first: Sighting,
        /// The second, after the fence and the quiet period.
        second: Sighting,
    },
    /// Nothing that was issued can outlive the deadline, and AWS's own clock is past it.
    ByConstruction {
        /// The deadline, which every vended session policy carries.
        deadline: Timestamp,
        /// AWS's `Date`.
        aws_date: Timestamp,
        /// AWS's id of the call whose answer carried it.
        request_id: String,
    },
    /// Other live grants still hold the same managed policy on the same principal.
    HandedOver {
        /// They.
        holders: Vec<GrantId>,
        /// The reading that showed it present.
        seen: Sighting,
    },
}

/// What ended access first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The time limit inside the policy.
    TimeLimit,
    /// The removal.
    Removal,
    /// Nothing yet: other grants hold the same access.
    HandOver,
}

/// What a check of effective permissions after the end found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EffectiveAccess {
    /// The actions are not allowed any more, but for what other grants hold.
    NotAllowed {
        /// Live grants that allow one of them: another grant is no residual access.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        but_by: Vec<GrantId>,
    },
    /// They still are, through standing access.
    Residual {
        /// The policies behind it.
        policies: Vec<String>,
    },
    /// The check gave no answer.
    Undetermined {
        /// Why.
        why: String,
    },
}

impl State {
    /// Approved at `now`, to be started within `start_within_s` seconds.
    #[must_use]
    pub(crate) fn approved(now: Timestamp, start_within_s: u32) -> Self {
        Self::Approved { starts_at: now, start_by: now.plus(start_within_s) }
    }

    /// The state's name, as items, wire and evidence write it.
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

    /// Whether nothing can happen to access any more.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Lapsed { .. } | Self::Withdrawn { .. } | Self::Ended { .. })
    }
}
