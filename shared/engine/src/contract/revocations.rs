//! The contract of the kill switch: acts are never overwritten, blocks change with them, and the reaper's progress is
//! kept.

use brevet_domain::canonical::Digest;
use brevet_domain::revocation::{Progress, Reason, Revocation, RevocationAction, WideScope};

use super::samples::{at, proof_of};
use super::store::{Ports, is_conflict};

/// A scope of this test alone, because runs may share a store.
fn scope(ports: &Ports) -> WideScope {
    format!("identity:i-{}", ports.ids.grant_id(at(0)).ulid()).to_lowercase().parse().unwrap()
}

fn version(scope: &WideScope, version: u64) -> Revocation {
    Revocation {
        scope: scope.clone(),
        version,
        prev: Digest::of_bytes(b"before"),
        act: if version % 2 == 1 { RevocationAction::Placed } else { RevocationAction::Lifted },
        reason: Reason::try_from("because\nof \"this\"".to_owned()).unwrap(),
        by: "olga".parse().unwrap(),
        proof: proof_of("olga"),
        determining: vec!["security-stops".to_owned()],
        at: at(u32::try_from(version).unwrap()),
    }
}

async fn stands(ports: &Ports, scope: &WideScope) -> bool {
    let blocks = ports.reader.blocks(std::slice::from_ref(scope.as_block())).await.unwrap();
    assert!(blocks.iter().all(|block| Some(block) == version(scope, 1).block().as_ref() || block.at > at(1)));
    !blocks.is_empty()
}

/// The block exists exactly while the latest act placed it.
pub async fn block_exists_from_its_placing_to_its_lifting(ports: &Ports) {
    let scope = scope(ports);
    assert_eq!(ports.revocations.latest(&scope).await.unwrap(), None);
    assert!(!stands(ports, &scope).await);
    for n in 1..=11 {
        let new = version(&scope, n);
        ports.revocation_store.revoke(&new).await.unwrap();
        assert_eq!(stands(ports, &scope).await, new.stands(), "version {n}");
        assert_eq!(ports.revocations.latest(&scope).await.unwrap(), Some(new));
    }
    let history = ports.revocations.history(&scope, 3).await.unwrap();
    assert_eq!(history, [11, 10, 9].map(|n| version(&scope, n)), "newest first, by number and not by text");
}

/// A stored act stays, and no version is used twice or left out.
pub async fn kill_switch_act_is_never_overwritten(ports: &Ports) {
    let scope = scope(ports);
    is_conflict(ports.revocation_store.revoke(&version(&scope, 2)).await); // no block was placed before
    ports.revocation_store.revoke(&version(&scope, 1)).await.unwrap();
    ports.revocation_store.revoke(&version(&scope, 1)).await.unwrap(); // a repeat of the same act
    let other = Revocation { by: "omar".parse().unwrap(), ..version(&scope, 1) };
    is_conflict(ports.revocation_store.revoke(&other).await);
    is_conflict(ports.revocation_store.revoke(&version(&scope, 3)).await); // a number left out
    assert_eq!(ports.revocations.history(&scope, 9).await.unwrap(), [version(&scope, 1)]);
    ports.revocation_store.revoke(&version(&scope, 2)).await.unwrap();
    is_conflict(ports.revocation_store.revoke(&other).await); // a late act places nothing
    assert!(!stands(ports, &scope).await);
}

/// Every scope is listed once, placed or lifted, over all pages.
pub async fn every_block_is_listed_once_in_pages(ports: &Ports) {
    let mut expected = Vec::new();
    for n in 0..5 {
        let scope = scope(ports);
        ports.revocation_store.revoke(&version(&scope, 1)).await.unwrap();
        if n % 2 == 0 {
            ports.revocation_store.revoke(&version(&scope, 2)).await.unwrap();
        }
        expected.push(version(&scope, if n % 2 == 0 { 2 } else { 1 }));
    }
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = ports.revocations.revocations(cursor.as_deref(), 2).await.unwrap();
        assert!(page.latest.len() <= 2);
        found.extend(page.latest);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    for version in expected {
        assert_eq!(found.iter().filter(|other| other.scope == version.scope).collect::<Vec<_>>(), [&version]);
    }
    assert!(ports.revocations.revocations(Some("no cursor"), 2).await.is_err());
}

/// Of two concurrent passes, the one that began later decides the stored progress.
pub async fn earlier_progress_does_not_overwrite_a_later_one(ports: &Ports) {
    let scope = scope(ports);
    assert_eq!(ports.revocations.progress(&scope).await.unwrap(), None);
    let progress = |began: u32, n_alive| Progress {
        scope: scope.clone(),
        version: 1,
        seen_at: at(0),
        began_at: at(began),
        checked_at: at(began).plus(3),
        n_alive,
        zero_at: (n_alive == 0).then(|| at(began).plus(3)),
        zero_after_s: (n_alive == 0).then_some(7),
    };
    for (began, n_alive, stored) in [(10, 5, (10, 5)), (20, 0, (20, 0)), (15, 3, (20, 0)), (30, 1, (30, 1))] {
        ports.progress.put_progress(&progress(began, n_alive)).await.unwrap();
        assert_eq!(ports.revocations.progress(&scope).await.unwrap(), Some(progress(stored.0, stored.1)));
    }
}
