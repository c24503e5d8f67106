//! The health of the reaper: issuing stops when ending is broken (invariant 12).
//!
//! A good pass records how far it read and which ends are late. The issuer judges the record when it wants to issue:
//! an end that was late at the last pass becomes overdue as time passes.

mod issuance_gate;

use serde::{Deserialize, Serialize};

pub use self::issuance_gate::{IssuanceGate, Stop};
use crate::drill::Unproved;
use crate::grant::{Grant, State};
use crate::id::GrantId;
use crate::review::BreakGlassUse;
use crate::time::Timestamp;

/// The limits for issuing. Beyond them nothing is issued, on one principal or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuancePolicy {
    /// The maximum age of the reaper's last good pass, in seconds.
    pub max_age_s: u32,
    /// The time after its due instant at which an end becomes overdue, in seconds.
    pub overdue_s: u32,
    /// The maximum number of overdue grants without acknowledgement. One more stops everything.
    pub max_overdue: u32,
    /// Whether overdue grants and unproved drills stop nothing. Only a break-glass entitlement can set it.
    pub while_overdue: bool,
    /// Whether unproved drills stop nothing. Only for canaries: without them no drill could pass again.
    pub is_canary: bool,
}

impl IssuancePolicy {
    /// The limits for a break-glass use, which has its own settings; the same limits for other grants.
    #[must_use]
    pub fn of(self, glass: Option<&BreakGlassUse>) -> Self {
        let Some(glass) = glass else { return self };
        let max_age_s = glass.heartbeat_max_age_s.unwrap_or(self.max_age_s);
        Self { max_age_s, while_overdue: glass.while_overdue, ..self }
    }

    /// The limits for a canary, if it `is_canary`. Every other reason stops a canary too.
    #[must_use]
    pub fn for_canary(self, is_canary: bool) -> Self {
        Self { is_canary, ..self }
    }

    /// The seconds after which an end is late and is recorded. That is long before it is overdue: an end must not
    /// become overdue unrecorded while a failed attempt postpones it.
    #[must_use]
    pub fn late_s(self) -> u32 {
        self.overdue_s.div_euclid(3)
    }
}

/// The record of the reaper's last good pass: it read every shard up to `read_up_to`, and every write succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaperHealth {
    /// The number of heartbeats. Of two concurrent passes, the later one merges the findings of the first.
    pub heartbeats: u64,
    /// The instant up to which the pass read every shard.
    pub read_up_to: Timestamp,
    /// The ends that were late at that pass.
    pub late: Late,
    /// The drills that did not show at that pass that access ends; empty if no drill is set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<Unproved>,
}

/// Ends that were due some time ago and are not proved yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// At most [`Late::MAX`] grants, ordered by their due instants.
    pub grants: Vec<LateGrant>,
    /// The overdue grants beyond that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<OverdueOverflow>,
}

/// A grant with a late end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateGrant {
    pub grant: GrantId,
    /// The session role or principal of its access; `None` if the grant's record cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The instant at which it should have ended.
    pub since: Timestamp,
    /// Whether a responsible person acknowledged it.
    pub acknowledged: bool,
}

/// Overdue grants that did not fit into the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverdueOverflow {
    /// The instant at which the first of them should have ended.
    pub since: Timestamp,
    /// The instant until which they count. By then the reaper has read each of them again, however long it was
    /// postponed.
    pub until: Timestamp,
}

impl LateGrant {
    /// The entry for `grant`, if it should have ended before `now`.
    #[must_use]
    pub fn of(grant: &Grant, now: Timestamp) -> Option<Self> {
        let since = grant.over_since().filter(|since| *since < now)?;
        let acknowledged = matches!(&grant.state, State::Revoking(revoking) if revoking.acknowledged.is_some());
        let principal = Some(grant.delivery.principal().to_owned());
        Some(Self { grant: grant.id, principal, since, acknowledged })
    }
}

impl OverdueOverflow {
    /// The time that the overflow counts, in seconds. It is more than the minute and a half by which a failed attempt
    /// postpones a grant, plus a tick.
    pub const COUNTS_S: u32 = 180;
}

impl Late {
    /// The maximum number of grants in the list.
    pub const MAX: usize = 50;

    /// The list of `grants` at `now`. If more are overdue than fit, the list records the overflow for a while; `before`
    /// is the overflow of the previous list.
    #[must_use]
    pub fn of(mut grants: Vec<LateGrant>, before: Option<OverdueOverflow>, now: Timestamp, overdue_s: u32) -> Self {
        grants.sort_by_key(|late| (late.since, late.grant));
        let n = grants.len().min(Self::MAX);
        let left_out = grants.split_off(n).into_iter().next().filter(|first| is_overdue(first.since, now, overdue_s));
        let before = before.filter(|before| now < before.until);
        let overflow = match left_out {
            None => before,
            Some(first) => {
                let since = before.map_or(first.since, |before| before.since.min(first.since));
                Some(OverdueOverflow { since, until: now.plus(OverdueOverflow::COUNTS_S) })
            }
        };
        Self { grants, overflow }
    }

    /// The grants that are overdue at `now`, ordered by their due instants.
    pub fn overdue(&self, now: Timestamp, overdue_s: u32) -> impl Iterator<Item = &LateGrant> {
        self.grants.iter().filter(move |late| is_overdue(late.since, now, overdue_s))
    }
}

/// Whether a grant that should have ended at `since` is overdue at `now`.
#[must_use]
pub fn is_overdue(since: Timestamp, now: Timestamp, overdue_s: u32) -> bool {
    now.seconds_since(since) > u64::from(overdue_s)
}

impl ReaperHealth {
    /// The first heartbeat, with no late ends.
    #[must_use]
    pub fn first(read_up_to: Timestamp) -> Self {
        Self { heartbeats: 1, read_up_to, late: Late::default(), drills: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
