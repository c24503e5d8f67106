//! The ports of the store fake. Every read and write can have a fault.

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::{Drill, Drilled};
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Progress, Revocation, WideScope};
use brevet_domain::time::Timestamp;

use super::MemoryStore;
use crate::fake::faults::{CallKind, CallMode};
use crate::fake::index_view::{DuePosition, IndexView, due_position};
use crate::fake::locked;
use crate::fake::tables::Snapshot;
use crate::port::{
    Activation, AttachmentHoldersReader, BundleSource, Commit, Delegations, DenyStore, DrillReader, DrillStore, Due,
    DueList, DuePage, Findings, GrantPage, GrantReader, GrantStore, HoldingsReader, InService, KeyClaim, Mark,
    PortError, PortResult, ProgressStore, ReaperHealthStore, RequestStore, ReviewPage, ReviewReader, RevocationPage,
    RevocationReader, RevocationStore, TransactionItem,
};

/// One page of `all` and the cursor of the next, which is its start index.
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

/// The cursor of the next due page: it starts after `last`, even if `last` has left the list.
fn due_cursor(last: &Due) -> String {
    let (next_at, is_mark, id) = due_position(last);
    format!("{}|{}|{id}", next_at.as_millis(), u8::from(is_mark))
}

fn due_start(cursor: &str) -> PortResult<DuePosition> {
    let mut parts = cursor.split('|');
    let mut position = || {
        let next_at = Timestamp::from_millis(parts.next()?.parse().ok()?);
        Some((next_at, parts.next()? == "1", parts.next()?.parse().ok()?))
    };
    let foreign =
        || PortError::Refused { operation: "due", source: "invalid cursor: pass `next` unchanged, or omit it".into() };
    position().ok_or_else(foreign)
}

#[async_trait]
impl RequestStore for MemoryStore {
    async fn claim_key(&self, claim: &KeyClaim) -> PortResult<KeyClaim> {
        let write = |held: &mut Snapshot| Ok(held.claim_key(claim));
        self.write("claim_key", CallKind::Write, write).await
    }

    async fn put_request(&self, request: &Request) -> PortResult<Request> {
        let write = |held: &mut Snapshot| {
            let standing = held.requests.entry(request.id);
            Ok(standing.or_insert_with(|| request.clone()).clone())
        };
        self.write("put_request", CallKind::Write, write).await
    }

    async fn put_mark(&self, mark: &Mark) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.put_mark(mark);
            Ok(())
        };
        self.write("put_mark", CallKind::Write, write).await
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

    async fn reaper_health(&self) -> PortResult<Option<ReaperHealth>> {
        self.read("reaper_health", |held| Ok(held.reaper_health.clone())).await
    }

    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage> {
        let read = |held: &IndexView| {
            let (grants, next) = page(held.grants_of(identity), cursor, limit)?;
            Ok(GrantPage { grants, next })
        };
        self.read_index("grants_of", read).await
    }
}

#[async_trait]
impl GrantStore for MemoryStore {
    async fn create(
        &self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.create(decision, grant, entry, items).map_err(|_| PortError::Conflict { operation: "create" })
        };
        self.write_evidence("create", entry.body.id, write).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let write = |held: &mut Snapshot| held.commit(commit).map_err(|_| PortError::Conflict { operation: "commit" });
        self.write_evidence("commit", commit.entry.body.id, write).await
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
        let read = |held: &IndexView| {
            let mut lines = held.due(role, shard, now, cursor.map(due_start).transpose()?);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let is_last = lines.len() <= limit;
            lines.truncate(limit);
            let next = lines.last().filter(|_| !is_last).map(due_cursor);
            Ok(DuePage { lines, next })
        };
        self.read_index("due", read).await
    }

    async fn clear_mark(&self, id: GrantId) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.marks.remove(&id);
            Ok(())
        };
        self.write("clear_mark", CallKind::Write, write).await
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
        self.write("lease", CallKind::Write, write).await
    }

    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.end_lease(role_arn, holder);
            Ok(())
        };
        self.write("end_lease", CallKind::Write, write).await
    }

    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.drop_entry(entry);
            Ok(())
        };
        self.write("drop_entry", CallKind::Write, write).await
    }
}

#[async_trait]
impl AttachmentHoldersReader for MemoryStore {
    async fn holders_of(&self, principal_arn: &str, policy_arn: &str) -> PortResult<AttachmentHolders> {
        self.read("holders_of", |held| Ok(held.holders_of(principal_arn, policy_arn))).await
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
        self.write("revoke", CallKind::GrantWrite, write).await
    }
}

#[async_trait]
impl ProgressStore for MemoryStore {
    async fn put_progress(&self, progress: &Progress) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.put_progress(progress);
            Ok(())
        };
        self.write("put_progress", CallKind::Write, write).await
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
        self.write("delegate", CallKind::GrantWrite, write).await
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
        let read = |view: &IndexView| {
            let (grants, next) = page(view.reviews.clone(), cursor, limit)?;
            Ok(ReviewPage { grants, next })
        };
        self.read_index("reviews", read).await
    }
}

#[async_trait]
impl InService for MemoryStore {
    async fn table(&self) -> PortResult<String> {
        let act = |_: CallMode| Ok(locked(&self.held).identity());
        self.faults.call("table", CallKind::Read, act).await
    }

    async fn confirmation(&self) -> PortResult<Option<Confirmation>> {
        self.read("confirmation", |held| Ok(held.confirmation.clone())).await
    }
}

#[async_trait]
impl Findings for MemoryStore {
    async fn last_finding(&self) -> PortResult<Option<Finding>> {
        self.read("last_finding", |held| Ok(held.findings.last().cloned())).await
    }

    async fn add_finding(&self, finding: &Finding, holders: Option<&AttachmentHolders>) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.add_finding(finding, holders).map_err(|_| PortError::Conflict { operation: "add_finding" })
        };
        self.write_evidence("add_finding", finding.id, write).await
    }

    async fn findings(&self, limit: u32) -> PortResult<Vec<Finding>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read("findings", |held| Ok(held.findings.iter().rev().take(limit).cloned().collect())).await
    }
}

#[async_trait]
impl DrillReader for MemoryStore {
    async fn last_drill(&self, drilled: Drilled) -> PortResult<Option<Drill>> {
        self.read("last_drill", |held| Ok(held.drills(drilled).last().cloned())).await
    }
}

#[async_trait]
impl DrillStore for MemoryStore {
    async fn add_drill(&self, drill: &Drill) -> PortResult<()> {
        let write =
            |held: &mut Snapshot| held.add_drill(drill).map_err(|_| PortError::Conflict { operation: "add_drill" });
        self.write_evidence("add_drill", drill.id, write).await
    }
}

#[async_trait]
impl ReaperHealthStore for MemoryStore {
    async fn record_heartbeat(&self, reaper_health: &ReaperHealth, before: Option<u64>) -> PortResult<()> {
        let write = |held: &mut Snapshot| {
            held.record_heartbeat(reaper_health, before)
                .map_err(|_| PortError::Conflict { operation: "record_heartbeat" })
        };
        self.write("record_heartbeat", CallKind::GrantWrite, write).await
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
            let is_requested = |name: &str| parts.is_none_or(|names| names.contains(&name));
            let parts = all.into_iter().filter(|(name, _)| is_requested(name)).collect();
            Ok(BundleText { digest, parts })
        };
        self.read("bundle", read).await
    }
}
