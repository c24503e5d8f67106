//! Reviews of break-glass: each use is looked at afterwards, by somebody who is apart from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EntitlementId, GrantId, IdentityId};
use crate::time::Timestamp;

/// What an entitlement for emergencies says of a use of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassUse {
    /// The human who reviewed uses when it was decided.
    pub reviewer: IdentityId,
    /// Who answered for the entitlement then: they review where the reviewer cannot.
    pub owner: IdentityId,
    /// How old the reaper's last good pass may be when it is used, in seconds, if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heart_max_age_s: Option<u32>,
    /// Whether it may be used while grants are overdue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_overdue: bool,
}

/// Whether the use of a break-glass grant was reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "review", rename_all = "snake_case")]
pub enum Review {
    /// Not yet.
    Awaited,
    /// It was.
    Done {
        /// By whom.
        by: IdentityId,
        /// When.
        at: Timestamp,
        /// What came of it.
        outcome: ReviewOutcome,
    },
}

/// What a review came to. Either frees the requester: what else follows is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewOutcome {
    /// There was need of it, and it was used for that.
    Justified,
    /// There was not, or it was not.
    Unjustified,
}

/// A use that awaits its review: stored with the decision, gone with the review. While one stands its requester gets
/// nothing ordinary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitedReview {
    /// Whose use it is.
    pub identity: IdentityId,
    /// The grant.
    pub grant: GrantId,
    /// On what.
    pub entitlement: EntitlementId,
    /// When it was decided.
    pub since: Timestamp,
}

/// What a reviewer notes: 1 to 1 000 characters without control characters other than line ends. Kept as evidence and
/// never logged; its `Debug` form hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// The text is no note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note must be 1 to 1000 characters without control characters other than line ends")]
pub struct NoteError;

impl Note {
    /// The longest, in characters.
    pub const MAX: usize = 1_000;
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Note({} characters)", self.0.chars().count())
    }
}

impl TryFrom<String> for Note {
    type Error = NoteError;

    fn try_from(text: String) -> Result<Self, NoteError> {
        let n = text.chars().count();
        let odd = text.chars().any(|c| c.is_control() && c != '\n');
        if (1..=Self::MAX).contains(&n) && !odd { Ok(Self(text)) } else { Err(NoteError) }
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}
