//! Reads the to-do lists, list by list and page by page, while there is time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use brevet_domain::grant::DueRole;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use futures_util::stream::{Stream, unfold};

use super::{PAGE, Reaper, StepOutcome, locked};
use crate::port::{Due, DueList, PortResult, SHARDS, shards_at};

/// One run over to-do lists.
pub(super) struct Lists<'a> {
    reaper: &'a Reaper,
    /// The purpose, as logs name it.
    purpose: &'static str,
    /// The run covers grants that are due by this instant.
    due_by: Timestamp,
    /// From this instant the run starts no grant, and the next tick continues.
    until: Timestamp,
    /// The lists that are not read to their end; the first one is being read.
    lists: VecDeque<(DueRole, u8)>,
    /// Where the next page of that list starts; absent for the first page.
    cursor: Option<String>,
    /// The unread lines of the last page, and whether that page was the list's last.
    page: VecDeque<Due>,
    is_read: bool,
    /// Retries that come due during the run.
    retry_queue: Option<&'a RetryQueue>,
    /// The grants to skip: those of earlier runs, and those that this one has started.
    pub(super) seen: BTreeSet<GrantId>,
    /// Whether every list could be read.
    pub(super) is_readable: bool,
    /// Whether the run reached the end of every list.
    pub(super) is_whole: bool,
}

impl Reaper {
    /// A run over every live grant that is not in `seen`, until `until`.
    pub(super) fn live(&self, purpose: &'static str, until: Timestamp, seen: BTreeSet<GrantId>) -> Lists<'_> {
        Lists { seen, ..self.lists(purpose, 0..SHARDS, Timestamp::LATEST, until) }
    }

    /// A run over what is due by `due_by`, and over retries that come due meanwhile, until `until`.
    pub(super) fn due(&self, due_by: Timestamp, until: Timestamp) -> Lists<'_> {
        Lists { retry_queue: Some(&self.retry_queue), ..self.lists("what is due", shards_at(due_by), due_by, until) }
    }

    /// A run over what is due by `due_by` on both functions' lists of `shards`, until `until`.
    fn lists(
        &self,
        purpose: &'static str,
        shards: impl Iterator<Item = u8>,
        due_by: Timestamp,
        until: Timestamp,
    ) -> Lists<'_> {
        let lists = shards.flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]).collect();
        self.run_over(purpose, lists, due_by, until)
    }

    /// A run over the secrets to rotate that are due by `due_by`, until `until`.
    pub(super) fn rotations(&self, due_by: Timestamp, until: Timestamp) -> Lists<'_> {
        let lists = shards_at(due_by).map(|shard| (DueRole::Rotate, shard)).collect();
        self.run_over("secrets to rotate", lists, due_by, until)
    }

    fn run_over(
        &self,
        purpose: &'static str,
        lists: VecDeque<(DueRole, u8)>,
        due_by: Timestamp,
        until: Timestamp,
    ) -> Lists<'_> {
        Lists {
            reaper: self,
            purpose,
            due_by,
            until,
            lists,
            cursor: None,
            page: VecDeque::new(),
            is_read: false,
            retry_queue: None,
            seen: BTreeSet::new(),
            is_readable: true,
            is_whole: true,
        }
    }
}

/// Grants that this process has reconciled and that are due again. Under load, a grant's quiet period is over long
/// before the pass reaches its list again. The lists contain all of these grants too, so losing the queue loses nothing.
#[derive(Debug, Default)]
pub(super) struct RetryQueue(Mutex<BTreeSet<(Timestamp, GrantId)>>);

impl RetryQueue {
    /// Keeps the grant of `outcome` until it is due again. One that is due by `now` already stays to its list, or it
    /// would be reconciled in a loop.
    pub(super) fn put(&self, outcome: &StepOutcome, now: Timestamp) {
        if let Some(at) = outcome.retry_at.filter(|at| *at > now) {
            locked(&self.0).insert((at, outcome.id));
        }
    }

    /// Removes and returns every grant that is due by `now`.
    pub(super) fn take_due(&self, now: Timestamp) -> Vec<GrantId> {
        std::iter::from_fn(|| self.pop(now)).map(|due| due.id).collect()
    }

    fn pop(&self, now: Timestamp) -> Option<Due> {
        let mut kept = locked(&self.0);
        let (next_at, id) = kept.first().copied().filter(|(at, _)| *at <= now)?;
        kept.pop_first();
        Some(Due { id, is_mark: false, next_at })
    }
}

impl<'a> Lists<'a> {
    /// The lines of the lists, each grant once.
    pub(super) fn lines(&mut self) -> impl Stream<Item = (DueRole, Due)> + use<'_, 'a> {
        unfold(self, |lists| async move {
            let line = lists.next().await?;
            Some((line, lists))
        })
    }

    async fn next(&mut self) -> Option<(DueRole, Due)> {
        loop {
            if self.is_read && self.page.is_empty() {
                self.leave_list();
            }
            let (role, shard) = self.lists.front().copied()?;
            // Checked for each page too: reading pages without new grants takes time as well.
            if self.reaper.ports.clock.now() >= self.until {
                tracing::warn!(shard, "the pass ran out of time for {}: the next tick continues", self.purpose);
                self.is_whole = false;
                self.lists.clear();
                return None;
            }
            let retry = self.retry_queue.and_then(|retry_queue| retry_queue.pop(self.reaper.ports.clock.now()));
            if let Some(line) = retry {
                self.seen.insert(line.id);
                return Some((DueRole::Reap, line));
            }
            match self.page.pop_front() {
                Some(line) if self.seen.insert(line.id) => return Some((role, line)),
                Some(_) => {}
                None => {
                    if let Err(error) = self.turn_page(role, shard).await {
                        let (purpose, problem) = (self.purpose, error.chain());
                        tracing::error!(?role, shard, problem, "a list could not be read for {purpose}");
                        (self.is_readable, self.is_whole) = (false, false);
                        self.leave_list();
                    }
                }
            }
        }
    }

    async fn turn_page(&mut self, role: DueRole, shard: u8) -> PortResult<()> {
        let due: &dyn DueList = self.reaper.ports.due.as_ref();
        let page = due.due(role, shard, self.due_by, self.cursor.as_deref(), PAGE).await?;
        self.page = page.lines.into();
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
