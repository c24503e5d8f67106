//! The content of the store fake and the rules of its writes: all conditions first, then all writes or none.

use std::collections::{BTreeMap, BTreeSet, btree_map};

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
use brevet_domain::grant::{Grant, RETENTION_S};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::{AuthContext, ProofSummary};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Progress, Reason, Revocation, RevocationAction, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{Activation, Commit, KeyClaim, Mark, TransactionItem, TtlBackstop};

/// Seconds that an idempotency key is kept: 24 h.
const KEY_LIFE_S: u32 = 86_400;
/// Seconds that a mark is kept: longer than any grant.
const MARK_LIFE_S: u32 = 30 * 86_400;

/// The content of the store at one instant. A test can restore it later.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) keys: BTreeMap<(IdentityId, String), KeyClaim>,
    pub(super) requests: BTreeMap<GrantId, Request>,
    pub(super) decisions: BTreeMap<GrantId, Decision>,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    pub(super) evidence: BTreeMap<(GrantId, u64), Entry>,
    pub(super) activations: BTreeMap<GrantId, Activation>,
    /// Keyed by [`brevet_domain::block::BlockScope::key`].
    pub(super) blocks: BTreeMap<String, Block>,
    /// Grants that the due index omits while they have this version.
    pub(super) unlisted: BTreeMap<GrantId, u64>,
    /// Marks that are listed as due.
    pub(super) marks: BTreeMap<GrantId, Timestamp>,
    pub(super) denies: BTreeMap<(String, GrantId), DenyEntry>,
    /// Role to holder and end of the lease.
    pub(super) leases: BTreeMap<String, (String, Timestamp)>,
    /// Keyed by principal and policy.
    pub(super) holders: BTreeMap<(String, String), AttachmentHolders>,
    pub(super) holdings: BTreeMap<IdentityId, Holdings>,
    /// Keyed by scope and version.
    pub(super) revocations: BTreeMap<(WideScope, u64), Revocation>,
    pub(super) progress: BTreeMap<WideScope, Progress>,
    /// Keyed by human, delegate and version.
    pub(super) delegations: BTreeMap<(IdentityId, IdentityId, u64), Delegation>,
    pub(super) backstops: BTreeMap<GrantId, TtlBackstop>,
    pub(super) reviews: BTreeMap<(IdentityId, GrantId), AwaitedReview>,
    pub(super) findings: Vec<Finding>,
    /// Keyed by delivery and sequence number.
    pub(super) drills: BTreeMap<(Drilled, u64), Drill>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) reaper_health: Option<ReaperHealth>,
    pub(super) bundle: Option<Digest>,
    pub(super) bundles: BTreeMap<Digest, BundleText>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unmet;

impl Snapshot {
    pub(super) fn claim_key(&mut self, claim: &KeyClaim) -> KeyClaim {
        let slot = (claim.caller.clone(), claim.key.clone());
        let standing = self.keys.get(&slot).filter(|held| claim.at < held.at.plus(KEY_LIFE_S));
        if let Some(held) = standing {
            return held.clone();
        }
        self.keys.insert(slot, claim.clone());
        claim.clone()
    }

    pub(super) fn put_mark(&mut self, mark: &Mark) {
        if let btree_map::Entry::Vacant(slot) = self.blocks.entry(BlockScope::Grant(mark.id).key()) {
            slot.insert(mark.block.clone());
            self.marks.insert(mark.id, mark.block.at);
        }
    }

    /// Whether `entry` is stored already, which means that the same transaction was made before.
    fn is_done(&self, id: GrantId, entry: &Entry) -> bool {
        self.evidence.get(&(id, entry.body.seq)) == Some(entry)
    }

    pub(super) fn create(
        &mut self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> Result<(), Unmet> {
        let id = grant.id;
        if self.is_done(id, entry) {
            return Ok(());
        }
        if self.decisions.contains_key(&decision.id)
            || self.grants.contains_key(&id)
            || self.evidence.contains_key(&(id, entry.body.seq))
            || !items.iter().all(|item| self.allows(item))
        {
            return Err(Unmet);
        }
        self.decisions.insert(decision.id, decision.clone());
        self.grants.insert(id, grant.clone());
        self.evidence.insert((id, entry.body.seq), entry.clone());
        items.iter().for_each(|item| self.put(item));
        Ok(())
    }

    pub(super) fn commit(&mut self, commit: &Commit) -> Result<(), Unmet> {
        let id = commit.after.id;
        let seq = commit.entry.body.seq;
        if self.is_done(id, &commit.entry) {
            return Ok(());
        }
        let version = self.grants.get(&id).map(|grant| grant.version);
        if version != Some(commit.expected_version) || self.evidence.contains_key(&(id, seq)) {
            return Err(Unmet);
        }
        if !commit.items.iter().all(|item| self.allows(item)) {
            return Err(Unmet);
        }
        self.grants.insert(id, commit.after.clone());
        self.evidence.insert((id, seq), commit.entry.clone());
        commit.items.iter().for_each(|item| self.put(item));
        Ok(())
    }

    fn put(&mut self, item: &TransactionItem) {
        match item {
            TransactionItem::Activation(activation) => {
                self.activations.insert(activation.id, *activation);
            }
            TransactionItem::Decision { decision, .. } => {
                self.decisions.insert(decision.id, (**decision).clone());
            }
            TransactionItem::Deny(entry) => {
                let slot = (entry.role_arn.clone(), entry.grant);
                self.denies.insert(slot, entry.clone());
            }
            TransactionItem::Holders(holders) => {
                let slot = (holders.principal_arn.clone(), holders.policy_arn.clone());
                self.holders.insert(slot, holders.clone());
            }
            TransactionItem::Holdings(holdings) => {
                self.holdings.insert(holdings.sponsor.clone(), holdings.clone());
            }
            TransactionItem::StillDelegated { .. } => {}
            TransactionItem::ReviewAwaited(review) => {
                self.reviews.insert((review.identity.clone(), review.grant), review.clone());
            }
            TransactionItem::ReviewOver { identity, grant } => {
                self.reviews.remove(&(identity.clone(), *grant));
            }
            TransactionItem::Backstop(backstop) => {
                self.backstops.insert(backstop.id, *backstop);
            }
            TransactionItem::RemoveBackstop(id) => {
                self.backstops.remove(id);
            }
        }
    }

    fn allows(&self, item: &TransactionItem) -> bool {
        match item {
            TransactionItem::Activation(activation) => !self.activations.contains_key(&activation.id),
            TransactionItem::Decision { decision, votes_before } => {
                self.decisions.get(&decision.id).is_some_and(|stored| stored.votes.len() == *votes_before)
            }
            TransactionItem::Holders(holders) => {
                let stored = self.holders_of(&holders.principal_arn, &holders.policy_arn);
                stored.version.checked_add(1) == Some(holders.version)
            }
            TransactionItem::Holdings(holdings) => {
                let stored = self.holdings(&holdings.sponsor);
                stored.version.checked_add(1) == Some(holdings.version)
            }
            TransactionItem::StillDelegated { by, to, version } => {
                !self.delegations.contains_key(&(by.clone(), to.clone(), version.saturating_add(1)))
            }
            TransactionItem::ReviewAwaited(review) => {
                !self.reviews.contains_key(&(review.identity.clone(), review.grant))
            }
            TransactionItem::Deny(_)
            | TransactionItem::Backstop(_)
            | TransactionItem::RemoveBackstop(_)
            | TransactionItem::ReviewOver { .. } => true,
        }
    }

    pub(super) fn holders_of(&self, principal_arn: &str, policy_arn: &str) -> AttachmentHolders {
        let slot = (principal_arn.to_owned(), policy_arn.to_owned());
        self.holders.get(&slot).cloned().unwrap_or_else(|| AttachmentHolders::nobody(principal_arn, policy_arn))
    }

    pub(super) fn add_finding(&mut self, finding: &Finding, holders: Option<&AttachmentHolders>) -> Result<(), Unmet> {
        if self.findings.last() == Some(finding) {
            return Ok(());
        }
        let items = holders.cloned().map(TransactionItem::Holders);
        let last = self.findings.last().map_or(0, |last| last.seq);
        if last.checked_add(1) != Some(finding.seq) || !items.iter().all(|item| self.allows(item)) {
            return Err(Unmet);
        }
        self.findings.push(finding.clone());
        items.iter().for_each(|item| self.put(item));
        Ok(())
    }

    pub(super) fn add_drill(&mut self, drill: &Drill) -> Result<(), Unmet> {
        let slot = (drill.drilled, drill.seq);
        match self.drills.get(&slot) {
            Some(standing) if standing == drill => Ok(()),
            Some(_) => Err(Unmet),
            None => {
                self.drills.insert(slot, drill.clone());
                Ok(())
            }
        }
    }

    pub(super) fn delegation(&self, by: &IdentityId, to: &IdentityId) -> Option<Delegation> {
        let range = self.delegations.range((by.clone(), to.clone(), 0)..=(by.clone(), to.clone(), u64::MAX));
        range.last().map(|(_, version)| version.clone())
    }

    pub(super) fn delegations_of(&self, by: &IdentityId) -> Vec<Delegation> {
        let to: BTreeSet<&IdentityId> =
            self.delegations.keys().filter(|(human, ..)| human == by).map(|(_, to, _)| to).collect();
        to.into_iter().filter_map(|to| self.delegation(by, to)).collect()
    }

    pub(super) fn delegate(&mut self, new: &Delegation, ends: &[Mark], held: u64) -> Result<(), Unmet> {
        let slot = (new.by.clone(), new.to.clone(), new.version);
        if self.delegations.get(&slot) == Some(new) {
            return Ok(());
        }
        let marked = ends.iter().any(|mark| self.blocks.contains_key(&mark.block.scope.key()));
        if marked || self.delegations.contains_key(&slot) || self.holdings(&new.by).version != held {
            return Err(Unmet);
        }
        self.delegations.insert(slot, new.clone());
        ends.iter().for_each(|mark| self.put_mark(mark));
        Ok(())
    }

    pub(super) fn holdings(&self, sponsor: &IdentityId) -> Holdings {
        self.holdings.get(sponsor).cloned().unwrap_or_else(|| Holdings::none(sponsor))
    }

    /// Whether the break-glass use `grant` of `identity` awaits its review.
    #[must_use]
    pub fn review_awaited(&self, identity: &IdentityId, grant: GrantId) -> bool {
        self.reviews.contains_key(&(identity.clone(), grant))
    }

    /// The latest revocation of every scope, sorted by the scope's text.
    pub(super) fn latest(&self) -> Vec<Revocation> {
        let latest: BTreeMap<String, &Revocation> =
            self.revocations.iter().map(|((scope, _), version)| (scope.to_string(), version)).collect();
        latest.into_values().cloned().collect()
    }

    pub(super) fn history(&self, scope: &WideScope) -> impl Iterator<Item = &Revocation> {
        self.revocations.range((scope.clone(), 0)..=(scope.clone(), u64::MAX)).rev().map(|(_, version)| version)
    }

    pub(super) fn revoke(&mut self, new: &Revocation) -> Result<(), Unmet> {
        let slot = (new.scope.clone(), new.version);
        if self.revocations.get(&slot) == Some(new) {
            return Ok(());
        }
        let before = self.history(&new.scope).next().map_or(0, |before| before.version);
        if before.checked_add(1) != Some(new.version) {
            return Err(Unmet);
        }
        let key = new.scope.as_block().key();
        match new.block() {
            Some(block) => self.blocks.insert(key, block),
            None => self.blocks.remove(&key),
        };
        self.revocations.insert(slot, new.clone());
        Ok(())
    }

    pub(super) fn block(&mut self, block: Block) {
        self.act_on(&block.scope, RevocationAction::Placed, &block.by, block.at);
        self.blocks.insert(block.scope.key(), block);
    }

    pub(super) fn unblock(&mut self, scope: &BlockScope) {
        if let Some(block) = self.blocks.remove(&scope.key()) {
            self.act_on(scope, RevocationAction::Lifted, &block.by, block.at);
        }
    }

    /// Adds a version for a wide block, unless the latest version says the same.
    fn act_on(&mut self, scope: &BlockScope, act: RevocationAction, by: &IdentityId, at: Timestamp) {
        let parsed = (WideScope::try_from(scope.clone()), Reason::try_from("a test".to_owned()), "test".parse());
        let (Ok(scope), Ok(reason), Ok(issuer)) = parsed else { return };
        let before = self.history(&scope).next();
        if before.map(|before| before.act).unwrap_or(RevocationAction::Lifted) == act {
            return;
        }
        let proof = ProofSummary::Token {
            issuer,
            subject: by.to_string(),
            token_digest: Digest::of_bytes(by.as_str().as_bytes()),
            issued_at: at,
            expires_at: at,
            auth: AuthContext::default(),
        };
        let (version, prev) = match before {
            None => (1, Digest::ZERO),
            Some(before) => (before.version.saturating_add(1), Digest::of(before).unwrap_or(Digest::ZERO)),
        };
        let (by, determining) = (by.clone(), Vec::new());
        let new = Revocation { scope: scope.clone(), version, prev, act, reason, by, proof, determining, at };
        self.revocations.insert((scope, version), new);
    }

    pub(super) fn put_progress(&mut self, progress: &Progress) {
        if self.progress.get(&progress.scope).is_none_or(|held| held.began_at < progress.began_at) {
            self.progress.insert(progress.scope.clone(), progress.clone());
        }
    }

    pub(super) fn record_heartbeat(&mut self, reaper_health: &ReaperHealth, before: Option<u64>) -> Result<(), Unmet> {
        let stands = self.reaper_health.as_ref().map_or(0, |reaper_health| reaper_health.heartbeats);
        if before.is_some_and(|before| before != stands) {
            return Err(Unmet);
        }
        self.reaper_health = Some(reaper_health.clone());
        Ok(())
    }

    pub(super) fn lease(&mut self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> bool {
        let taken = self.leases.get(role_arn).is_some_and(|(other, end)| other != holder && now < *end);
        if !taken {
            self.leases.insert(role_arn.to_owned(), (holder.to_owned(), until));
        }
        !taken
    }

    pub(super) fn end_lease(&mut self, role_arn: &str, holder: &str) {
        if self.leases.get(role_arn).is_some_and(|(other, _)| other == holder) {
            self.leases.remove(role_arn);
        }
    }

    pub(super) fn drop_entry(&mut self, entry: &DenyEntry) {
        let slot = (entry.role_arn.clone(), entry.grant);
        if self.denies.get(&slot) == Some(entry) {
            self.denies.remove(&slot);
        }
    }

    /// Drops everything that DynamoDB's TTL may drop at `now`, except TTL backstops.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let is_over = |at: Timestamp| at < now;
        self.keys.retain(|_, claim| !is_over(claim.at.plus(KEY_LIFE_S)));
        self.requests.retain(|_, request| !is_over(request.decide_by.plus(RETENTION_S)));
        self.grants.retain(|_, grant| !grant.drop_at().is_some_and(is_over));
        let dropped: BTreeSet<GrantId> =
            self.marks.iter().filter(|(_, at)| is_over(at.plus(MARK_LIFE_S))).map(|(id, _)| *id).collect();
        self.marks.retain(|id, _| !dropped.contains(id));
        let is_mark = |block: &Block| matches!(block.scope, BlockScope::Grant(_));
        self.blocks.retain(|_, block| !(is_mark(block) && is_over(block.at.plus(MARK_LIFE_S))));
    }
}
