//! Secrets that are rotated once a grant has ended: which, how often, and how far that has come.
//!
//! A rotation that begins while the secret can still be read is worth nothing: it begins after the proof of ending, and
//! counts by its own version alone, since one that was under way before may have been read before. Nothing of it holds
//! up the removal, and nothing but its end takes it off the list.

use serde::{Deserialize, Serialize};

use super::{Grant, Problem, State};
use crate::canonical::Digest;
use crate::entitlement::Rotation;
use crate::time::Timestamp;

/// One secret to rotate, as its grant's decision names it, and how far that has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRotation {
    /// Its ARN; `-??????` at its end stands for what Secrets Manager adds to a name.
    pub secret: String,
    /// How often; never 0.
    pub times: u8,
    /// Rotations that were seen done.
    pub done: u8,
    /// Calls that were recorded, over all rotations.
    pub attempts: u32,
    /// The call that was recorded last, until its rotation is seen done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedRotation>,
    /// How often in a row something went wrong, since the last rotation that was seen done.
    pub troubles: u32,
    /// What went wrong last, since the last rotation that was seen done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// When to look at it next; nothing before it was first looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// A rotation that was asked for: whether it was begun is unknown until AWS is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRotation {
    /// The call's idempotency token, and the name of the version that it makes.
    pub token: Digest,
    /// The instant before which the call may still land.
    pub fence: Timestamp,
}

impl SecretRotation {
    /// What `rotation` asks for, none of it done.
    #[must_use]
    pub fn of(rotation: &Rotation) -> Self {
        Self {
            secret: rotation.secret.clone(),
            times: rotation.times,
            done: 0,
            attempts: 0,
            asked: None,
            troubles: 0,
            last_problem: None,
            next_at: None,
        }
    }

    /// Whether rotations are still to be made, or to be seen done.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.done < self.times
    }
}

impl Grant {
    /// The secrets that are still to be rotated; none before its end is proved.
    pub fn pending_rotations(&self) -> impl Iterator<Item = &SecretRotation> {
        let ended = matches!(self.state, State::Ended { .. });
        self.rotations.iter().filter(move |one| ended && one.is_pending())
    }

    /// The token of the next call for `one` of its secrets: a function of what is stored, so that of two reapers both would
    /// name the same, and different for each call that may have to be made anew. It holds the end, too: where an older table
    /// brings a grant back, what was rotated before its second end does not count after it. Zero while it has not ended.
    ///
    /// 64 characters, the most that `ClientRequestToken` takes.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
    #[must_use]
    pub fn next_token(&self, one: &SecretRotation) -> Digest {
        let State::Ended { verified_at, .. } = &self.state else { return Digest::ZERO };
        let (round, attempt) = (one.done.saturating_add(1), one.attempts.saturating_add(1));
        Digest::of_bytes(format!("{}\n{verified_at}\n{}\n{round}\n{attempt}", self.id, one.secret).as_bytes())
    }

    /// For how many seconds at `now` secrets that it named wait to be rotated since its end.
    #[must_use]
    pub fn rotating_for_s(&self, now: Timestamp) -> Option<u64> {
        let State::Ended { verified_at, .. } = &self.state else { return None };
        self.pending_rotations().next().map(|_| now.seconds_since(*verified_at))
    }
}
