//! The secrets that are rotated after a grant has ended: which ones, how often, and the progress.
//!
//! A rotation is worthless while the holder can still read the secret. So it begins after the proof of ending.
//! Only its own version counts, because the holder may have read a version from a rotation that began earlier.
//! A rotation never delays the removal. It stays on the to-do list until it is done.

use serde::{Deserialize, Serialize};

use super::apply::TransitionError::{self, TooEarly};
use super::{Event, Grant, Problem, State};
use crate::canonical::Digest;
use crate::entitlement::Rotation;
use crate::time::Timestamp;

/// One secret to rotate, as the grant's decision names it, with its progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRotation {
    /// The ARN of the secret; a final `-??????` stands for the suffix that Secrets Manager adds to a name.
    pub secret: String,
    /// The number of rotations needed; never 0.
    pub times: u8,
    /// The number of rotations that were read as done.
    pub done: u8,
    /// The number of calls recorded, over all rotations.
    pub attempts: u32,
    /// The last recorded call, until its rotation is read as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedRotation>,
    /// The number of problems since the last rotation that was read as done.
    pub troubles: u32,
    /// The last problem since the last rotation that was read as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// The instant of the next attempt or reading; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// A requested rotation. Whether it began is unknown until AWS is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRotation {
    /// The call's idempotency token, which is also the id of the version that it creates.
    pub token: Digest,
    /// The instant until which the call may still take effect.
    pub fence: Timestamp,
}

impl SecretRotation {
    /// The rotations that `rotation` asks for, none of them done.
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

    /// Whether a rotation is still to be made or to be read as done.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.done < self.times
    }
}

impl Grant {
    /// The secrets that are still to be rotated; empty until the end of the grant is proved.
    pub fn pending_rotations(&self) -> impl Iterator<Item = &SecretRotation> {
        let ended = matches!(self.state, State::Ended { .. });
        self.rotations.iter().filter(move |rotation| ended && rotation.is_pending())
    }

    /// The token of the next call for one of the grant's secrets; zero while the grant has not ended.
    ///
    /// The token is a function of the stored data, so two reapers use the same rotation. It differs for each call that
    /// may have to be repeated. It also covers the end: if a restored table brings a grant back, a rotation before its
    /// second end does not count after it.
    ///
    /// 64 characters, the most that `ClientRequestToken` takes.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
    #[must_use]
    pub fn next_token(&self, rotation: &SecretRotation) -> Digest {
        let State::Ended { verified_at, .. } = &self.state else { return Digest::ZERO };
        let (round, attempt) = (rotation.done.saturating_add(1), rotation.attempts.saturating_add(1));
        Digest::of_bytes(format!("{}\n{verified_at}\n{}\n{round}\n{attempt}", self.id, rotation.secret).as_bytes())
    }

    /// The seconds since the end at `now`, while secrets still wait to be rotated.
    #[must_use]
    pub fn rotating_for_s(&self, now: Timestamp) -> Option<u64> {
        let State::Ended { verified_at, .. } = &self.state else { return None };
        self.pending_rotations().next().map(|_| now.seconds_since(*verified_at))
    }

    /// The rotations after `event`, if it is a rotation event.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other events returned earlier; a rotation event that does not apply is refused"
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
        // INVARIANT: only secrets that the decision names are rotated, no more often, and only after the proof of
        // ending.
        let named = rotations.iter_mut().find(|rotation| rotation.secret == *secret && rotation.is_pending());
        let rotation = named.ok_or_else(|| self.refuse(event))?;
        match event {
            // A call that may still take effect must be read first, and only after its fence.
            Event::RotationRecorded { .. } if rotation.asked.is_some_and(|asked| now < asked.fence) => {
                return Err(TooEarly {
                    event: event.name(),
                    not_before: rotation.asked.map_or(now, |asked| asked.fence),
                });
            }
            // A repeated call or a new rotation.
            Event::RotationRecorded { token, fence, next_at, again, .. }
                if rotation.asked.is_some_and(|asked| asked.token == *token) || self.next_token(rotation) == *token =>
            {
                rotation.attempts = rotation.attempts.saturating_add(1);
                rotation.asked = Some(AskedRotation { token: *token, fence: *fence });
                rotation.next_at = Some(*next_at.max(fence));
                if let Some(problem) = again {
                    rotation.troubles = rotation.troubles.saturating_add(1);
                    rotation.last_problem = Some(problem.clone());
                }
            }
            Event::RotationObserved { reading, .. } if reading.at > now => {
                return Err(TooEarly { event: event.name(), not_before: reading.at });
            }
            Event::RotationObserved { token, .. } if rotation.asked.is_some_and(|asked| asked.token == *token) => {
                rotation.done = rotation.done.saturating_add(1);
                (rotation.asked, rotation.troubles, rotation.last_problem) = (None, 0, None);
                rotation.next_at = rotation.is_pending().then_some(now);
            }
            Event::RotationTroubled { problem, next_at, .. } => {
                rotation.troubles = rotation.troubles.saturating_add(1);
                rotation.last_problem = Some(problem.clone());
                rotation.next_at = Some(rotation.asked.map_or(*next_at, |asked| asked.fence.max(*next_at)));
            }
            _ => return Err(self.refuse(event)),
        }
        Ok(Some(rotations))
    }
}
