//! The store fake: the one table, its lagging indexes and its faults. `ports` implements its ports.

mod ports;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::bundle::BundleText;
use brevet_domain::confirmation::{Confirmation, table_identity};
use brevet_domain::decision::Decision;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::{Drill, Drilled};
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::Grant;
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::revocation::{Progress, WideScope};
use brevet_domain::time::Timestamp;

use super::faults::{CallKind, CallMode, Faults};
use super::index_view::IndexView;
use super::locked;
use super::tables::Snapshot;
use super::time::ManualClock;
use crate::port::{Clock, PortResult};

/// The one table in memory. Its index reads are up to date, unless a fault makes them stale or the store lags.
#[derive(Debug)]
pub struct MemoryStore {
    held: Mutex<Held>,
    faults: Arc<Faults>,
    lag: Option<(Arc<ManualClock>, u32)>,
}

/// From this number of grants on, the indexes are built only when they are read.
const LARGE: usize = 400;

/// The table and the earlier states of its indexes, which a lagging index may still show.
#[derive(Debug, Default)]
struct Held {
    now: Snapshot,
    view: Arc<IndexView>,
    /// The indexes before the last write. For a large table, before the last read.
    before: Arc<IndexView>,
    /// For a large table, whether it was written since its indexes were last built.
    is_behind: bool,
    /// Each state of the indexes with the instant from which it was current. Only for a lagging store.
    history: VecDeque<(Timestamp, Arc<IndexView>)>,
    /// The number of restores: each one makes another table.
    n_restored: i64,
    /// The number of port calls begun when each entry of evidence was written.
    written: BTreeMap<EvidenceId, u64>,
}

impl Held {
    /// Updates the indexes after a change.
    fn index(&mut self, lag: Option<&(Arc<ManualClock>, u32)>) {
        if lag.is_none() && self.now.grants.len() > LARGE {
            self.is_behind = true;
            return;
        }
        self.rebuild(lag);
    }

    fn identity(&self) -> String {
        table_identity("arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev", self.n_restored)
    }

    fn rebuild(&mut self, lag: Option<&(Arc<ManualClock>, u32)>) {
        self.is_behind = false;
        self.before = std::mem::replace(&mut self.view, Arc::new(self.now.index_view()));
        if let Some((clock, _)) = lag {
            self.history.push_back((clock.now(), Arc::clone(&self.view)));
        }
    }

    /// The indexes that a lag of `lag_s` seconds shows at `now`.
    fn lagging(&mut self, now: Timestamp, lag_s: u32) -> Arc<IndexView> {
        let since = now.minus(lag_s);
        while self.history.get(1).is_some_and(|(at, _)| *at <= since) {
            self.history.pop_front();
        }
        let oldest = self.history.front().filter(|(at, _)| *at <= since);
        oldest.map(|(_, view)| Arc::clone(view)).unwrap_or_default()
    }
}

impl MemoryStore {
    /// An empty table that is confirmed.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        let store = Self { held: Mutex::default(), faults, lag: None };
        let table = locked(&store.held).identity();
        store.put_confirmation(Confirmation { table, at: Timestamp::EPOCH, by: "deployer".to_owned(), is_first: true });
        store
    }

    /// Confirms that this table is in service from `at` on, as the deploying role does. No port call.
    pub fn confirm(&self, at: Timestamp) {
        let table = locked(&self.held).identity();
        self.put_confirmation(Confirmation { table, at, by: "operator".to_owned(), is_first: false });
    }

    /// Stores a confirmation that a table is in service. No port call.
    pub fn put_confirmation(&self, confirmation: Confirmation) {
        self.change(|now| now.confirmation = Some(confirmation));
    }

    /// The same table with indexes that lag by `lag_s` seconds of `clock`.
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

    /// Overwrites a grant outside Brevet, as an owner of the table could. No port call.
    pub fn overwrite(&self, grant: Grant) {
        self.change(|now| now.grants.insert(grant.id, grant));
    }

    /// Overwrites a decision outside Brevet. No port call.
    pub fn overwrite_decision(&self, decision: Decision) {
        self.change(|now| now.decisions.insert(decision.id, decision));
    }

    /// Removes a grant from the due index until it is written again. No port call.
    pub fn unlist(&self, id: GrantId) {
        self.change(|held| {
            if let Some(version) = held.grants.get(&id).map(|grant| grant.version) {
                held.unlisted.insert(id, version);
            }
        });
    }

    /// Deletes the TTL backstops that have expired at `now`, as DynamoDB's TTL does, and returns their grants. No port
    /// call.
    pub fn expire_backstops(&self, now: Timestamp) -> Vec<GrantId> {
        self.change(|held| {
            let expired: Vec<_> = held
                .backstops
                .values()
                .filter(|backstop| backstop.expires_at <= now)
                .map(|backstop| backstop.id)
                .collect();
            held.backstops.retain(|id, _| !expired.contains(id));
            expired
        })
    }

    /// Deletes everything that DynamoDB's TTL may delete at `now`, and returns the grants of the deleted backstops. No
    /// port call.
    pub fn expire(&self, now: Timestamp) -> Vec<GrantId> {
        self.change(|held| held.expire(now));
        self.expire_backstops(now)
    }

    /// The number of port calls begun when `entry` was written. `None` if it was not. No port call.
    #[must_use]
    pub fn written_at(&self, entry: EvidenceId) -> Option<u64> {
        locked(&self.held).written.get(&entry).copied()
    }

    /// Applies `read` to the table. No port call.
    pub fn peek<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> T {
        read(&locked(&self.held).now)
    }

    /// A copy of the table. No port call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        locked(&self.held).now.clone()
    }

    /// Replaces the content by `snapshot`, as a restore into another table. No port call.
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
        let act = |_: CallMode| read(&locked(&self.held).now);
        self.faults.call(call, CallKind::Read, act).await
    }

    async fn read_index<T: Send>(
        &self,
        call: &'static str,
        read: impl FnOnce(&IndexView) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let act = |mode: CallMode| {
            let mut held = locked(&self.held);
            if held.is_behind {
                held.rebuild(None);
            }
            let view = match (mode, &self.lag) {
                (CallMode::Stale, _) => Arc::clone(&held.before),
                (CallMode::Now | CallMode::Late(_), None) => Arc::clone(&held.view),
                (CallMode::Now | CallMode::Late(_), Some((clock, lag_s))) => held.lagging(clock.now(), *lag_s),
            };
            drop(held);
            read(&view)
        };
        self.faults.call(call, CallKind::IndexRead, act).await
    }

    async fn write<T: Send>(
        &self,
        call: &'static str,
        kind: CallKind,
        write: impl FnOnce(&mut Snapshot) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let act = |_: CallMode| self.change(write);
        self.faults.call(call, kind, act).await
    }
}

impl MemoryStore {
    async fn write_evidence(
        &self,
        call: &'static str,
        entry: EvidenceId,
        write: impl FnOnce(&mut Snapshot) -> PortResult<()> + Send,
    ) -> PortResult<()> {
        let act = |_: CallMode| {
            self.change(write)?;
            let number = self.faults.n_calls();
            locked(&self.held).written.entry(entry).or_insert(number);
            Ok(())
        };
        self.faults.call(call, CallKind::GrantWrite, act).await
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

    /// Every stored early end.
    pub fn denies(&self) -> impl Iterator<Item = &DenyEntry> {
        self.denies.values()
    }

    /// Every stored record of attachment holders.
    pub fn holders(&self) -> impl Iterator<Item = &AttachmentHolders> {
        self.holders.values()
    }

    /// The reaper's last good pass.
    #[must_use]
    pub fn reaper_health(&self) -> Option<ReaperHealth> {
        self.reaper_health.clone()
    }

    /// Every finding of the sweep, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Every drill record, in order.
    pub fn drills(&self, drilled: Drilled) -> impl Iterator<Item = &Drill> {
        self.drills.range((drilled, 0)..=(drilled, u64::MAX)).map(|(_, drill)| drill)
    }

    /// The grants whose TTL backstop is stored.
    pub fn backstops(&self) -> impl Iterator<Item = GrantId> {
        self.backstops.keys().copied()
    }

    /// How far the kill switch has ended the grants that `scope` covers.
    #[must_use]
    pub fn progress_of(&self, scope: &WideScope) -> Option<&Progress> {
        self.progress.get(scope)
    }

    /// The scopes of blocks in force whose covered grants are recorded as all ended.
    pub fn zeros(&self) -> impl Iterator<Item = &WideScope> {
        let stands = |progress: &Progress| {
            self.history(&progress.scope)
                .next()
                .is_some_and(|latest| latest.stands() && latest.version == progress.version)
        };
        self.progress
            .values()
            .filter(move |progress| progress.zero_at.is_some() && stands(progress))
            .map(|progress| &progress.scope)
    }

    /// Whether a mark is still listed as due.
    #[must_use]
    pub fn has_mark(&self, id: GrantId) -> bool {
        self.marks.contains_key(&id)
    }
}
