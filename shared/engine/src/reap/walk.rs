//! The walk over every live grant: both roles' lists, shard by shard, as far as there is time.

use std::collections::{BTreeSet, VecDeque};

use brevet_domain::grant::DueRole;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{PAGE, PassReport, Reaper};
use crate::port::{DueList, PortResult, SHARDS};

/// A walk that is under way.
pub(super) struct Live<'a> {
    reaper: &'a Reaper,
    /// What for, as logs name it.
    errand: &'static str,
    /// From when on no grant is begun with: the next tick goes on.
    until: Timestamp,
    /// The lists that are not read to their end, the one being read first.
    lists: VecDeque<(DueRole, u8)>,
    /// Where its next page starts; nothing before its first.
    cursor: Option<String>,
    /// What is left of its last page, and whether another one follows.
    page: VecDeque<GrantId>,
    is_read: bool,
    /// Whether every live grant was looked at in full.
    pub(super) is_whole: bool,
}

impl Reaper {
    /// A walk over every live grant until `until`.
    pub(super) fn live(&self, errand: &'static str, until: Timestamp) -> Live<'_> {
        let lists = (0..SHARDS).flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]).collect();
        Live { reaper: self, errand, until, lists, cursor: None, page: VecDeque::new(), is_read: false, is_whole: true }
    }
}

impl Live<'_> {
    /// The next live grant that is not among `seen`; nothing once there is none, or no time.
    ///
    /// A list that cannot be read makes the pass no good one; what there is no time for does not. Neither is whole.
    pub(super) async fn next(&mut self, seen: &BTreeSet<GrantId>, report: &mut PassReport) -> Option<GrantId> {
        while let Some((role, shard)) = self.lists.front().copied() {
            let Some(id) = self.page.pop_front() else {
                if self.is_read {
                    self.leave_list();
                } else if let Err(error) = self.turn_page(role, shard).await {
                    let (errand, problem) = (self.errand, error.chain());
                    tracing::error!(?role, shard, problem, "live grants could not be listed for {errand}");
                    (report.good, self.is_whole) = (false, false);
                    self.leave_list();
                }
                continue;
            };
            if seen.contains(&id) {
                continue;
            }
            if self.reaper.ports.clock.now() < self.until {
                return Some(id);
            }
            let errand = self.errand;
            tracing::warn!(shard, "there was no time to look at every live grant for {errand}: the next tick goes on");
            self.is_whole = false;
            self.leave_list();
        }
        None
    }

    async fn turn_page(&mut self, role: DueRole, shard: u8) -> PortResult<()> {
        let due: &dyn DueList = self.reaper.ports.due.as_ref();
        let page = due.due(role, shard, Timestamp::LATEST, self.cursor.as_deref(), PAGE).await?;
        self.page = page.lines.iter().map(|line| line.id).collect();
        self.is_read = page.next.is_none();
        self.cursor = page.next;
        Ok(())
    }

    fn leave_list(&mut self) {
        self.lists.pop_front();
        self.page.clear();
        (self.cursor, self.is_read) = (None, false);
    }
}
