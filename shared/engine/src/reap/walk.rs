//! A walk over to-do lists: list by list and page by page, as far as there is time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use brevet_domain::grant::DueRole;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use futures_util::stream::{Stream, unfold};

use super::{Looked, PAGE, Reaper, locked};
use crate::port::{Due, DueList, PortResult, SHARDS, shards_at};

/// A walk that is under way.
pub(super) struct Lists<'a> {
    reaper: &'a Reaper,
    /// What for, as logs name it.
    errand: &'static str,
    /// What is due by then stands on them.
    due_by: Timestamp,
    /// From when on no grant is begun with: the next tick goes on.
    until: Timestamp,
    /// The lists that are not read to their end, the one being read first.
    lists: VecDeque<(DueRole, u8)>,
    /// Where its next page starts; nothing before its first.
    cursor: Option<String>,
    /// What is left of its last page, and whether another one follows.
    page: VecDeque<Due>,
    is_read: bool,
    /// What else comes due on the way.
    again: Option<&'a Again>,
    /// The grants that are passed over: those of earlier walks, and those that this one has begun with.
    pub(super) seen: BTreeSet<GrantId>,
    /// Whether every list could be read.
    pub(super) is_readable: bool,
    /// Whether it came to the end of every list.
    pub(super) is_whole: bool,
}

impl Reaper {
    /// A walk over every live grant that is not among `seen`, until `until`.
    pub(super) fn live(&self, errand: &'static str, until: Timestamp, seen: BTreeSet<GrantId>) -> Lists<'_> {
        Lists { seen, ..self.lists(errand, 0..SHARDS, Timestamp::LATEST, until) }
    }

    /// A walk over what is due by `due_by`, and over what comes due on the way, until `until`.
    pub(super) fn due(&self, due_by: Timestamp, until: Timestamp) -> Lists<'_> {
        Lists { again: Some(&self.again), ..self.lists("what is due", shards_at(due_by), due_by, until) }
    }

    /// A walk over what is due by `due_by` on both functions' lists of `shards`, until `until`.
    fn lists(
        &self,
        errand: &'static str,
        shards: impl Iterator<Item = u8>,
        due_by: Timestamp,
        until: Timestamp,
    ) -> Lists<'_> {
        let lists = shards.flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]).collect();
        self.walk(errand, lists, due_by, until)
    }

    /// A walk over the secrets to rotate that are due by `due_by`, until `until`.
    pub(super) fn rotations(&self, due_by: Timestamp, until: Timestamp) -> Lists<'_> {
        let lists = shards_at(due_by).map(|shard| (DueRole::Rotate, shard)).collect();
        self.walk("secrets to rotate", lists, due_by, until)
    }

    fn walk(
        &self,
        errand: &'static str,
        lists: VecDeque<(DueRole, u8)>,
        due_by: Timestamp,
        until: Timestamp,
    ) -> Lists<'_> {
        Lists {
            reaper: self,
            errand,
            due_by,
            until,
            lists,
            cursor: None,
            page: VecDeque::new(),
            is_read: false,
            again: None,
            seen: BTreeSet::new(),
            is_readable: true,
            is_whole: true,
        }
    }
}

/// What this process has looked at and is due again. Where there is much to do, what must be quiet for a while has been so
/// long before the lists come round to it. They have all of it too: what is forgotten here is found there.
#[derive(Debug, Default)]
pub(super) struct Again(Mutex<BTreeSet<(Timestamp, GrantId)>>);

impl Again {
    /// Keeps in mind what was looked at by `now`. What was due by then is left alone: it would be looked at for ever.
    pub(super) fn put(&self, looked: &Looked, now: Timestamp) {
        if let Some(at) = looked.again_at.filter(|at| *at > now) {
            locked(&self.0).insert((at, looked.id));
        }
    }

    /// Everything that is due by `now`. It is left to whoever asks.
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
    /// What it comes by, each grant once.
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
            // Each page counts too: lines that name nothing are read as well.
            if self.reaper.ports.clock.now() >= self.until {
                tracing::warn!(shard, "there was no time for everything with {}: the next tick goes on", self.errand);
                self.is_whole = false;
                self.lists.clear();
                return None;
            }
            let again = self.again.and_then(|again| again.pop(self.reaper.ports.clock.now()));
            if let Some(line) = again {
                self.seen.insert(line.id);
                return Some((DueRole::Reap, line));
            }
            match self.page.pop_front() {
                Some(line) if self.seen.insert(line.id) => return Some((role, line)),
                Some(_) => {}
                None => {
                    if let Err(error) = self.turn_page(role, shard).await {
                        let (errand, problem) = (self.errand, error.chain());
                        tracing::error!(?role, shard, problem, "a list could not be read for {errand}");
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
