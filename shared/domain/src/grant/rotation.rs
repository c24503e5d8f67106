//! Secrets that are rotated once a grant has ended: which, how often, and how far that has come.
//!
//! A rotation that begins while the secret can still be read is worth nothing: it begins after the proof of ending, and
//! counts by its own version alone, since one that was under way before may have been read before. Nothing of it holds
//! up the removal, and nothing but its end takes it off the list.

use serde::{Deserialize, Serialize};

use super::apply::TransitionError::{self, TooEarly};
use super::{Event, Grant, Problem, State};
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

    /// Its rotations after `event`, where it is one of theirs.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not of a rotation was returned before; what does not fit is refused"
    )]
    pub(super) fn rotated(
        &self,
        event: &Event,
        now: Timestamp,
    ) -> Result<Option<Vec<SecretRotation>>, TransitionError> {
        let (Event::RotationRecorded { secret, .. }
        | Event::RotationObserved { secret, .. }
        | Event::RotationTroubled { secret, .. }) = event
        else {
            return Ok(None);
        };
        let mut rotations = self.rotations.clone();
        // INVARIANT: only what the decision named, no more often, and only after the end is proved.
        let named = rotations.iter_mut().find(|one| one.secret == *secret && one.is_pending());
        let one = named.ok_or_else(|| self.refuse(event))?;
        match event {
            // What may still land must be read first, and only once it has landed.
            Event::RotationRecorded { .. } if one.asked.is_some_and(|asked| now < asked.fence) => {
                return Err(TooEarly { event: event.name(), not_before: one.asked.map_or(now, |asked| asked.fence) });
            }
            // A call that is made again, or a new one.
            Event::RotationRecorded { token, fence, next_at, again, .. }
                if one.asked.is_some_and(|asked| asked.token == *token) || self.next_token(one) == *token =>
            {
                one.attempts = one.attempts.saturating_add(1);
                one.asked = Some(AskedRotation { token: *token, fence: *fence });
                one.next_at = Some(*next_at.max(fence));
                if let Some(problem) = again {
                    one.troubles = one.troubles.saturating_add(1);
                    one.last_problem = Some(problem.clone());
                }
            }
            Event::RotationObserved { seen, .. } if seen.at > now => {
                return Err(TooEarly { event: event.name(), not_before: seen.at });
            }
            Event::RotationObserved { token, .. } if one.asked.is_some_and(|asked| asked.token == *token) => {
                one.done = one.done.saturating_add(1);
                (one.asked, one.troubles, one.last_problem) = (None, 0, None);
                one.next_at = one.is_pending().then_some(now);
            }
            Event::RotationTroubled { problem, next_at, .. } => {
                one.troubles = one.troubles.saturating_add(1);
                one.last_problem = Some(problem.clone());
                one.next_at = Some(one.asked.map_or(*next_at, |asked| asked.fence.max(*next_at)));
            }
            _ => return Err(self.refuse(event)),
        }
        Ok(Some(rotations))
    }
}
