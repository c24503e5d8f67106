//! Reviews of break-glass: an independent person reviews each use afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EntitlementId, GrantId, IdentityId};
use crate::time::Timestamp;

/// The break-glass settings of an entitlement that each use records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassUse {
    /// The reviewer at the decision.
    pub reviewer: IdentityId,
    /// The owner of the entitlement at the decision, who reviews if the reviewer cannot.
    pub owner: IdentityId,
    /// The maximum age of the reaper's last good pass at the use, in seconds, if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_max_age_s: Option<u32>,
    /// Whether it may be used while grants are overdue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_overdue: bool,
}

/// The review of a break-glass use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "review", rename_all = "snake_case")]
pub enum Review {
    /// The review is still to come.
    Awaited,
    /// The use was reviewed.
    Done { by: IdentityId, at: Timestamp, outcome: ReviewOutcome },
}

/// The outcome of a review. Both outcomes free the requester; people decide on further consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewOutcome {
    /// The use was needed, and served that need.
    Justified,
    /// The use was not needed, or served something else.
    Unjustified,
}

/// A use that awaits its review. The record is stored with the decision and removed with the review. While it exists,
/// the requester gets no ordinary grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitedReview {
    /// The requester of the use.
    pub identity: IdentityId,
    pub grant: GrantId,
    pub entitlement: EntitlementId,
    pub since: Timestamp,
}

/// A reviewer's note: 1 to 1 000 characters without control characters other than line ends. Stored as evidence and
/// never logged; its `Debug` form hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// The text is not a valid note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note must be 1 to 1000 characters without control characters other than line ends")]
pub struct NoteError;

impl Note {
    /// The maximum length, in characters.
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
