//! The contract of stored delegations: versions are never overwritten, and no grant is taken while one is stored.

use std::collections::BTreeSet;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::delegation::{Delegation, MAX_DELEGATES, Scope};
use brevet_domain::duties::{Duties, Holding, Holdings};
use brevet_domain::grant::EndCause;
use brevet_domain::id::{GrantId, IdentityId};

use super::samples::{at, decided, proof_of};
use super::store::{Ports, is_conflict};
use crate::port::{Mark, TransactionItem};

/// A human id of this test alone, because runs may share a store.
fn human(ports: &Ports) -> IdentityId {
    format!("h-{}", ports.ids.grant_id(at(0)).ulid()).to_lowercase().parse().unwrap()
}

fn version(by: &IdentityId, to: &str, version: u64) -> Delegation {
    Delegation {
        by: by.clone(),
        to: to.parse().unwrap(),
        version,
        prev: Digest::of_bytes(b"before"),
        scope: Scope::Given {
            entitlements: BTreeSet::from(["read-logs".parse().unwrap()]),
            max_term_s: None,
            until: at(3_600),
        },
        at: at(u32::try_from(version).unwrap()),
        proof: proof_of(by.as_str()),
    }
}

fn mark(id: GrantId) -> Mark {
    let block =
        Block { scope: BlockScope::Grant(id), cause: EndCause::Revoked, by: "olga".parse().unwrap(), at: at(0) };
    Mark { id, block }
}

/// The latest version is read, also among similar names and numbers.
pub async fn latest_version_of_each_delegation_is_read(ports: &Ports) {
    let by = human(ports);
    let agent: IdentityId = "agent".parse().unwrap();
    assert_eq!(ports.delegations.delegation(&by, &agent).await.unwrap(), None);
    assert_eq!(ports.delegations.delegations_of(&by).await.unwrap(), []);
    for (to, n) in [("agent-1", 3), ("agent", 9), ("agent", 10), ("agent1", 2), ("zz", 1), ("agent", 11)] {
        ports.delegations.delegate(&version(&by, to, n), &[], 0).await.unwrap();
    }
    assert_eq!(ports.delegations.delegation(&by, &agent).await.unwrap(), Some(version(&by, "agent", 11)));
    let all = ports.delegations.delegations_of(&by).await.unwrap();
    let expected = [("agent", 11), ("agent-1", 3), ("agent1", 2), ("zz", 1)].map(|(to, n)| version(&by, to, n));
    assert_eq!(all, expected);
    assert_eq!(ports.delegations.delegations_of(&human(ports)).await.unwrap(), [], "another human has none");
}

/// The maximum number of delegations of one human is listed completely.
pub async fn every_delegation_of_a_human_is_listed(ports: &Ports) {
    let by = human(ports);
    for n in 0..MAX_DELEGATES {
        ports.delegations.delegate(&version(&by, &format!("agent-{n:02}"), 1), &[], 0).await.unwrap();
    }
    assert_eq!(ports.delegations.delegations_of(&by).await.unwrap().len(), MAX_DELEGATES);
}

/// A version is stored once: a repeat succeeds, and a different one is refused and changes nothing.
pub async fn delegation_version_is_never_overwritten(ports: &Ports) {
    let by = human(ports);
    let first = version(&by, "agent", 1);
    ports.delegations.delegate(&first, &[], 0).await.unwrap();
    ports.delegations.delegate(&first, &[], 0).await.unwrap();
    let other = Delegation { scope: Scope::Ended, ..first.clone() };
    is_conflict(ports.delegations.delegate(&other, &[], 0).await);
    assert_eq!(ports.delegations.delegation(&by, &first.to).await.unwrap(), Some(first));
}

/// The marks that end grants are stored with their version or not at all, and only if no grant was taken in between.
pub async fn delegation_version_ends_grants_only_if_none_was_taken_meanwhile(ports: &Ports) {
    let by = human(ports);
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    let holding = Holding {
        grant: grant.id,
        identity: "agent".parse().unwrap(),
        entitlement: "read-logs".parse().unwrap(),
        taken_at: at(0),
        likely_over_at: at(900),
        remember_s: 0,
        renews: None,
        ended_at: None,
    };
    let taken = Holdings::none(&by).take(holding, &Duties::default(), at(0)).unwrap();
    ports.grants.create(&decision, &grant, &entry, &[TransactionItem::Holdings(taken)]).await.unwrap();
    let ended = Delegation { scope: Scope::Ended, ..version(&by, "agent", 1) };
    is_conflict(ports.delegations.delegate(&ended, &[mark(grant.id)], 0).await);
    let scopes = [BlockScope::Grant(grant.id)];
    let blocks = || ports.reader.blocks(&scopes);
    assert_eq!(blocks().await.unwrap(), []);
    assert_eq!(ports.delegations.delegation(&by, &ended.to).await.unwrap(), None);
    ports.delegations.delegate(&ended, &[mark(grant.id)], 1).await.unwrap();
    assert_eq!(blocks().await.unwrap(), [mark(grant.id).block]);
    // An existing mark belongs to another writer, so the caller must read again.
    let later = Delegation { version: 2, ..ended.clone() };
    is_conflict(ports.delegations.delegate(&later, &[mark(grant.id)], 1).await);
    assert_eq!(ports.delegations.delegation(&by, &ended.to).await.unwrap(), Some(ended));
}

/// The version ends the maximum number of grants that rely on one delegation.
pub async fn delegation_version_ends_more_grants_than_one_transaction_takes(ports: &Ports) {
    let by = human(ports);
    let marks: Vec<Mark> = (0..130).map(|_| mark(ports.ids.grant_id(at(0)))).collect();
    let ended = Delegation { scope: Scope::Ended, ..version(&by, "agent", 1) };
    ports.delegations.delegate(&ended, &marks, 0).await.unwrap();
    let scopes: Vec<_> = marks.iter().map(|mark| mark.block.scope.clone()).collect();
    assert_eq!(ports.reader.blocks(&scopes).await.unwrap().len(), 130);
    assert_eq!(ports.delegations.delegation(&by, &ended.to).await.unwrap(), Some(ended));
}

/// A decision that relies on a version is stored only while no later version exists.
pub async fn decision_on_behalf_is_stored_only_while_its_delegation_is_the_latest(ports: &Ports) {
    let by = human(ports);
    let first = version(&by, "agent", 1);
    ports.delegations.delegate(&first, &[], 0).await.unwrap();
    let unchanged = [TransactionItem::still_delegated(&first)];
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &unchanged).await.unwrap();
    let second = Delegation { scope: Scope::Ended, ..version(&by, "agent", 2) };
    ports.delegations.delegate(&second, &[], 0).await.unwrap();
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    is_conflict(ports.grants.create(&decision, &grant, &entry, &unchanged).await);
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), None);
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), None);
}
