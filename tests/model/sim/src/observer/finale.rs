//! The checks of the records at any time, and of everything once every grant must be over.

use std::collections::BTreeSet;

use brevet_domain::canonical::Digest;
use brevet_domain::evidence;
use brevet_domain::grant::{Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::review::Review;
use brevet_domain::revocation::WideScope;
use brevet_engine::fake::Snapshot;

use super::{Claim, Observer, RESTORED_READ, grant_of, live};
use crate::catalogue::{BATCH, SECRET};
use crate::policy::locked;
use crate::world::World;

impl Observer {
    /// Checks the records at any time: chains, lists, credentials.
    pub fn audit(&mut self, world: &World) {
        let held = world.store.snapshot();
        for grant in held.grants() {
            let id = grant.id;
            let entries = held.evidence_of(id);
            let chain = evidence::verify(id, grant.evidence, &entries);
            self.hold(Claim::EvidenceVerifies, chain.is_ok(), || format!("{id}: {chain:?}"));
            let bound = entries.last().map(|entry| entry.body.grant_digest) == grant.digest().ok();
            let counted = grant.version == grant.evidence.seq;
            self.hold(Claim::EvidenceVerifies, bound && counted, || {
                format!("{id}: its last evidence entry is for another state")
            });
            // A grant with secrets to rotate is listed until they are rotated.
            let over = grant.state.is_terminal() && grant.pending_rotations().next().is_none();
            // A use that awaits its review is kept until the review.
            let kept = !over || grant.awaits_review();
            let listed = grant.due_at().is_none() == over && grant.drop_at().is_none() == kept;
            self.hold(Claim::OnTheList, listed, || {
                format!("{id} is {}, and its index entries do not fit that", grant.state.name())
            });
        }
        self.drills(world, &held);
        for grant in held.grants().filter(|grant| matches!(grant.review, Some(Review::Done { .. }))) {
            let tried = locked(&world.ledger).reviewed.contains_key(&grant.id);
            self.hold(Claim::ReviewedFirst, tried, || format!("{} is recorded as reviewed without a review", grant.id));
        }
        for scope in held.zeros() {
            let covered = |grant: &&Grant| WideScope::covering(grant).any(|one| one == *scope);
            let alive = held.grants().filter(covered).find(|grant| !grant.state.is_terminal());
            self.hold(Claim::ProofConfirmed, alive.is_none(), || {
                format!(
                    "the pass under the block on {scope} is recorded as complete, and {:?} is still live",
                    alive.map(|grant| grant.id)
                )
            });
        }
        let mut before = Digest::ZERO;
        for (n, finding) in held.findings().iter().enumerate() {
            let follows = finding.prev == before && finding.seq == n as u64 + 1;
            self.hold(Claim::EvidenceVerifies, follows, || format!("finding {} does not follow", finding.seq));
            before = Digest::of(finding).expect("a form");
        }
        let over: BTreeSet<_> = held.grants().filter(|grant| grant.state.is_terminal()).map(|grant| grant.id).collect();
        for id in held.backstops() {
            self.hold(Claim::OnTheList, !over.contains(&id), || format!("the TTL backstop of {id} outlived the grant"));
        }
        for count in held.holders() {
            let live = count.holders.iter().all(|id| !over.contains(id));
            self.hold(Claim::OnTheList, live, || format!("{count:?} counts a holder whose grant is over"));
        }
        let text = format!("{held:?}");
        let kept = ["secret of", "token of", "secret-of", "token-of"].iter().any(|word| text.contains(word));
        self.hold(Claim::NoCredentialStored, !kept, || "a credential is in the table".to_owned());
    }

    /// Once every grant must be over: checks that it is, and that nothing is left behind.
    pub fn finale(&mut self, world: &World) {
        self.audit(world);
        let held = world.store.snapshot();
        for grant in held.grants() {
            let over = grant.state.is_terminal();
            self.hold(Claim::NothingStuck, over, || format!("{} is stuck in {:?}", grant.id, grant.state));
        }
        for (id, _) in live(world) {
            self.hold(Claim::NothingStuck, false, || format!("{id} still acts"));
        }
        self.rotated(world, &held);
        let principal = world.principals.whole(BATCH);
        for name in
            principal.iter().flat_map(|principal| principal.inline.keys()).filter(|name| grant_of(name).is_some())
        {
            self.hold(Claim::NothingStuck, false, || format!("inline policy {name} is left over"));
        }
        if principal.is_some_and(|principal| !principal.attached.is_empty()) {
            self.hold(Claim::NothingStuck, false, || "the managed policy is left over".to_owned());
        }
        let clean = clean(world, &held);
        self.hold(Claim::NothingStuck, clean.is_empty(), || clean.join(", "));
    }

    /// A reader of the secret still knows it. It must have been rotated since, as often as the entitlement says.
    fn rotated(&mut self, world: &World, held: &Snapshot) {
        let (secret, times) = SECRET;
        let rotations = world.secrets.done();
        let reads = |id: GrantId| locked(&world.ledger).of(id).is_some_and(|asked| asked.entitlement == "vault");
        let restored = locked(&world.ledger).restored.is_some();
        for grant in held.grants().filter(|grant| reads(grant.id)) {
            let Some(acted_at) = self.acted_at.get(&grant.id).copied() else { continue };
            if restored && !matches!(grant.state, State::Ended { .. }) {
                self.skip(RESTORED_READ);
                continue;
            }
            let since = rotations.iter().filter(|one| one.secret == secret && one.began_at >= acted_at).count();
            self.hold(Claim::RotatedSinceItsEnd, since >= usize::from(times), || {
                format!("{} last acted at {acted_at}, and its secret was rotated {since} times since", grant.id)
            });
        }
    }
}

/// What should be gone from the table or the session roles, and is not.
fn clean(world: &World, held: &Snapshot) -> Vec<String> {
    let mut left = Vec::new();
    if held.denies().count() > 0 {
        left.push("deny entries are left over".to_owned());
    }
    if held.backstops().count() > 0 {
        left.push("TTL backstops are left over".to_owned());
    }
    if held.holders().any(|count| !count.holders.is_empty()) {
        left.push("a holder of a managed policy is still counted".to_owned());
    }
    if let Some(grant) = held.grants().find(|grant| held.has_mark(grant.id)) {
        left.push(format!("the mark of {} is left over", grant.id));
    }
    for target in ["deploy", "glass"] {
        let role = world.deployment.session_role_arn(&target.parse().expect("a name"));
        if world.roles.standing(&role, &world.deployment.deny_policy_name()).is_some() {
            left.push(format!("the reserved deny of {role} is left over"));
        }
    }
    left
}
