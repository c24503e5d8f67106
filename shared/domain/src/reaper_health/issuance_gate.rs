//! The gate that stops issuing while the reaper's health is bad.

use super::{IssuancePolicy, LateGrant, ReaperHealth, is_overdue};
use crate::drill::{DrillFailure, Drilled};
use crate::id::GrantId;
use crate::time::Timestamp;

/// Whether anything may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuanceGate {
    /// Issuing is allowed.
    Open,
    /// Issuing is stopped.
    Closed(Stop),
}

/// The reason why issuing is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Stops everything: there was no good pass, or it is too old.
    NoHeartbeat {
        /// The age of the last good pass in seconds, if there was one.
        age_s: Option<u64>,
    },
    /// Stops everything: too many unacknowledged grants are overdue, or more than the reaper's record can list.
    TooManyOverdue {
        /// The number of unacknowledged overdue grants in the record.
        n: usize,
        /// The instant from which issuing is stopped.
        since: Timestamp,
    },
    /// Stops everything but canaries: a drill does not show that access ends.
    NotDrilled {
        /// The drill; of several, the one that failed first.
        drilled: Drilled,
        why: DrillFailure,
        /// The instant from which issuing is stopped.
        since: Timestamp,
    },
    /// Stops this principal: a grant on it is overdue, acknowledged or not.
    PrincipalOverdue {
        /// The grant; of several, the one that was due first.
        grant: GrantId,
        /// The instant from which issuing is stopped.
        since: Timestamp,
    },
}

impl ReaperHealth {
    /// Judges at `now` whether anything may be issued on `principal`, or at all if `principal` is `None`.
    ///
    /// A pass that lies further in the future than its maximum age was written by a wrong clock and is ignored.
    #[must_use]
    pub fn issuance_gate(
        health: Option<&Self>,
        principal: Option<&str>,
        now: Timestamp,
        policy: IssuancePolicy,
    ) -> IssuanceGate {
        let health = health.filter(|health| health.read_up_to <= now.plus(policy.max_age_s));
        let age_s = health.map(|health| now.seconds_since(health.read_up_to));
        let Some(health) = health.filter(|_| age_s.is_some_and(|age| age <= u64::from(policy.max_age_s))) else {
            return IssuanceGate::Closed(Stop::NoHeartbeat { age_s });
        };
        if policy.while_overdue {
            return IssuanceGate::Open;
        }
        let stop = health.too_many(now, policy).or_else(|| health.not_drilled(policy));
        let stop = stop.or_else(|| health.overdue_on(principal?, now, policy));
        stop.map_or(IssuanceGate::Open, IssuanceGate::Closed)
    }

    fn too_many(&self, now: Timestamp, policy: IssuancePolicy) -> Option<Stop> {
        let overdue_s = policy.overdue_s;
        let awaited: Vec<&LateGrant> = self.late.overdue(now, overdue_s).filter(|late| !late.acknowledged).collect();
        let first_excess = usize::try_from(policy.max_overdue).ok().and_then(|most| awaited.get(most));
        let overflow = self.late.overflow.filter(|overflow| is_overdue(overflow.since, now, overdue_s));
        let since =
            first_excess.map(|late| late.since).into_iter().chain(overflow.map(|overflow| overflow.since)).min()?;
        Some(Stop::TooManyOverdue { n: awaited.len(), since: since.plus(overdue_s) })
    }

    fn not_drilled(&self, policy: IssuancePolicy) -> Option<Stop> {
        let first =
            self.drills.iter().filter(|_| !policy.is_canary).min_by_key(|drill| (drill.since, drill.drilled))?;
        Some(Stop::NotDrilled { drilled: first.drilled, why: first.why, since: first.since })
    }

    fn overdue_on(&self, principal: &str, now: Timestamp, policy: IssuancePolicy) -> Option<Stop> {
        let on_it = |late: &&LateGrant| late.principal.as_deref() == Some(principal);
        let late = self.late.overdue(now, policy.overdue_s).find(on_it)?;
        Some(Stop::PrincipalOverdue { grant: late.grant, since: late.since.plus(policy.overdue_s) })
    }
}
