//! Findings: access that a sweep of AWS found and that no grant explains.
//!
//! There may be no grant whose evidence could hold a finding, so findings form their own chain. Each entry is put only
//! if absent and names the previous one by its digest.

use serde::{Deserialize, Serialize};

use crate::attachment_target::AttachmentTarget;
use crate::canonical::{CanonicalError, Digest};
use crate::grant::{Grant, Reading};
use crate::id::{EvidenceId, GrantId};
use crate::time::Timestamp;

/// One entry of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub id: EvidenceId,
    /// The number of the entry, from 1.
    pub seq: u64,
    /// The digest of the previous entry; zero for the first.
    pub prev: Digest,
    pub at: Timestamp,
    /// The access that was found in AWS.
    pub target: AttachmentTarget,
    /// The reason why it should not exist.
    pub reason: FindingReason,
    /// The reading that showed it present or gone.
    pub reading: Reading,
    pub action: FindingAction,
}

/// The reason why no grant explains the access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum FindingReason {
    /// The table has no record of the grant in its name.
    NoRecord { grant: GrantId },
    /// The grant in its name is on record, but may hold no access here now.
    NotHeld {
        grant: GrantId,
        /// The state of the grant.
        state: String,
    },
    /// No live grant is recorded as a holder of the managed policy.
    NoHolder,
    /// The reserved deny of a session role has no entries any more. Or it names sessions without an entry; from now on
    /// they are denied by their time of issue.
    NoEntry {
        /// The number of sessions without an entry.
        n_sessions: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingAction {
    /// The access is about to be removed; stored before the call.
    RemovalRecorded,
    /// The deny is about to be written again, or removed if it denies nobody any more; stored before the call.
    DenyRecorded,
    /// A reading after a removal showed the access gone.
    GoneObserved,
}

/// The content of the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFinding {
    /// The access that was found in AWS.
    pub target: AttachmentTarget,
    /// The reason why it should not exist.
    pub reason: FindingReason,
    pub reading: Reading,
    pub action: FindingAction,
}

impl FindingReason {
    /// The reason for access named after grant `id`, whose record is `grant`.
    #[must_use]
    pub fn not_held(id: GrantId, grant: Option<&Grant>) -> Self {
        match grant {
            None => Self::NoRecord { grant: id },
            Some(grant) => Self::NotHeld { grant: id, state: grant.state.name().to_owned() },
        }
    }
}

impl Finding {
    /// The entry after `last`.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if `last` has no JSON form.
    pub fn next(last: Option<&Self>, id: EvidenceId, new: NewFinding, now: Timestamp) -> Result<Self, CanonicalError> {
        let NewFinding { target, reason, reading, action } = new;
        Ok(Self {
            id,
            seq: last.map_or(0, |last| last.seq).saturating_add(1),
            prev: last.map_or(Ok(Digest::ZERO), Digest::of)?,
            at: now,
            target,
            reason,
            reading,
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_names_the_previous_one_by_its_digest() {
        let id: EvidenceId = "evd_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let at = Timestamp::from_seconds(1_795_348_800);
        let new = NewFinding {
            target: AttachmentTarget::Managed { principal_arn: "role".to_owned(), policy_arn: "policy".to_owned() },
            reason: FindingReason::NoHolder,
            reading: Reading { at, request_id: "r-1".to_owned() },
            action: FindingAction::RemovalRecorded,
        };
        let first = Finding::next(None, id, new.clone(), at).unwrap();
        assert_eq!((first.seq, first.prev), (1, Digest::ZERO));
        let second =
            Finding::next(Some(&first), id, NewFinding { action: FindingAction::GoneObserved, ..new }, at).unwrap();
        assert_eq!((second.seq, second.prev), (2, Digest::of(&first).unwrap()));
        let text = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), second);
    }
}
