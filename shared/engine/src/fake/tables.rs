//! What the store fake holds, and the rules of its writes: conditions first, then all or nothing.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::{Drill, Drilled};
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::{Grant, RETENTION_S};
use brevet_domain::heart::Heart;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::{AuthContext, ProofSummary};
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Act, Progress, Reason, Revocation, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{Activation, Also, Commit, Fuse, KeyClaim, Mark};

/// How long an idempotency key is remembered, in seconds: 24 h.
const KEY_LIFE_S: u32 = 86_400;
/// How long a mark is kept, in seconds: longer than any grant.
const MARK_LIFE_S: u32 = 30 * 86_400;

/// Everything the store holds at one instant: to be put back later, as restoring a table would.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) keys: BTreeMap<(IdentityId, String), KeyClaim>,
    pub(super) requests: BTreeMap<GrantId, Request>,
    pub(super) decisions: BTreeMap<GrantId, Decision>,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    pub(super) evidence: BTreeMap<(GrantId, u64), Entry>,
    pub(super) activations: BTreeMap<GrantId, Activation>,
    /// By [`brevet_domain::block::BlockScope::key`].
    pub(super) blocks: BTreeMap<String, Block>,
    /// Grants that are off the to-do list as long as they have this version.
    pub(super) unlisted: BTreeMap<GrantId, u64>,
    /// Marks that are on the to-do list.
    pub(super) marks: BTreeMap<GrantId, Timestamp>,
    pub(super) denies: BTreeMap<(String, GrantId), DenyEntry>,
    /// Role to holder and end.
    pub(super) leases: BTreeMap<String, (String, Timestamp)>,
    /// By principal and policy.
    pub(super) counts: BTreeMap<(String, String), Count>,
    pub(super) holdings: BTreeMap<IdentityId, Holdings>,
    /// By scope and version.
    pub(super) revocations: BTreeMap<(WideScope, u64), Revocation>,
    pub(super) progress: BTreeMap<WideScope, Progress>,
    /// By human, other identity and version.
    pub(super) delegations: BTreeMap<(IdentityId, IdentityId, u64), Delegation>,
    pub(super) fuses: BTreeMap<GrantId, Fuse>,
    pub(super) reviews: BTreeMap<(IdentityId, GrantId), AwaitedReview>,
    pub(super) findings: Vec<Finding>,
    /// By delivery and number.
    pub(super) drills: BTreeMap<(Drilled, u64), Drill>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) heart: Option<Heart>,
    pub(super) bundle: Option<Digest>,
    pub(super) bundles: BTreeMap<Digest, BundleText>,
}

/// A condition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unmet;

impl Snapshot {
    pub(super) fn claim_key(&mut self, claim: &KeyClaim) -> KeyClaim {
        let place = (claim.caller.clone(), claim.key.clone());
        let standing = self.keys.get(&place).filter(|held| claim.at < held.at.plus(KEY_LIFE_S));
        if let Some(held) = standing {
            return held.clone();
        }
        self.keys.insert(place, claim.clone());
        claim.clone()
    }

    pub(super) fn put_mark(&mut self, mark: &Mark) {
        if let btree_map::Entry::Vacant(place) = self.blocks.entry(BlockScope::Grant(mark.id).key()) {
            place.insert(mark.block.clone());
            self.marks.insert(mark.id, mark.block.at);
        }
    }

    /// Whether `entry` is there already: then the very transaction that carried it was made before.
    fn is_done(&self, id: GrantId, entry: &Entry) -> bool {
        self.evidence.get(&(id, entry.body.seq)) == Some(entry)
    }

    pub(super) fn create(
        &mut self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        also: &[Also],
    ) -> Result<(), Unmet> {
        let id = grant.id;
        if self.is_done(id, entry) {
            return Ok(());
        }
        if self.decisions.contains_key(&decision.id)
            || self.grants.contains_key(&id)
            || self.evidence.contains_key(&(id, entry.body.seq))
            || !also.iter().all(|also| self.allows(also))
        {
            return Err(Unmet);
        }
        self.decisions.insert(decision.id, decision.clone());
        self.grants.insert(id, grant.clone());
        self.evidence.insert((id, entry.body.seq), entry.clone());
        also.iter().for_each(|also| self.put(also));
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
        if !commit.also.iter().all(|also| self.allows(also)) {
            return Err(Unmet);
        }
        self.grants.insert(id, commit.after.clone());
        self.evidence.insert((id, seq), commit.entry.clone());
        commit.also.iter().for_each(|also| self.put(also));
        Ok(())
    }

    fn put(&mut self, also: &Also) {
        match also {
            Also::Activation(activation) => {
                self.activations.insert(activation.id, *activation);
            }
            Also::Decision { decision, .. } => {
                self.decisions.insert(decision.id, (**decision).clone());
            }
            Also::Deny(entry) => {
                let place = (entry.role_arn.clone(), entry.grant);
                self.denies.insert(place, entry.clone());
            }
            Also::Count(count) => {
                let place = (count.principal_arn.clone(), count.policy_arn.clone());
                self.counts.insert(place, count.clone());
            }
            Also::Holdings(holdings) => {
                self.holdings.insert(holdings.sponsor.clone(), holdings.clone());
            }
            Also::StillDelegated { .. } => {}
            Also::ReviewAwaited(review) => {
                self.reviews.insert((review.identity.clone(), review.grant), review.clone());
            }
            Also::ReviewOver { identity, grant } => {
                self.reviews.remove(&(identity.clone(), *grant));
            }
            Also::Fuse(fuse) => {
                self.fuses.insert(fuse.id, *fuse);
            }
            Also::PutOut(id) => {
                self.fuses.remove(id);
            }
        }
    }

    fn allows(&self, also: &Also) -> bool {
        match also {
            Also::Activation(activation) => !self.activations.contains_key(&activation.id),
            Also::Decision { decision, votes_before } => {
                self.decisions.get(&decision.id).is_some_and(|stored| stored.votes.len() == *votes_before)
            }
            Also::Count(count) => {
                let stored = self.count(&count.principal_arn, &count.policy_arn);
                stored.version.checked_add(1) == Some(count.version)
            }
            Also::Holdings(holdings) => {
                let stored = self.holdings(&holdings.sponsor);
                stored.version.checked_add(1) == Some(holdings.version)
            }
            Also::StillDelegated { by, to, version } => {
                !self.delegations.contains_key(&(by.clone(), to.clone(), version.saturating_add(1)))
            }
            Also::ReviewAwaited(review) => !self.reviews.contains_key(&(review.identity.clone(), review.grant)),
            Also::Deny(_) | Also::Fuse(_) | Also::PutOut(_) | Also::ReviewOver { .. } => true,
        }
    }

    pub(super) fn count(&self, principal_arn: &str, policy_arn: &str) -> Count {
        let place = (principal_arn.to_owned(), policy_arn.to_owned());
        self.counts.get(&place).cloned().unwrap_or_else(|| Count::nobody(principal_arn, policy_arn))
    }

    pub(super) fn add_finding(&mut self, finding: &Finding, count: Option<&Count>) -> Result<(), Unmet> {
        if self.findings.last() == Some(finding) {
            return Ok(());
        }
        let also = count.cloned().map(Also::Count);
        let last = self.findings.last().map_or(0, |last| last.seq);
        if last.checked_add(1) != Some(finding.seq) || !also.iter().all(|also| self.allows(also)) {
            return Err(Unmet);
        }
        self.findings.push(finding.clone());
        also.iter().for_each(|also| self.put(also));
        Ok(())
    }

    pub(super) fn add_drill(&mut self, drill: &Drill) -> Result<(), Unmet> {
        let place = (drill.drilled, drill.seq);
        match self.drills.get(&place) {
            Some(standing) if standing == drill => Ok(()),
            Some(_) => Err(Unmet),
            None => {
                self.drills.insert(place, drill.clone());
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
        let place = (new.by.clone(), new.to.clone(), new.version);
        if self.delegations.get(&place) == Some(new) {
            return Ok(());
        }
        let marked = ends.iter().any(|mark| self.blocks.contains_key(&mark.block.scope.key()));
        if marked || self.delegations.contains_key(&place) || self.holdings(&new.by).version != held {
            return Err(Unmet);
        }
        self.delegations.insert(place, new.clone());
        ends.iter().for_each(|mark| self.put_mark(mark));
        Ok(())
    }

    pub(super) fn holdings(&self, sponsor: &IdentityId) -> Holdings {
        self.holdings.get(sponsor).cloned().unwrap_or_else(|| Holdings::none(sponsor))
    }

    /// Whether the use `grant` of `identity` is marked as one that awaits its review.
    #[must_use]
    pub fn review_awaited(&self, identity: &IdentityId, grant: GrantId) -> bool {
        self.reviews.contains_key(&(identity.clone(), grant))
    }

    /// By scope, as their texts sort.
    pub(super) fn latest(&self) -> Vec<Revocation> {
        let latest: BTreeMap<String, &Revocation> =
            self.revocations.iter().map(|((scope, _), version)| (scope.to_string(), version)).collect();
        latest.into_values().cloned().collect()
    }

    pub(super) fn history(&self, scope: &WideScope) -> impl Iterator<Item = &Revocation> {
        self.revocations.range((scope.clone(), 0)..=(scope.clone(), u64::MAX)).rev().map(|(_, version)| version)
    }

    pub(super) fn revoke(&mut self, new: &Revocation) -> Result<(), Unmet> {
        let place = (new.scope.clone(), new.version);
        if self.revocations.get(&place) == Some(new) {
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
        self.revocations.insert(place, new.clone());
        Ok(())
    }

    pub(super) fn block(&mut self, block: Block) {
        self.act_on(&block.scope, Act::Placed, &block.by, block.at);
        self.blocks.insert(block.scope.key(), block);
    }

    pub(super) fn unblock(&mut self, scope: &BlockScope) {
        if let Some(block) = self.blocks.remove(&scope.key()) {
            self.act_on(scope, Act::Lifted, &block.by, block.at);
        }
    }

    /// Adds the version of a wide block, where it is not so already.
    fn act_on(&mut self, scope: &BlockScope, act: Act, by: &IdentityId, at: Timestamp) {
        let wanted = (WideScope::try_from(scope.clone()), Reason::try_from("a test".to_owned()), "test".parse());
        let (Ok(scope), Ok(reason), Ok(issuer)) = wanted else { return };
        let before = self.history(&scope).next();
        if before.map(|before| before.act).unwrap_or(Act::Lifted) == act {
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

    pub(super) fn beat(&mut self, heart: &Heart, before: Option<u64>) -> Result<(), Unmet> {
        let stands = self.heart.as_ref().map_or(0, |heart| heart.beats);
        if before.is_some_and(|before| before != stands) {
            return Err(Unmet);
        }
        self.heart = Some(heart.clone());
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
        let place = (entry.role_arn.clone(), entry.grant);
        if self.denies.get(&place) == Some(entry) {
            self.denies.remove(&place);
        }
    }

    /// Drops what the TTL of its item lets DynamoDB drop at `now`, but for fuses.
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
