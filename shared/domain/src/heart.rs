//! The reaper's heart: issuing stops when ending is broken (invariant 12).
//!
//! A good pass says how far it has read, and which ends are late. What that means is judged when something is to be
//! issued: an end that was late at the last pass becomes overdue by itself, as time goes by.

mod pulse;

use serde::{Deserialize, Serialize};

pub use self::pulse::{Pulse, Stop};
use crate::drill::Unproved;
use crate::grant::{Grant, State};
use crate::id::GrantId;
use crate::review::BreakGlassUse;
use crate::time::Timestamp;

/// What issuing puts up with; beyond it nothing is issued, on one principal or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How old the reaper's last good pass may be, in seconds.
    pub max_age_s: u32,
    /// How long an end may take from when it was due until its grant is overdue, in seconds.
    pub overdue_s: u32,
    /// How many overdue grants that nobody acknowledged there may be; one more stops everything.
    pub max_overdue: u32,
    /// Whether grants that are overdue, and drills that show nothing, stop nothing: only for break-glass that says so.
    pub while_overdue: bool,
    /// Whether drills that show nothing stop nothing: only for the canaries, without which none could pass again.
    pub is_canary: bool,
}

impl Tolerance {
    /// What is put up with for a use of break-glass, if it is one: it has settings of its own.
    #[must_use]
    pub fn of(self, glass: Option<&BreakGlassUse>) -> Self {
        let Some(glass) = glass else { return self };
        let max_age_s = glass.heart_max_age_s.unwrap_or(self.max_age_s);
        Self { max_age_s, while_overdue: glass.while_overdue, ..self }
    }

    /// What is put up with for a canary, if it `is_canary`: every other reason stops it too.
    #[must_use]
    pub fn for_canary(self, is_canary: bool) -> Self {
        Self { is_canary, ..self }
    }

    /// After how many seconds an end is late, and kept in sight: long before it is overdue, so that none becomes so
    /// while an attempt that failed has put it off.
    #[must_use]
    pub fn late_s(self) -> u32 {
        self.overdue_s.div_euclid(3)
    }
}

/// The record of the reaper's last good pass: every shard read up to `read_up_to`, and every write allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heart {
    /// How often it has beaten. Of two passes at once, the later one takes in what the first one found.
    pub beats: u64,
    /// The instant up to which every shard was read.
    pub read_up_to: Timestamp,
    /// The ends that were late then.
    pub late: Late,
    /// The drills that did not show then that access ends; none where nothing is drilled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<Unproved>,
}

/// Ends that were due some time ago and are not proved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// At most [`Late::MAX`], those due first in front.
    pub grants: Vec<LateGrant>,
    /// What found no room among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
}

/// A grant whose end is late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateGrant {
    /// The grant.
    pub grant: GrantId,
    /// The session role or principal that its access is on; nothing where its record cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Since when it should have been over.
    pub since: Timestamp,
    /// Whether somebody in charge said that they know.
    pub acknowledged: bool,
}

/// Overdue grants for which there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beyond {
    /// Since when the one that was due first should have been over.
    pub since: Timestamp,
    /// Until when they count: by then each that is still not over has come by again, however long it was put off.
    pub until: Timestamp,
}

impl LateGrant {
    /// `grant`, if it should have been over.
    #[must_use]
    pub fn of(grant: &Grant, now: Timestamp) -> Option<Self> {
        let since = grant.over_since().filter(|since| *since < now)?;
        let acknowledged = matches!(&grant.state, State::Revoking(revoking) if revoking.acknowledged.is_some());
        let principal = Some(grant.delivery.principal().to_owned());
        Some(Self { grant: grant.id, principal, since, acknowledged })
    }
}

impl Beyond {
    /// How long what found no room counts, in seconds: more than a minute and a half, for which an attempt that failed
    /// puts a grant off, and a tick.
    pub const COUNTS_S: u32 = 180;
}

impl Late {
    /// The most that are named.
    pub const MAX: usize = 50;

    /// The list of `grants` at `now`. Where more are overdue than there is room for, that is said, and kept in mind for a
    /// while: `before` is what the list before this one said of it.
    #[must_use]
    pub fn of(mut grants: Vec<LateGrant>, before: Option<Beyond>, now: Timestamp, overdue_s: u32) -> Self {
        grants.sort_by_key(|late| (late.since, late.grant));
        let n = grants.len().min(Self::MAX);
        let left_out = grants.split_off(n).into_iter().next().filter(|first| is_overdue(first.since, now, overdue_s));
        let before = before.filter(|before| now < before.until);
        let beyond = match left_out {
            None => before,
            Some(first) => {
                let since = before.map_or(first.since, |before| before.since.min(first.since));
                Some(Beyond { since, until: now.plus(Beyond::COUNTS_S) })
            }
        };
        Self { grants, beyond }
    }

    /// Those that are overdue at `now`, those due first in front.
    pub fn overdue(&self, now: Timestamp, overdue_s: u32) -> impl Iterator<Item = &LateGrant> {
        self.grants.iter().filter(move |late| is_overdue(late.since, now, overdue_s))
    }
}

/// Whether what should have been over since `since` is overdue at `now`.
#[must_use]
pub fn is_overdue(since: Timestamp, now: Timestamp, overdue_s: u32) -> bool {
    now.seconds_since(since) > u64::from(overdue_s)
}

impl Heart {
    /// A first beat, with nothing late.
    #[must_use]
    pub fn first(read_up_to: Timestamp) -> Self {
        Self { beats: 1, read_up_to, late: Late::default(), drills: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
