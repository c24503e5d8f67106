//! Evidence: append-only entries of decisions, acts and readings. Each entry names the previous one by its hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{CanonicalError, Digest};
use crate::id::{EvidenceId, GrantId};
use crate::time::Timestamp;

/// The head of a grant's chain. The grant stores it, so a removed last entry is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last entry; 0 before the first.
    pub seq: u64,
    /// The hash of the last entry; all zeros before the first.
    pub hash: Digest,
}

impl Head {
    /// The head of a chain with no entry.
    pub const START: Self = Self { seq: 0, hash: Digest::ZERO };
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub id: EvidenceId,
    /// The grant of the chain.
    pub grant: GrantId,
    /// The number of the entry in the chain, from 1.
    pub seq: u64,
    /// The instant of the write, by the writer's clock.
    pub at: Timestamp,
    /// The function that wrote it.
    pub by: String,
    /// The name of the event.
    pub event: String,
    /// The grant's state afterwards.
    pub state: String,
    /// The digest of the grant afterwards, without its chain head.
    pub grant_digest: Digest,
    /// Further data. Never a credential, token, session policy or justification.
    pub detail: Value,
    /// The hash of the previous entry; all zeros for the first.
    pub prev: Digest,
}

/// One entry: its body and the SHA-256 of the body's canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub body: Body,
    pub hash: Digest,
}

impl Entry {
    /// Seals `body` with its hash.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the detail has no JSON form.
    pub fn seal(body: Body) -> Result<Self, CanonicalError> {
        Ok(Self { hash: Digest::of(&body)?, body })
    }

    /// The head of a chain that ends with this entry.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.body.seq, hash: self.hash }
    }
}

/// The fault of a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, doubled or out of order.
    #[error("entry {expected} is missing: entry {found} is in its place")]
    Gap {
        /// The expected number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// An entry does not name the previous entry.
    #[error("entry {0} does not follow from the entry before it")]
    Unlinked(u64),
    /// An entry's hash does not match its body.
    #[error("entry {0} was altered: its hash does not match")]
    Altered(u64),
    #[error("entry {0} belongs to another grant")]
    Foreign(u64),
    /// The chain does not end at the head that the grant names.
    #[error("the chain ends at entry {found}, but the grant names entry {expected}")]
    Cut {
        /// The entry that the grant names.
        expected: u64,
        /// The last entry found.
        found: u64,
    },
}

/// Checks a whole chain against the head that its grant names.
///
/// # Errors
///
/// The first [`ChainError`] found.
pub fn verify(grant: GrantId, head: Head, entries: &[Entry]) -> Result<(), ChainError> {
    let mut at = Head::START;
    for entry in entries {
        let (seq, expected) = (entry.body.seq, at.seq.saturating_add(1));
        if seq != expected {
            return Err(ChainError::Gap { expected, found: seq });
        }
        if entry.body.grant != grant {
            return Err(ChainError::Foreign(seq));
        }
        if entry.body.prev != at.hash {
            return Err(ChainError::Unlinked(seq));
        }
        if Digest::of(&entry.body).ok() != Some(entry.hash) {
            return Err(ChainError::Altered(seq));
        }
        at = entry.head();
    }
    if at == head { Ok(()) } else { Err(ChainError::Cut { expected: head.seq, found: at.seq }) }
}

#[cfg(test)]
mod tests;
