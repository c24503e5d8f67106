//! The contract of the due list and of the list of an identity's grants.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{DueRole, EndCause};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::time::Timestamp;

use super::samples::{approved, at, change, withdrawn};
use super::store::{Ports, eventually};
use crate::port::{Due, Mark, PortError, shard_of};

fn mark(id: GrantId, by: &str, at: Timestamp) -> Mark {
    let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: by.parse().unwrap(), at };
    Mark { id, block }
}

/// A mark is due until it is cleared. Its block stays, and of two marks the first one stays.
pub async fn mark_is_due_at_once_and_its_block_outlives_it(ports: &Ports) {
    let id = ports.ids.grant_id(at(0));
    let (first, second) = (mark(id, "olga", at(5)), mark(id, "oleg", at(6)));
    let scopes = [BlockScope::All, BlockScope::Grant(id), BlockScope::Grant(id)];
    assert_eq!(ports.reader.blocks(&scopes).await.unwrap(), []);
    ports.due.clear_mark(id).await.unwrap();
    assert_eq!(ports.reader.blocks(&scopes).await.unwrap(), [], "clearing a missing mark creates no block");
    ports.requests.put_mark(&first).await.unwrap();
    ports.requests.put_mark(&second).await.unwrap();
    let due = Due { id, is_mark: true, next_at: at(5) };
    let shard = shard_of(id);
    let found =
        eventually(|| ports.due.due(DueRole::Reap, shard, at(5), None, 10), |page| !page.lines.is_empty()).await;
    assert_eq!(found.lines, [due]);
    assert_eq!(ports.reader.blocks(&scopes[..2]).await.unwrap(), std::slice::from_ref(&first.block));
    ports.due.clear_mark(id).await.unwrap();
    ports.due.clear_mark(id).await.unwrap();
    let found =
        eventually(|| ports.due.due(DueRole::Reap, shard, at(99), None, 10), |page| page.lines.is_empty()).await;
    assert_eq!(found.lines, []);
    assert_eq!(ports.reader.blocks(&scopes[1..2]).await.unwrap(), [first.block]);
    ports.requests.put_mark(&second).await.unwrap();
    assert_eq!(ports.due_of(id, at(99)).await, [], "a cleared mark does not come back");
    assert_eq!(ports.reader.blocks(&[]).await.unwrap(), []);
}

/// A grant is listed from its next instant on, in its own shard, until it is terminal.
pub async fn grant_is_due_from_its_next_instant_until_it_is_terminal(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let due = Due { id: grant.id, is_mark: false, next_at: at(600) };
    let shard = shard_of(grant.id);
    let found =
        eventually(|| ports.due.due(DueRole::Reap, shard, at(600), None, 10), |page| !page.lines.is_empty()).await;
    assert_eq!(found.lines, [due]);
    assert_eq!(ports.due_of(grant.id, Timestamp::from_millis(at(600).as_millis().saturating_sub(1))).await, []);
    let elsewhere = ports.due.due(DueRole::Reap, shard ^ 1, at(600), None, 10).await.unwrap();
    assert_eq!(elsewhere.lines, []);
    let sooner = change(&grant, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&sooner).await.unwrap();
    let next = Due { next_at: at(301), ..due };
    let found =
        eventually(|| ports.due.due(DueRole::Reap, shard, at(600), None, 10), |page| page.lines == [next]).await;
    assert_eq!(found.lines, [next]);
    ports.grants.commit(&change(&sooner.after, withdrawn(at(2)), &*ports.ids, at(2))).await.unwrap();
    let found =
        eventually(|| ports.due.due(DueRole::Reap, shard, at(99_999), None, 10), |page| page.lines.is_empty()).await;
    assert_eq!(found.lines, []);
}

/// The pages of the due list together are the whole list, even if lines leave it in between. The cursor skips no line
/// and repeats none.
pub async fn due_list_comes_in_pages_oldest_first(ports: &Ports) {
    let mut expected = Vec::new();
    for n in 0..40 {
        // Newest first and several at each instant, so that the due order differs from the order of creation.
        let id = ports.ids.grant_id(at(0));
        ports.requests.put_mark(&mark(id, "olga", at(100_u32.saturating_sub(n / 8)))).await.unwrap();
        if shard_of(id) == 0 {
            expected.push(id);
        }
    }
    assert_eq!(expected.len(), 10);
    eventually(|| ports.due.due(DueRole::Reap, 0, at(100), None, 100), |page| page.lines.len() == 10).await;
    let (mut lines, mut cursor) = (Vec::new(), None);
    for _ in 0..20 {
        let page = ports.due.due(DueRole::Reap, 0, at(100), cursor.as_deref(), 3).await.unwrap();
        assert!(page.lines.len() <= 3);
        // Lines that are handled meanwhile leave the list and shift nothing.
        for line in &page.lines {
            ports.due.clear_mark(line.id).await.unwrap();
        }
        lines.extend(page.lines);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(lines.windows(2).all(|pair| pair[0].next_at <= pair[1].next_at), "{lines:?}");
    let mut found: Vec<_> = lines.iter().map(|line| line.id).collect();
    found.sort();
    assert_eq!(found, expected);
}

/// The list of an identity holds its own grants only, with their states, newest first.
pub async fn grants_are_listed_by_identity_newest_first_in_pages(ports: &Ports) {
    let mut expected = Vec::new();
    for n in 0..5 {
        expected.push(ports.created("olga", at(n)).await.id);
        ports.created("oleg", at(n)).await;
    }
    expected.reverse();
    let olga: IdentityId = "olga".parse().unwrap();
    eventually(|| ports.reader.grants_of(&olga, None, 100), |page| page.grants.len() == 5).await;
    let (mut grants, mut cursor) = (Vec::new(), None);
    for _ in 0..10 {
        let page = ports.reader.grants_of(&olga, cursor.as_deref(), 2).await.unwrap();
        assert!(page.grants.len() <= 2);
        grants.extend(page.grants);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(grants.iter().map(|grant| grant.id).collect::<Vec<_>>(), expected);
    assert!(grants.iter().all(|grant| grant.state == "ApprovalAwaited"));
    assert_eq!(grants[0].created_at, at(4));
    let nobody = ports.reader.grants_of(&"nobody".parse().unwrap(), None, 10).await.unwrap();
    assert_eq!((nobody.grants.len(), nobody.next), (0, None));
}

/// A cursor that no page returned is refused.
pub async fn invalid_grant_cursor_is_refused(ports: &Ports) {
    for cursor in ["", "x", "1.x", "../..", "é"] {
        let answer = ports.reader.grants_of(&"olga".parse().unwrap(), Some(cursor), 10).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{cursor}: {answer:?}");
    }
}
