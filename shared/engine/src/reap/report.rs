//! The report of a reaper pass, and the trigger that found each grant.

use std::collections::BTreeMap;
use std::pin::pin;

use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::LateGrant;
use brevet_domain::time::Timestamp;
use futures_util::stream::{Stream, StreamExt as _};
use serde::Serialize;

/// The independent ways that lead the reaper to a grant. Stored in its evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The schedule: grants that are due, blocked, or removed from the catalogue.
    #[default]
    Schedule,
    /// A standby tick, when the schedule failed: it finds the same grants.
    StandbyTick,
    /// The table's stream, which named the grant: a mark, or the start of its end.
    Stream,
    /// DynamoDB deleted the grant's expired backstop.
    Backstop,
    /// The sweep of policies in AWS.
    Sweep,
}

/// The report of a pass, or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// The way that led to the pass.
    #[serde(skip)]
    pub found_by: FoundBy,
    /// Lines of the to-do lists that were reconciled, with retries that came due meanwhile.
    pub n_due: u32,
    /// Changes of grants that were written.
    pub n_changed: u32,
    pub n_ended: u32,
    /// Grants or roles for which a call failed; each is retried.
    pub n_failed: u32,
    /// Writes of reserved denies.
    pub n_deny_written: u32,
    /// Early ends that are denied by issue time: their session names do not fit their role's quota, or every session
    /// issued on it until then is void. Other holders of such a role with older credentials must fetch new ones.
    pub n_denied_by_time: u32,
    /// The age of the most overdue line or end, in seconds: a line not reconciled, or an end not proved.
    pub oldest_overdue_s: u64,
    /// Uses of break-glass that await their review, up to a page; absent if they could not be read.
    pub n_unreviewed: Option<u32>,
    /// Grants whose end is late after their last step in this pass; absent values are grants that ended.
    #[serde(skip)]
    pub late: BTreeMap<GrantId, Option<LateGrant>>,
    /// Overdue grants that the reaper's health record names.
    pub n_overdue: u32,
    /// Those that nobody has acknowledged.
    pub n_unacknowledged: u32,
    /// Drills that do not show that access ends.
    pub n_unproved: u32,
    /// Whether drills or overdue grants stop all issuing.
    pub is_stopped: bool,
    /// Secret rotations that were observed to be done.
    pub n_rotated: u32,
    /// Steps of a rotation that found it not done, or failed; each is retried.
    pub n_unrotated: u32,
    /// The age of the oldest pending rotation that was read, in seconds from the end of its grant. Absent if none
    /// was read and a list was unreadable.
    pub oldest_rotation_s: Option<u64>,
    /// Standing blocks of the kill switch.
    pub n_blocks: u32,
    /// Covered grants that a whole kill-switch pass still found alive; absent if no whole pass was completed.
    pub n_blocked_alive: Option<u64>,
    /// For blocks whose zero this pass proved first: the longest time from the block to that proof, in seconds.
    pub zero_after_s: Option<u64>,
    /// Policies in AWS that the sweep found and no live grant explains.
    pub n_swept: u32,
    pub swept: bool,
    /// Whether every shard was read up to the start of the pass. For grants that the stream named: whether each was
    /// reconciled.
    pub good: bool,
}

impl PassReport {
    /// The empty report of a pass or of a part of it.
    pub(super) fn begun(found_by: FoundBy) -> Self {
        Self { found_by, good: true, ..Self::default() }
    }

    /// Adds the report of a part. Parts that run concurrently share nothing.
    pub fn add(&mut self, part: Self) {
        let sum = u32::saturating_add;
        let mut late = std::mem::take(&mut self.late);
        late.extend(part.late);
        *self = Self {
            late,
            found_by: self.found_by,
            n_overdue: sum(self.n_overdue, part.n_overdue),
            n_unacknowledged: sum(self.n_unacknowledged, part.n_unacknowledged),
            n_unproved: sum(self.n_unproved, part.n_unproved),
            is_stopped: self.is_stopped || part.is_stopped,
            n_due: sum(self.n_due, part.n_due),
            n_changed: sum(self.n_changed, part.n_changed),
            n_ended: sum(self.n_ended, part.n_ended),
            n_failed: sum(self.n_failed, part.n_failed),
            n_deny_written: sum(self.n_deny_written, part.n_deny_written),
            n_denied_by_time: sum(self.n_denied_by_time, part.n_denied_by_time),
            oldest_overdue_s: self.oldest_overdue_s.max(part.oldest_overdue_s),
            n_unreviewed: self.n_unreviewed.max(part.n_unreviewed),
            n_rotated: sum(self.n_rotated, part.n_rotated),
            n_unrotated: sum(self.n_unrotated, part.n_unrotated),
            oldest_rotation_s: self.oldest_rotation_s.max(part.oldest_rotation_s),
            n_blocks: sum(self.n_blocks, part.n_blocks),
            n_blocked_alive: self.n_blocked_alive.max(part.n_blocked_alive),
            zero_after_s: self.zero_after_s.max(part.zero_after_s),
            n_swept: sum(self.n_swept, part.n_swept),
            swept: self.swept || part.swept,
            good: self.good && part.good,
        };
    }

    /// Adds the reports of parts as each completes.
    pub(super) async fn add_all(&mut self, parts: impl Stream<Item = Self> + Send) {
        let mut parts = pin!(parts);
        while let Some(part) = parts.next().await {
            self.add(part);
        }
    }

    pub(super) fn note_overdue(&mut self, seconds: u64) {
        self.oldest_overdue_s = self.oldest_overdue_s.max(seconds);
    }

    pub(super) fn note_rotating(&mut self, seconds: u64) {
        self.oldest_rotation_s = self.oldest_rotation_s.max(Some(seconds));
    }

    /// Notes a grant that a step left alive though its end is late.
    pub(super) fn note_late(&mut self, late: Option<LateGrant>, now: Timestamp) {
        let Some(late) = late else { return };
        self.note_overdue(now.seconds_since(late.since));
        self.late.insert(late.grant, Some(late));
    }
}
