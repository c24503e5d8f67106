//! What a sweep of AWS found that no grant explains.
//!
//! There may be no grant whose evidence could tell of it, so findings are a chain of their own: each is put where none is,
//! and names the one before by its digest.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest};
use crate::grant::{Grant, Sighting};
use crate::id::{EvidenceId, GrantId};
use crate::place::Place;
use crate::time::Timestamp;

/// One entry of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its name.
    pub id: EvidenceId,
    /// Its number, from 1 on.
    pub seq: u64,
    /// The digest of the one before; zero for the first.
    pub prev: Digest,
    /// When.
    pub at: Timestamp,
    /// What stood in AWS.
    pub place: Place,
    /// Why it should not.
    pub why: Why,
    /// The reading that showed it standing, or gone.
    pub seen: Sighting,
    /// What was done about it.
    pub act: Act,
}

/// Why nothing explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Why {
    /// The grant that it is named after is not on record.
    NoRecord {
        /// The grant.
        grant: GrantId,
    },
    /// That grant is on record, but nothing of it may stand here now.
    NotHeld {
        /// The grant.
        grant: GrantId,
        /// The state that it is in.
        state: String,
    },
    /// No live grant is counted as a holder of the managed policy.
    NoHolder,
    /// A session role's reserved deny, which has no entry any more; or names sessions that have none, and which are denied
    /// by their time of issue from now on.
    NoEntry {
        /// How many sessions.
        n_sessions: u64,
    },
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is about to be removed: stored before the call.
    RemovalRecorded,
    /// It is about to be written anew, or taken off if nobody is denied any more: stored before the call.
    DenyRecorded,
    /// It was read back after a removal, and is gone.
    GoneObserved,
}

/// What is told by the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What stood in AWS.
    pub place: Place,
    /// Why it should not.
    pub why: Why,
    /// The reading.
    pub seen: Sighting,
    /// What was done about it.
    pub act: Act,
}

impl Why {
    /// Why what is named after `id` should not stand, where `grant` is what is on record of it.
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
    pub fn next(last: Option<&Self>, id: EvidenceId, told: Told, now: Timestamp) -> Result<Self, CanonicalError> {
        let Told { place, why, seen, act } = told;
        Ok(Self {
            id,
            seq: last.map_or(0, |last| last.seq).saturating_add(1),
            prev: last.map_or(Ok(Digest::ZERO), Digest::of)?,
            at: now,
            place,
            why,
            seen,
            act,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_names_the_one_before_by_its_digest() {
        let id: EvidenceId = "evd_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let at = Timestamp::from_seconds(1_795_348_800);
        let told = Told {
            place: Place::Managed { principal_arn: "role".to_owned(), policy_arn: "policy".to_owned() },
            why: Why::NoHolder,
            seen: Sighting { at, request_id: "r-1".to_owned() },
            act: Act::RemovalRecorded,
        };
        let first = Finding::next(None, id, told.clone(), at).unwrap();
        assert_eq!((first.seq, first.prev), (1, Digest::ZERO));
        let second = Finding::next(Some(&first), id, Told { act: Act::GoneObserved, ..told }, at).unwrap();
        assert_eq!((second.seq, second.prev), (2, Digest::of(&first).unwrap()));
        let text = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), second);
    }
}
