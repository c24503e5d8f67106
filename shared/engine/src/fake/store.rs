//! The store fake: the one table, its lagging indexes and its faults; `ports` has its ports.

mod ports;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::bundle::BundleText;
use brevet_domain::confirmation::{Confirmation, table_identity};
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::{Drill, Drilled};
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::Grant;
use brevet_domain::heart::Heart;
use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::revocation::{Progress, WideScope};
use brevet_domain::time::Timestamp;

use super::faults::{Faults, Manner, Nature};
use super::locked;
use super::shown::Shown;
use super::tables::Snapshot;
use super::time::ManualClock;
use crate::port::{Clock, PortResult};

/// The one table in memory. Its index reads answer at once, unless a fault makes them stale or its indexes lag.
#[derive(Debug)]
pub struct MemoryStore {
    held: Mutex<Held>,
    faults: Arc<Faults>,
    lag: Option<(Arc<ManualClock>, u32)>,
}

/// From how many grants on a table is large: its indexes are then made up when somebody reads them.
const LARGE: usize = 400;

/// The table, and what its indexes showed before: where they lag they may still show it.
#[derive(Debug, Default)]
struct Held {
    now: Snapshot,
    shown: Arc<Shown>,
    /// Before the last write; of a large table, as it was last read before.
    before: Arc<Shown>,
    /// Of a large table, whether it was written since its indexes were last made up.
    is_behind: bool,
    /// From when on each was up to date; only where indexes lag.
    history: VecDeque<(Timestamp, Arc<Shown>)>,
    /// How often it was put in the place of another table.
    n_restored: i64,
    /// How many port calls had been begun when an entry of evidence was written.
    written: BTreeMap<EvidenceId, u64>,
}

impl Held {
    /// After every change.
    fn index(&mut self, lag: Option<&(Arc<ManualClock>, u32)>) {
        if lag.is_none() && self.now.grants.len() > LARGE {
            self.is_behind = true;
            return;
        }
        self.make_up(lag);
    }

    fn identity(&self) -> String {
        table_identity("arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev", self.n_restored)
    }

    fn make_up(&mut self, lag: Option<&(Arc<ManualClock>, u32)>) {
        self.is_behind = false;
        self.before = std::mem::replace(&mut self.shown, Arc::new(self.now.shown()));
        if let Some((clock, _)) = lag {
            self.history.push_back((clock.now(), Arc::clone(&self.shown)));
        }
    }

    /// What an index that lags by `lag_s` seconds shows at `now`.
    fn lagging(&mut self, now: Timestamp, lag_s: u32) -> Arc<Shown> {
        let since = now.minus(lag_s);
        while self.history.get(1).is_some_and(|(at, _)| *at <= since) {
            self.history.pop_front();
        }
        let oldest = self.history.front().filter(|(at, _)| *at <= since);
        oldest.map(|(_, shown)| Arc::clone(shown)).unwrap_or_default()
    }
}

impl MemoryStore {
    /// An empty table that is in service.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        let store = Self { held: Mutex::default(), faults, lag: None };
        let table = locked(&store.held).identity();
        store.put_confirmation(Confirmation {
            table,
            at: Timestamp::EPOCH,
            by: "whoever deploys".to_owned(),
            is_first: true,
        });
        store
    }

    /// Says that this table is in service from `at` on, as the deploying role does. No port call.
    pub fn confirm(&self, at: Timestamp) {
        let table = locked(&self.held).identity();
        self.put_confirmation(Confirmation { table, at, by: "somebody in charge".to_owned(), is_first: false });
    }

    /// Puts the word that some table is in service. No port call.
    pub fn put_confirmation(&self, word: Confirmation) {
        self.change(|now| now.confirmation = Some(word));
    }

    /// The same table, whose indexes show what stood `lag_s` seconds ago by `clock`.
    #[must_use]
    pub fn lagging(self, clock: Arc<ManualClock>, lag_s: u32) -> Self {
        Self { lag: Some((clock, lag_s)), ..self }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        let held = &mut *locked(&self.held);
        let changed = change(&mut held.now);
        held.index(self.lag.as_ref());
        changed
    }

    /// Publishes `bundle` and puts it in force, as the deploying role does. No port call.
    pub fn publish(&self, bundle: BundleText) {
        self.change(|now| {
            now.bundle = Some(bundle.digest);
            now.bundles.insert(bundle.digest, bundle);
        });
    }

    /// Places a block of any scope, a wide one as the kill switch does. No port call.
    pub fn block(&self, block: Block) {
        self.change(|now| now.block(block));
    }

    /// Lifts a block, a wide one as the kill switch does. No port call.
    pub fn unblock(&self, scope: &BlockScope) {
        self.change(|now| now.unblock(scope));
    }

    /// Overwrites a grant behind everybody's back, as somebody who owns the table could. No port call.
    pub fn overwrite(&self, grant: Grant) {
        self.change(|now| now.grants.insert(grant.id, grant));
    }

    /// Overwrites a decision behind everybody's back, likewise. No port call.
    pub fn overwrite_decision(&self, decision: Decision) {
        self.change(|now| now.decisions.insert(decision.id, decision));
    }

    /// Takes a grant off the to-do list until it is written again, as an index that lost it. No port call.
    pub fn unlist(&self, id: GrantId) {
        self.change(|held| {
            if let Some(version) = held.grants.get(&id).map(|grant| grant.version) {
                held.unlisted.insert(id, version);
            }
        });
    }

    /// Deletes fuses that have burnt down at `now`, as DynamoDB's TTL does; answers whose they were. No port call.
    pub fn burn(&self, now: Timestamp) -> Vec<GrantId> {
        self.change(|held| {
            let burnt: Vec<_> = held.fuses.values().filter(|fuse| fuse.burns_at <= now).map(|fuse| fuse.id).collect();
            held.fuses.retain(|id, _| !burnt.contains(id));
            burnt
        })
    }

    /// Deletes everything that DynamoDB's TTL may delete at `now`; answers whose fuses were among it. No port call.
    pub fn expire(&self, now: Timestamp) -> Vec<GrantId> {
        self.change(|held| held.expire(now));
        self.burn(now)
    }

    /// How many port calls had been begun when `entry` was written; nothing if it was not. No port call.
    #[must_use]
    pub fn written_at(&self, entry: EvidenceId) -> Option<u64> {
        locked(&self.held).written.get(&entry).copied()
    }

    /// What `look` makes of what it holds. No port call.
    pub fn peek<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&locked(&self.held).now)
    }

    /// What it holds. No port call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        locked(&self.held).now.clone()
    }

    /// Holds what `snapshot` held, as a restored table, which is another one. No port call.
    pub fn restore(&self, snapshot: Snapshot) {
        let mut held = locked(&self.held);
        held.n_restored = held.n_restored.saturating_add(1);
        drop(held);
        self.change(|now| *now = snapshot);
    }

    async fn read<T: Send>(
        &self,
        call: &'static str,
        read: impl FnOnce(&Snapshot) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let act = |_: Manner| read(&locked(&self.held).now);
        self.faults.call(call, Nature::Read, act).await
    }

    async fn read_index<T: Send>(
        &self,
        call: &'static str,
        read: impl FnOnce(&Shown) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let act = |manner: Manner| {
            let mut held = locked(&self.held);
            if held.is_behind {
                held.make_up(None);
            }
            let shown = match (manner, &self.lag) {
                (Manner::Stale, _) => Arc::clone(&held.before),
                (Manner::Now | Manner::Late(_), None) => Arc::clone(&held.shown),
                (Manner::Now | Manner::Late(_), Some((clock, lag_s))) => held.lagging(clock.now(), *lag_s),
            };
            drop(held);
            read(&shown)
        };
        self.faults.call(call, Nature::IndexRead, act).await
    }

    async fn write<T: Send>(
        &self,
        call: &'static str,
        nature: Nature,
        write: impl FnOnce(&mut Snapshot) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let act = |_: Manner| self.change(write);
        self.faults.call(call, nature, act).await
    }
}

impl MemoryStore {
    async fn write_evidence(
        &self,
        call: &'static str,
        entry: EvidenceId,
        write: impl FnOnce(&mut Snapshot) -> PortResult<()> + Send,
    ) -> PortResult<()> {
        let act = |_: Manner| {
            self.change(write)?;
            let number = self.faults.n_calls();
            locked(&self.held).written.entry(entry).or_insert(number);
            Ok(())
        };
        self.faults.call(call, Nature::GrantWrite, act).await
    }
}

impl Snapshot {
    /// Every grant, by id.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// Every decision, by id.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.values()
    }

    /// The evidence of a grant, in order.
    #[must_use]
    pub fn evidence_of(&self, id: GrantId) -> Vec<Entry> {
        let range = self.evidence.range((id, 0)..=(id, u64::MAX));
        range.map(|(_, entry)| entry.clone()).collect()
    }

    /// Every early end that stands.
    pub fn denies(&self) -> impl Iterator<Item = &DenyEntry> {
        self.denies.values()
    }

    /// Every count that is stored.
    pub fn counts(&self) -> impl Iterator<Item = &Count> {
        self.counts.values()
    }

    /// The reaper's last good pass.
    #[must_use]
    pub fn heart(&self) -> Option<Heart> {
        self.heart.clone()
    }

    /// Every finding of the sweep, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Every record of a drill, in order.
    pub fn drills(&self, drilled: Drilled) -> impl Iterator<Item = &Drill> {
        self.drills.range((drilled, 0)..=(drilled, u64::MAX)).map(|(_, drill)| drill)
    }

    /// The grants whose fuse still burns.
    pub fn fuses(&self) -> impl Iterator<Item = GrantId> {
        self.fuses.keys().copied()
    }

    /// How far the end of what `scope` covers has come.
    #[must_use]
    pub fn progress_of(&self, scope: &WideScope) -> Option<&Progress> {
        self.progress.get(scope)
    }

    /// The scopes of standing blocks of which it is told that nothing they cover lives any more.
    pub fn zeros(&self) -> impl Iterator<Item = &WideScope> {
        let stands = |told: &Progress| {
            self.history(&told.scope).next().is_some_and(|latest| latest.stands() && latest.version == told.version)
        };
        self.progress.values().filter(move |told| told.zero_at.is_some() && stands(told)).map(|told| &told.scope)
    }

    /// Whether a mark is still on the to-do list.
    #[must_use]
    pub fn has_mark(&self, id: GrantId) -> bool {
        self.marks.contains_key(&id)
    }
}
