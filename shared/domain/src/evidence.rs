//! Evidence: append-only entries of what was decided, done and seen, each chained to the one before by its hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{CanonicalError, Digest};
use crate::id::{EvidenceId, GrantId};
use crate::time::Timestamp;

/// The end of a grant's chain, kept in the grant: an entry that was cut off is missed.
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

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The entry's own name.
    pub id: EvidenceId,
    /// Whose chain it is in.
    pub grant: GrantId,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When it was written, by the writer's clock.
    pub at: Timestamp,
    /// The function that wrote it.
    pub by: String,
    /// What happened, as the event is named.
    pub event: String,
    /// The grant's state afterwards.
    pub state: String,
    /// The digest of the grant afterwards, its chain head left out.
    pub grant_digest: Digest,
    /// What else there is to tell. Never a credential, token, session policy or justification.
    pub detail: Value,
    /// The hash of the entry before; all zeros for the first.
    pub prev: Digest,
}

/// One entry: its body and the SHA-256 of the body's canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it tells.
    #[serde(flatten)]
    pub body: Body,
    /// The hash of the body.
    pub hash: Digest,
}

impl Entry {
    /// Seals `body`.
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

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, doubled or out of order.
    #[error("entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry names another entry before it than the one that is there.
    #[error("entry {0} does not follow from the entry before it")]
    Unlinked(u64),
    /// An entry's hash is not that of its body.
    #[error("entry {0} was altered: its hash does not match")]
    Altered(u64),
    /// An entry belongs to another grant.
    #[error("entry {0} belongs to another grant")]
    Foreign(u64),
    /// The chain ends elsewhere than the grant says.
    #[error("the chain ends at entry {found}, but the grant names entry {expected}")]
    Cut {
        /// The entry that the grant names.
        expected: u64,
        /// The last entry there is.
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
