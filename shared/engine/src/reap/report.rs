//! What a pass of the reaper did, and which way led it there.

use std::collections::BTreeMap;
use std::pin::pin;

use brevet_domain::heart::LateGrant;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use futures_util::stream::{Stream, StreamExt as _};
use serde::Serialize;

/// Which of the ways that do not need each other led the reaper to what it ends. Its evidence tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The schedule: what is due, or is blocked, or has left the catalogue.
    #[default]
    Schedule,
    /// The echo of an earlier pass, where the schedule did not come: the same as the schedule finds.
    Echo,
    /// The table's stream, which named it: a mark, or what began to end.
    Stream,
    /// DynamoDB, which deleted its fuse.
    Fuse,
    /// The sweep of what stands in AWS.
    Sweep,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Which way led to what it did.
    #[serde(skip)]
    pub found_by: FoundBy,
    /// Lines of the to-do list that were looked at, with what came due meanwhile.
    pub n_due: u32,
    /// Changes that were written.
    pub n_changed: u32,
    /// Grants that ended with a proof.
    pub n_ended: u32,
    /// Grants or roles about which something failed; each is looked at again.
    pub n_failed: u32,
    /// Writes of a reserved deny.
    pub n_deny_written: u32,
    /// Early ends that are denied by when their sessions were issued: their names do not fit the quota of their role, or
    /// all that was issued on it until then is void. Who else holds such a role from before then fetches new credentials.
    pub n_denied_by_time: u32,
    /// For how many seconds what is most overdue is: a line that was not looked at, or an end that is not proved.
    pub oldest_overdue_s: u64,
    /// How many uses of break-glass await their review, up to a page; unknown where they could not be read.
    pub n_unreviewed: Option<u32>,
    /// What looks left that should be over; nothing for what they ended. A later look at a grant says it anew.
    #[serde(skip)]
    pub late: BTreeMap<GrantId, Option<LateGrant>>,
    /// Grants that are overdue, as far as the heart names them.
    pub n_overdue: u32,
    /// Those of them that nobody acknowledged.
    pub n_unacknowledged: u32,
    /// Drills that do not show that access ends.
    pub n_unproved: u32,
    /// Whether that, or what is overdue, stops all issuing.
    pub is_stopped: bool,
    /// Rotations of secrets that were seen done.
    pub n_rotated: u32,
    /// Looks at a rotation that found it not done, or failed; each is looked at again.
    pub n_unrotated: u32,
    /// For how many seconds a secret that was looked at waits to be rotated, from the end of its grant; unknown where none
    /// was, and not every list could be looked at.
    pub oldest_rotation_s: Option<u64>,
    /// Blocks of the kill switch that stand.
    pub n_blocks: u32,
    /// How many grants that they cover a walk over every live grant still found alive; nothing if none came through.
    pub n_blocked_alive: Option<u64>,
    /// Of the blocks whose zero this pass proved first: how many seconds that took at the longest.
    pub zero_after_s: Option<u64>,
    /// What a sweep found in AWS that no live grant explains.
    pub n_swept: u32,
    /// Whether the sweep saw every role of this installation.
    pub swept: bool,
    /// Whether every shard was read up to the start of the pass; where the stream named grants, whether each was
    /// looked at.
    pub good: bool,
}

impl PassReport {
    /// What a pass reports that has done nothing yet, or a part of it.
    pub(super) fn begun(found_by: FoundBy) -> Self {
        Self { found_by, good: true, ..Self::default() }
    }

    /// Adds what a part of the pass did. Nothing is shared between parts that run together.
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

    /// Adds what parts did, as each comes to its end.
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

    /// A look left it as it was, though it should be over.
    pub(super) fn note_late(&mut self, late: Option<LateGrant>, now: Timestamp) {
        let Some(late) = late else { return };
        self.note_overdue(now.seconds_since(late.since));
        self.late.insert(late.grant, Some(late));
    }
}
