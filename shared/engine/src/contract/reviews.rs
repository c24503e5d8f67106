//! The contract of break-glass uses that await their review: stored with their grant, removed with the change that
//! reviews it.

use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::review::AwaitedReview;

use super::samples::{at, change, decided, withdrawn};
use super::store::{Ports, eventually, is_conflict};
use crate::port::{PortError, TransactionItem};

fn of(identity: &IdentityId, grant: GrantId, seconds: u32) -> AwaitedReview {
    AwaitedReview { identity: identity.clone(), grant, entitlement: "rescue".parse().unwrap(), since: at(seconds) }
}

fn somebody(ports: &Ports) -> IdentityId {
    format!("s-{}", ports.ids.grant_id(at(0)).ulid()).to_lowercase().parse().unwrap()
}

/// Whether the list names `grant`, over all its pages.
async fn is_listed(ports: &Ports, grant: GrantId) -> bool {
    let mut cursor: Option<String> = None;
    loop {
        let page = ports.reviews.reviews(cursor.as_deref(), 2).await.unwrap();
        if page.grants.contains(&grant) {
            return true;
        }
        assert!(page.grants.len() <= 2);
        cursor = page.next;
        if cursor.is_none() {
            return false;
        }
    }
}

/// A use is stored from the decision until the change that reviews it. A failed change leaves it.
pub async fn use_awaits_its_review_from_its_decision_until_it_is_reviewed(ports: &Ports) {
    let identity = somebody(ports);
    assert_eq!(ports.reviews.awaited(&identity).await.unwrap(), []);
    let mut all = Vec::new();
    for seconds in [1, 2, 3] {
        let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
        let use_ = of(&identity, grant.id, seconds);
        ports.grants.create(&decision, &grant, &entry, &[TransactionItem::ReviewAwaited(use_.clone())]).await.unwrap();
        all.push((grant, use_));
    }
    let awaited = |all: &[(_, AwaitedReview)]| {
        let mut uses: Vec<_> = all.iter().map(|(_, review)| review.clone()).collect();
        uses.sort_by_key(|review| review.grant);
        uses
    };
    assert_eq!(ports.reviews.awaited(&identity).await.unwrap(), awaited(&all));
    for (grant, _) in &all {
        let listed = eventually(|| async { Ok(is_listed(ports, grant.id).await) }, |is| *is).await;
        assert!(listed, "{} must be listed", grant.id);
    }
    let (grant, _) = all.remove(0);
    let mut commit = change(&grant, withdrawn(at(9)), &*ports.ids, at(9));
    commit.items.push(TransactionItem::ReviewOver { identity: identity.clone(), grant: grant.id });
    let stale = crate::port::Commit { expected_version: 7, ..commit.clone() };
    is_conflict(ports.grants.commit(&stale).await);
    assert_eq!(ports.reviews.awaited(&identity).await.unwrap().len(), 3, "a failed change must leave the uses");
    ports.grants.commit(&commit).await.unwrap();
    assert_eq!(ports.reviews.awaited(&identity).await.unwrap(), awaited(&all));
    let listed = eventually(|| async { Ok(is_listed(ports, grant.id).await) }, |is| !*is).await;
    assert!(!listed, "a reviewed use is no longer listed");
}

/// A stored use is not stored again. Removing a missing one succeeds.
pub async fn use_is_stored_once_and_its_removal_can_be_repeated(ports: &Ports) {
    let identity = somebody(ports);
    let (first, second) = (decided(&*ports.ids, "olga", at(0)), decided(&*ports.ids, "olga", at(0)));
    let use_ = TransactionItem::ReviewAwaited(of(&identity, first.1.id, 1));
    ports.grants.create(&first.0, &first.1, &first.2, std::slice::from_ref(&use_)).await.unwrap();
    is_conflict(ports.grants.create(&second.0, &second.1, &second.2, &[use_]).await);
    assert_eq!(ports.reader.grant(second.1.id).await.unwrap(), None);
    let missing = TransactionItem::ReviewOver { identity: identity.clone(), grant: second.1.id };
    ports.grants.create(&second.0, &second.1, &second.2, &[missing]).await.unwrap();
    assert_eq!(ports.reviews.awaited(&identity).await.unwrap().len(), 1);
}

/// An invalid cursor is the caller's error, not the store's.
pub async fn invalid_review_cursor_is_refused(ports: &Ports) {
    let refused = ports.reviews.reviews(Some("made up"), 2).await;
    assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
}
