//! Whether the heart lets anything be issued.

use super::{Heart, LateGrant, Tolerance, is_overdue};
use crate::drill::{Drilled, Lack};
use crate::id::GrantId;
use crate::time::Timestamp;

/// Whether the heart lets anything be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It does.
    Beating,
    /// It does not.
    Stopped(Stop),
}

/// Why nothing is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At all: there was no good pass, or it is too old.
    Silent {
        /// Age of the last good pass in seconds, if there ever was one.
        age_s: Option<u64>,
    },
    /// At all: too many grants are overdue that nobody acknowledged, or more than the heart can name.
    TooManyOverdue {
        /// How many of them it names.
        n: usize,
        /// Since when it is stopped.
        since: Timestamp,
    },
    /// At all, but for canaries: a drill does not show that access ends.
    NotDrilled {
        /// Which, of several the one that is so for the longest.
        drilled: Drilled,
        /// Why.
        why: Lack,
        /// Since when it is stopped.
        since: Timestamp,
    },
    /// On this principal: a grant on it is overdue, acknowledged or not.
    PrincipalOverdue {
        /// The one that is so for the longest.
        grant: GrantId,
        /// Since when it is stopped.
        since: Timestamp,
    },
}

impl Heart {
    /// Judges at `now` whether anything may be issued on `principal`; where none is named, whether anything is at all.
    ///
    /// A pass that lies further than its greatest age in the future was written by a clock that is wrong, and says
    /// nothing.
    #[must_use]
    pub fn pulse(heart: Option<&Self>, principal: Option<&str>, now: Timestamp, tolerance: Tolerance) -> Pulse {
        let heart = heart.filter(|heart| heart.read_up_to <= now.plus(tolerance.max_age_s));
        let age_s = heart.map(|heart| now.seconds_since(heart.read_up_to));
        let Some(heart) = heart.filter(|_| age_s.is_some_and(|age| age <= u64::from(tolerance.max_age_s))) else {
            return Pulse::Stopped(Stop::Silent { age_s });
        };
        if tolerance.while_overdue {
            return Pulse::Beating;
        }
        let stop = heart.too_many(now, tolerance).or_else(|| heart.not_drilled(tolerance));
        let stop = stop.or_else(|| heart.overdue_on(principal?, now, tolerance));
        stop.map_or(Pulse::Beating, Pulse::Stopped)
    }

    fn too_many(&self, now: Timestamp, tolerance: Tolerance) -> Option<Stop> {
        let overdue_s = tolerance.overdue_s;
        let awaited: Vec<&LateGrant> = self.late.overdue(now, overdue_s).filter(|late| !late.acknowledged).collect();
        let one_more = usize::try_from(tolerance.max_overdue).ok().and_then(|most| awaited.get(most));
        let beyond = self.late.beyond.filter(|beyond| is_overdue(beyond.since, now, overdue_s));
        let since = one_more.map(|late| late.since).into_iter().chain(beyond.map(|beyond| beyond.since)).min()?;
        Some(Stop::TooManyOverdue { n: awaited.len(), since: since.plus(overdue_s) })
    }

    fn not_drilled(&self, tolerance: Tolerance) -> Option<Stop> {
        let first =
            self.drills.iter().filter(|_| !tolerance.is_canary).min_by_key(|drill| (drill.since, drill.drilled))?;
        Some(Stop::NotDrilled { drilled: first.drilled, why: first.why, since: first.since })
    }

    fn overdue_on(&self, principal: &str, now: Timestamp, tolerance: Tolerance) -> Option<Stop> {
        let on_it = |late: &&LateGrant| late.principal.as_deref() == Some(principal);
        let late = self.late.overdue(now, tolerance.overdue_s).find(on_it)?;
        Some(Stop::PrincipalOverdue { grant: late.grant, since: late.since.plus(tolerance.overdue_s) })
    }
}
