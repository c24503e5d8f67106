//! The contract of the holders of managed attachments and of TTL backstops.

use brevet_domain::grant::Grant;
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::GrantId;
use tokio::task::JoinSet;

use super::samples::{approved, at, change};
use super::store::{Ports, is_conflict};
use crate::port::{Commit, TransactionItem, TtlBackstop};

const POLICY: &str = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-sync";

/// A principal of this check alone, because stores may be shared.
fn principal(ports: &Ports) -> String {
    format!("arn:aws:iam::000000000000:role/vendor/{}", ports.ids.grant_id(at(0)).ulid())
}

fn with(grant: &Grant, item: TransactionItem, ports: &Ports) -> Commit {
    Commit { items: vec![item], ..change(grant, approved(at(1)), &*ports.ids, at(1)) }
}

/// A managed attachment without a record has no holders.
pub async fn managed_attachment_without_a_record_has_no_holders(ports: &Ports) {
    let principal = principal(ports);
    assert_eq!(
        ports.holders.holders_of(&principal, POLICY).await.unwrap(),
        AttachmentHolders::nobody(&principal, POLICY)
    );
}

/// Holders change with their grant in one write. A write based on an older record changes nothing.
pub async fn holders_change_with_a_grant_or_not_at_all(ports: &Ports) {
    let principal = principal(ports);
    let (first, second) = (ports.created("olga", at(0)).await, ports.created("olga", at(0)).await);
    let nobody = ports.holders.holders_of(&principal, POLICY).await.unwrap();
    let joined = nobody.join(first.id, at(0)).unwrap();
    let first_join = with(&first, TransactionItem::Holders(joined.clone()), ports);
    ports.grants.commit(&first_join).await.unwrap();
    assert_eq!(ports.holders.holders_of(&principal, POLICY).await.unwrap(), joined);
    // The record was read before the first grant joined.
    is_conflict(
        ports
            .grants
            .commit(&with(&second, TransactionItem::Holders(nobody.join(second.id, at(0)).unwrap()), ports))
            .await,
    );
    assert_eq!(ports.holders.holders_of(&principal, POLICY).await.unwrap(), joined);
    assert_eq!(ports.reader.grant(second.id).await.unwrap(), Some(second.clone()));
    assert_eq!(ports.reader.evidence(second.id, second.evidence.seq, 10).await.unwrap(), []);
    let both = joined.join(second.id, at(0)).unwrap();
    ports.grants.commit(&with(&second, TransactionItem::Holders(both.clone()), ports)).await.unwrap();
    let left = both.leave(first.id);
    ports.grants.commit(&with(&first_join.after, TransactionItem::Holders(left.clone()), ports)).await.unwrap();
    assert_eq!(ports.holders.holders_of(&principal, POLICY).await.unwrap(), left);
}

/// Every one of many concurrent joins is recorded.
pub async fn concurrent_joins_are_all_recorded(ports: &Ports) {
    let principal = principal(ports);
    let mut joins = JoinSet::new();
    for _ in 0..12 {
        let (ports, principal) = (ports.clone(), principal.clone());
        joins.spawn(async move {
            let grant = ports.created("olga", at(0)).await;
            // One of the grants that read the same record succeeds, so each round leaves fewer.
            for _ in 0..1_000 {
                let holders = ports.holders.holders_of(&principal, POLICY).await.unwrap();
                let joined = TransactionItem::Holders(holders.join(grant.id, at(0)).unwrap());
                if ports.grants.commit(&with(&grant, joined, &ports)).await.is_ok() {
                    break;
                }
            }
            grant.id
        });
    }
    let joined: std::collections::BTreeSet<GrantId> = joins.join_all().await.into_iter().collect();
    let record = ports.holders.holders_of(&principal, POLICY).await.unwrap();
    assert_eq!((record.holders, record.version), (joined, 12));
}

/// A backstop can be stored again and removed, and removing a missing one does not block the change of the grant.
pub async fn missing_backstop_can_be_removed(ports: &Ports) {
    let mut grant = ports.created("olga", at(0)).await;
    let stored = TransactionItem::Backstop(TtlBackstop::of(grant.id, at(60)));
    for item in [
        TransactionItem::RemoveBackstop(grant.id),
        stored.clone(),
        stored,
        TransactionItem::RemoveBackstop(grant.id),
        TransactionItem::RemoveBackstop(grant.id),
    ] {
        let commit = with(&grant, item, ports);
        ports.grants.commit(&commit).await.unwrap();
        grant = commit.after;
    }
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(grant));
}
