//! Uses of break-glass that await their review: stored with their grant, gone with the change that reviews it.

use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::review::AwaitedReview;

use super::samples::{at, change, decided, withdrawn};
use super::store::{Ports, eventually, is_conflict};
use crate::port::{Also, PortError};

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

/// It is there from the decision on and until the change that says otherwise, and a change that fails leaves it.
pub async fn a_use_awaits_its_review_from_its_decision_until_it_is_reviewed(ports: &Ports) {
    let who = somebody(ports);
    assert_eq!(ports.reviews.awaited(&who).await.unwrap(), []);
    let mut all = Vec::new();
    for seconds in [1, 2, 3] {
        let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
        let use_ = of(&who, grant.id, seconds);
        ports.grants.create(&decision, &grant, &entry, &[Also::ReviewAwaited(use_.clone())]).await.unwrap();
        all.push((grant, use_));
    }
    let awaited = |all: &[(_, AwaitedReview)]| {
        let mut uses: Vec<_> = all.iter().map(|(_, one)| one.clone()).collect();
        uses.sort_by_key(|one| one.grant);
        uses
    };
    assert_eq!(ports.reviews.awaited(&who).await.unwrap(), awaited(&all));
    for (grant, _) in &all {
        let listed = eventually(|| async { Ok(is_listed(ports, grant.id).await) }, |is| *is).await;
        assert!(listed, "{} is listed", grant.id);
    }
    let (grant, _) = all.remove(0);
    let mut commit = change(&grant, withdrawn(at(9)), &*ports.ids, at(9));
    commit.also.push(Also::ReviewOver { identity: who.clone(), grant: grant.id });
    let stale = crate::port::Commit { expected_version: 7, ..commit.clone() };
    is_conflict(ports.grants.commit(&stale).await);
    assert_eq!(ports.reviews.awaited(&who).await.unwrap().len(), 3, "nothing moves alone");
    ports.grants.commit(&commit).await.unwrap();
    assert_eq!(ports.reviews.awaited(&who).await.unwrap(), awaited(&all));
    let listed = eventually(|| async { Ok(is_listed(ports, grant.id).await) }, |is| !*is).await;
    assert!(!listed, "what was reviewed is listed no longer");
}

/// One that is there is not put again, and one that is gone can be taken away.
pub async fn a_use_is_stored_once_and_taken_away_as_often_as_one_likes(ports: &Ports) {
    let who = somebody(ports);
    let (first, second) = (decided(&*ports.ids, "olga", at(0)), decided(&*ports.ids, "olga", at(0)));
    let use_ = Also::ReviewAwaited(of(&who, first.1.id, 1));
    ports.grants.create(&first.0, &first.1, &first.2, std::slice::from_ref(&use_)).await.unwrap();
    is_conflict(ports.grants.create(&second.0, &second.1, &second.2, &[use_]).await);
    assert_eq!(ports.reader.grant(second.1.id).await.unwrap(), None);
    let none = Also::ReviewOver { identity: who.clone(), grant: second.1.id };
    ports.grants.create(&second.0, &second.1, &second.2, &[none]).await.unwrap();
    assert_eq!(ports.reviews.awaited(&who).await.unwrap().len(), 1);
}

/// The caller's mistake, not the store's.
pub async fn a_made_up_cursor_of_reviews_is_refused(ports: &Ports) {
    let refused = ports.reviews.reviews(Some("made up"), 2).await;
    assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
}
