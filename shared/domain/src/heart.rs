//! The reaper's heart: issuing stops when ending is broken (invariant 12).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The record of the reaper's last good pass: every shard read up to `read_up_to`, and every write allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heart {
    /// The instant up to which every shard was read.
    pub read_up_to: Timestamp,
}

/// Whether the heart lets anything be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// The last good pass is recent.
    Beating,
    /// There was no good pass, or it is this many seconds old.
    Stopped {
        /// Age of the last good pass in seconds, if there ever was one.
        age_s: Option<u64>,
    },
}

impl Heart {
    /// Judges `heart` at `now`: beating if the last good pass is at most `max_age_s` old.
    ///
    /// One that lies further than that in the future was written by a clock that is wrong, and says nothing.
    #[must_use]
    pub fn pulse(heart: Option<&Self>, now: Timestamp, max_age_s: u32) -> Pulse {
        let heart = heart.filter(|heart| heart.read_up_to <= now.plus(max_age_s));
        let age_s = heart.map(|heart| now.seconds_since(heart.read_up_to));
        match age_s {
            Some(age) if age <= u64::from(max_age_s) => Pulse::Beating,
            _ => Pulse::Stopped { age_s },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_old_heart_is_stopped() {
        let now = Timestamp::from_seconds(1_000);
        let heart = Heart { read_up_to: Timestamp::from_seconds(820) };
        assert_eq!(Heart::pulse(None, now, 180), Pulse::Stopped { age_s: None });
        assert_eq!(Heart::pulse(Some(&heart), now, 180), Pulse::Beating);
        assert_eq!(Heart::pulse(Some(&heart), now.plus(1), 180), Pulse::Stopped { age_s: Some(181) });
        let ahead = Heart { read_up_to: now.plus(181) };
        assert_eq!(Heart::pulse(Some(&ahead), now, 180), Pulse::Stopped { age_s: None });
        assert_eq!(Heart::pulse(Some(&ahead), now.plus(1), 180), Pulse::Beating);
    }
}
