//! The store fake: every port of the one table.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::heart::Heart;
use brevet_domain::id::{EvidenceId, GrantId, IdentityId};
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Progress, Revocation, WideScope};
use brevet_domain::time::Timestamp;

use super::faults::{Faults, Manner, Nature};
use super::locked;
use super::tables::{Shown, Snapshot};
use super::time::ManualClock;
use crate::port::{
    Activation, Also, BundleSource, Clock, Commit, Counts, Delegations, DenyStore, DueList, DuePage, GrantPage,
    GrantReader, GrantStore, HeartStore, HoldingsReader, KeyClaim, Mark, PortError, PortResult, ProgressStore,
    RequestStore, ReviewPage, ReviewReader, RevocationPage, RevocationReader, RevocationStore,
};

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
    /// An empty table.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { held: Mutex::default(), faults, lag: None }
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

    /// Holds what `snapshot` held, as a restored table. No port call.
    pub fn restore(&self, snapshot: Snapshot) {
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
        entry: &Entry,
        write: impl FnOnce(&mut Snapshot) -> PortResult<()> + Send,
    ) -> PortResult<()> {
        let act = |_: Manner| {
            self.change(write)?;
            let number = self.faults.n_calls();
            locked(&self.held).written.entry(entry.body.id).or_insert(number);
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

/// A page of `all`, and the cursor of the next: the place where it starts.
fn page<T>(all: Vec<T>, cursor: Option<&str>, limit: u32) -> PortResult<(Vec<T>, Option<String>)> {
    let start = match cursor {
        None => 0,
        Some(text) => {
            text.parse::<usize>().map_err(|error| PortError::Refused { operation: "page", source: error.into() })?
        }
    };
    let end = start.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = (end < all.len()).then(|| end.to_string());
    let lines = all.into_iter().take(end).skip(start).collect();
    Ok((lines, next))
}

#[async_trait]
impl RequestStore for MemoryStore {
    async fn claim_key(&self, claim: &KeyClaim) -> PortResult<KeyClaim> {
        let write = |held: &mut Snapshot| Ok(held.claim_key(claim));
        self.write("claim_key", Nature::Write, write).await
    }

    async fn put_request(&self, request: &Request) -> PortResult<Request> {
        let write = |held: &mut Snapshot| {
            let standing = held.requests.entry(request.id);
            Ok(standing.or_insert_with(|| request.clone()).clone())
        };
        self.write("put_request", Nature::Write, write).await
    }

    async fn put_mark(&self, mark: &Mark) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.put_mark(mark);
            Ok(())
        };
        self.write("put_mark", Nature::Write, write).await
    }
}

#[async_trait]
impl GrantReader for MemoryStore {
    async fn request(&self, id: GrantId) -> PortResult<Option<Request>> {
        self.read("request", |held| Ok(held.requests.get(&id).cloned())).await
    }

    async fn decision(&self, id: GrantId) -> PortResult<Option<Decision>> {
        self.read("decision", |held| Ok(held.decisions.get(&id).cloned())).await
    }

    async fn grant(&self, id: GrantId) -> PortResult<Option<Grant>> {
        self.read("grant", |held| Ok(held.grants.get(&id).cloned())).await
    }

    async fn activation(&self, id: GrantId) -> PortResult<Option<Activation>> {
        self.read("activation", |held| Ok(held.activations.get(&id).copied())).await
    }

    async fn evidence(&self, id: GrantId, after: u64, limit: u32) -> PortResult<Vec<Entry>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let read = |held: &Snapshot| {
            let entries = held.evidence_of(id).into_iter();
            Ok(entries.filter(|entry| entry.body.seq > after).take(limit).collect())
        };
        self.read("evidence", read).await
    }

    async fn blocks(&self, scopes: &[BlockScope]) -> PortResult<Vec<Block>> {
        let read = |held: &Snapshot| {
            let standing = scopes.iter().filter_map(|s| held.blocks.get(&s.key()));
            Ok(standing.cloned().collect())
        };
        self.read("blocks", read).await
    }

    async fn heart(&self) -> PortResult<Option<Heart>> {
        self.read("heart", |held| Ok(held.heart)).await
    }

    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage> {
        let read = |held: &Shown| {
            let (grants, next) = page(held.grants_of(identity), cursor, limit)?;
            Ok(GrantPage { grants, next })
        };
        self.read_index("grants_of", read).await
    }
}

#[async_trait]
impl GrantStore for MemoryStore {
    async fn create(&self, decision: &Decision, grant: &Grant, entry: &Entry, also: &[Also]) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.create(decision, grant, entry, also).map_err(|_| PortError::Conflict { operation: "create" })
        };
        self.write_evidence("create", entry, write).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let write = |held: &mut Snapshot| held.commit(commit).map_err(|_| PortError::Conflict { operation: "commit" });
        self.write_evidence("commit", &commit.entry, write).await
    }
}

#[async_trait]
impl DueList for MemoryStore {
    async fn due(
        &self,
        role: DueRole,
        shard: u8,
        now: Timestamp,
        cursor: Option<&str>,
        limit: u32,
    ) -> PortResult<DuePage> {
        let read = |held: &Shown| {
            let (lines, next) = page(held.due(role, shard, now), cursor, limit)?;
            Ok(DuePage { lines, next })
        };
        self.read_index("due", read).await
    }

    async fn clear_mark(&self, id: GrantId) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.marks.remove(&id);
            Ok(())
        };
        self.write("clear_mark", Nature::Write, write).await
    }
}

#[async_trait]
impl DenyStore for MemoryStore {
    async fn denied_roles(&self) -> PortResult<Vec<String>> {
        self.read_index("denied_roles", |held| Ok(held.denied_roles.clone())).await
    }

    async fn entries(&self, role_arn: &str) -> PortResult<Vec<DenyEntry>> {
        let read = |held: &Snapshot| {
            let entries = held.denies.values();
            Ok(entries.filter(|entry| entry.role_arn == role_arn).cloned().collect())
        };
        self.read("entries", read).await
    }

    async fn lease(&self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> PortResult<bool> {
        let write = |held: &mut Snapshot| Ok(held.lease(role_arn, holder, now, until));
        self.write("lease", Nature::Write, write).await
    }

    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.end_lease(role_arn, holder);
            Ok(())
        };
        self.write("end_lease", Nature::Write, write).await
    }

    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.drop_entry(entry);
            Ok(())
        };
        self.write("drop_entry", Nature::Write, write).await
    }
}

#[async_trait]
impl Counts for MemoryStore {
    async fn count(&self, principal_arn: &str, policy_arn: &str) -> PortResult<Count> {
        self.read("count", |held| Ok(held.count(principal_arn, policy_arn))).await
    }
}

#[async_trait]
impl HoldingsReader for MemoryStore {
    async fn holdings(&self, sponsor: &IdentityId) -> PortResult<Holdings> {
        self.read("holdings", |held| Ok(held.holdings(sponsor))).await
    }
}

#[async_trait]
impl RevocationReader for MemoryStore {
    async fn latest(&self, scope: &WideScope) -> PortResult<Option<Revocation>> {
        self.read("latest", |held| Ok(held.history(scope).next().cloned())).await
    }

    async fn revocations(&self, cursor: Option<&str>, limit: u32) -> PortResult<RevocationPage> {
        let read = |held: &Snapshot| {
            let (latest, next) = page(held.latest(), cursor, limit)?;
            Ok(RevocationPage { latest, next })
        };
        self.read("revocations", read).await
    }

    async fn history(&self, scope: &WideScope, limit: u32) -> PortResult<Vec<Revocation>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read("history", |held| Ok(held.history(scope).take(limit).cloned().collect())).await
    }

    async fn progress(&self, scope: &WideScope) -> PortResult<Option<Progress>> {
        self.read("progress", |held| Ok(held.progress.get(scope).cloned())).await
    }
}

#[async_trait]
impl RevocationStore for MemoryStore {
    async fn revoke(&self, new: &Revocation) -> PortResult<()> {
        let write = |held: &mut Snapshot| held.revoke(new).map_err(|_| PortError::Conflict { operation: "revoke" });
        self.write("revoke", Nature::GrantWrite, write).await
    }
}

#[async_trait]
impl ProgressStore for MemoryStore {
    async fn put_progress(&self, progress: &Progress) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.put_progress(progress);
            Ok(())
        };
        self.write("put_progress", Nature::Write, write).await
    }
}

#[async_trait]
impl Delegations for MemoryStore {
    async fn delegation(&self, by: &IdentityId, to: &IdentityId) -> PortResult<Option<Delegation>> {
        self.read("delegation", |held| Ok(held.delegation(by, to))).await
    }

    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>> {
        self.read("delegations_of", |held| Ok(held.delegations_of(by))).await
    }

    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()> {
        let write = |table: &mut Snapshot| {
            table.delegate(new, ends, held).map_err(|_| PortError::Conflict { operation: "delegate" })
        };
        self.write("delegate", Nature::GrantWrite, write).await
    }
}

#[async_trait]
impl ReviewReader for MemoryStore {
    async fn awaited(&self, identity: &IdentityId) -> PortResult<Vec<AwaitedReview>> {
        let read = |held: &Snapshot| {
            let all = held.reviews.values();
            Ok(all.filter(|review| review.identity == *identity).cloned().collect())
        };
        self.read("awaited", read).await
    }

    async fn reviews(&self, cursor: Option<&str>, limit: u32) -> PortResult<ReviewPage> {
        let read = |shown: &Shown| {
            let (grants, next) = page(shown.reviews.clone(), cursor, limit)?;
            Ok(ReviewPage { grants, next })
        };
        self.read_index("reviews", read).await
    }
}

#[async_trait]
impl HeartStore for MemoryStore {
    async fn beat(&self, heart: &Heart) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.heart = Some(*heart);
            Ok(())
        };
        self.write("beat", Nature::Write, write).await
    }
}

#[async_trait]
impl BundleSource for MemoryStore {
    async fn current(&self) -> PortResult<Option<Digest>> {
        self.read("current", |held| Ok(held.bundle)).await
    }

    async fn bundle(&self, digest: Digest, parts: Option<&[&str]>) -> PortResult<BundleText> {
        let read = |held: &Snapshot| {
            let stored = held.bundles.get(&digest);
            let all = stored.map(|b| b.parts.clone()).unwrap_or_default();
            let wanted = |name: &str| parts.is_none_or(|names| names.contains(&name));
            let parts = all.into_iter().filter(|(name, _)| wanted(name)).collect();
            Ok(BundleText { digest, parts })
        };
        self.read("bundle", read).await
    }
}
