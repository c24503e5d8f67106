//! The contract of early ends of sessions and of the lease on a role.

use brevet_domain::deny::DenyEntry;
use brevet_domain::time::Timestamp;

use super::samples::{ROLE, approved, at, change, early_end};
use super::store::{Ports, eventually};
use crate::port::{Commit, TransactionItem};

async fn end_early(ports: &Ports, role_arn: &str, stored_at: Timestamp) -> DenyEntry {
    let grant = ports.created("olga", at(0)).await;
    let entry = early_end(role_arn, grant.id, stored_at);
    let items = vec![TransactionItem::Deny(entry.clone())];
    let commit = Commit { items, ..change(&grant, approved(at(1)), &*ports.ids, at(1)) };
    ports.grants.commit(&commit).await.unwrap();
    entry
}

/// Early ends are stored with the change of their grant and found by role, with or without a lease on the role.
pub async fn early_ends_are_listed_by_role_until_they_are_dropped(ports: &Ports) {
    let other_role = format!("{ROLE}-2");
    let first = end_early(ports, ROLE, at(1)).await;
    let second = end_early(ports, ROLE, at(2)).await;
    let other = end_early(ports, &other_role, at(3)).await;
    assert!(ports.denies.lease(ROLE, "one", at(3), at(13)).await.unwrap());
    let roles = eventually(|| ports.denies.denied_roles(), |roles: &Vec<_>| roles.len() == 2).await;
    assert_eq!(roles, [ROLE.to_owned(), other_role.clone()]);
    assert_eq!(ports.denies.entries(ROLE).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(ports.denies.entries(&other_role).await.unwrap(), [other]);
    ports.denies.drop_entry(&first).await.unwrap();
    ports.denies.drop_entry(&first).await.unwrap();
    assert_eq!(ports.denies.entries(ROLE).await.unwrap(), std::slice::from_ref(&second));
    ports.denies.drop_entry(&second).await.unwrap();
    let roles = eventually(|| ports.denies.denied_roles(), |roles: &Vec<_>| roles.len() == 1).await;
    assert_eq!(roles, [other_role]);
}

/// A caller with an older entry cannot drop the newer one in its place.
pub async fn newer_early_end_is_not_dropped_for_an_older_one(ports: &Ports) {
    let old = end_early(ports, ROLE, at(1)).await;
    let grant = ports.reader.grant(old.grant).await.unwrap().unwrap();
    let new = early_end(ROLE, old.grant, at(7));
    let items = vec![TransactionItem::Deny(new.clone())];
    ports.grants.commit(&Commit { items, ..change(&grant, approved(at(7)), &*ports.ids, at(7)) }).await.unwrap();
    ports.denies.drop_entry(&old).await.unwrap();
    assert_eq!(ports.denies.entries(ROLE).await.unwrap(), [new]);
}

/// A lease excludes others until it expires or its holder ends it.
pub async fn lease_has_one_holder_at_a_time(ports: &Ports) {
    let denies = &ports.denies;
    denies.end_lease(ROLE, "one").await.unwrap();
    assert!(denies.lease(ROLE, "one", at(0), at(10)).await.unwrap());
    assert!(denies.lease(ROLE, "one", at(1), at(11)).await.unwrap(), "its holder may take it again");
    assert!(!denies.lease(ROLE, "two", at(10), at(20)).await.unwrap());
    assert!(denies.lease(&format!("{ROLE}-2"), "two", at(0), at(20)).await.unwrap(), "another role is free");
    denies.end_lease(ROLE, "two").await.unwrap();
    assert!(!denies.lease(ROLE, "two", at(10), at(20)).await.unwrap(), "only the holder can end the lease");
    assert!(denies.lease(ROLE, "two", at(11), at(21)).await.unwrap(), "the lease has expired");
    assert!(!denies.lease(ROLE, "one", at(12), at(22)).await.unwrap());
    denies.end_lease(ROLE, "two").await.unwrap();
    assert!(denies.lease(ROLE, "one", at(12), at(22)).await.unwrap());
    assert_eq!(denies.entries(ROLE).await.unwrap(), []);
}
