//! Tests: every change to a chain is detected.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use ulid::Ulid;

use super::*;

fn grant(n: u128) -> GrantId {
    GrantId::from_ulid(Ulid(n))
}

/// A chain of grant `of` with one entry per detail, and its head.
fn chain(of: GrantId, details: &[String]) -> (Vec<Entry>, Head) {
    let mut head = Head::START;
    let mut entries = Vec::new();
    for (n, detail) in details.iter().enumerate() {
        let entry = Entry::seal(Body {
            id: EvidenceId::from_ulid(Ulid(u128::try_from(n).unwrap())),
            grant: of,
            seq: head.seq + 1,
            at: Timestamp::from_seconds(1_795_348_800 + i64::try_from(n).unwrap()),
            by: "reap".to_owned(),
            event: "RemovalRecorded".to_owned(),
            state: "Revoking".to_owned(),
            grant_digest: Digest::of_bytes(detail.as_bytes()),
            detail: json!({ "operation": detail }),
            prev: head.hash,
        })
        .unwrap();
        head = entry.head();
        entries.push(entry);
    }
    (entries, head)
}

fn details() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[a-z]{1,6}", 1..12)
}

/// Changes the field with this number to another value.
fn alter(entry: &mut Entry, field: usize) {
    let body = &mut entry.body;
    match field {
        0 => body.id = EvidenceId::from_ulid(Ulid(body.id.ulid().0 + 1000)),
        1 => body.grant = grant(99),
        2 => body.seq += 1,
        3 => body.at = Timestamp::from_millis(body.at.as_millis() + 1),
        4 => body.by.push('x'),
        5 => body.event = "AbsenceObserved".to_owned(),
        6 => body.state = "Ended".to_owned(),
        7 => body.grant_digest = Digest::of_bytes(b"another grant"),
        8 => body.detail["extra"] = json!(null),
        9 => body.detail["operation"] = json!(17),
        10 => body.prev = Digest::of_bytes(b"another entry"),
        _ => entry.hash = Digest::of_bytes(b"another hash"),
    }
}

const FIELDS: usize = 12;

proptest! {
    #[test]
    fn chain_verifies_as_written_and_as_read_back(details in details()) {
        let (entries, head) = chain(grant(1), &details);
        prop_assert_eq!(verify(grant(1), head, &entries), Ok(()));
        let text = serde_json::to_string(&entries).unwrap();
        let read: Vec<Entry> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(verify(grant(1), head, &read), Ok(()));
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn altered_entry_is_detected(details in details(), at: Index, field in 0..FIELDS) {
        let (mut entries, head) = chain(grant(1), &details);
        alter(&mut entries[at.index(details.len())], field);
        prop_assert!(verify(grant(1), head, &entries).is_err());
    }

    #[test]
    fn altered_and_resealed_entry_is_detected(details in details(), at: Index, field in 0..FIELDS - 1) {
        let (mut entries, head) = chain(grant(1), &details);
        let at = at.index(details.len());
        alter(&mut entries[at], field);
        entries[at] = Entry::seal(entries[at].body.clone()).unwrap();
        prop_assert!(verify(grant(1), head, &entries).is_err());
    }

    #[test]
    fn chain_rewritten_from_an_entry_on_is_detected_by_the_head(details in details(), at: Index) {
        let (_, head) = chain(grant(1), &details);
        let mut other = details.clone();
        other[at.index(details.len())].push('x');
        let (rewritten, _) = chain(grant(1), &other);
        let verdict = verify(grant(1), head, &rewritten);
        prop_assert!(matches!(verdict, Err(ChainError::Cut { .. })), "{verdict:?}");
    }

    #[test]
    fn removed_entry_is_detected(details in details(), at: Index) {
        let (mut entries, head) = chain(grant(1), &details);
        entries.remove(at.index(details.len()));
        prop_assert!(verify(grant(1), head, &entries).is_err());
    }

    #[test]
    fn truncated_chain_is_detected(details in details(), at: Index) {
        let (mut entries, head) = chain(grant(1), &details);
        let left = at.index(details.len());
        entries.truncate(left);
        let expected = ChainError::Cut { expected: head.seq, found: u64::try_from(left).unwrap() };
        prop_assert_eq!(verify(grant(1), head, &entries), Err(expected));
    }

    #[test]
    fn duplicated_entry_is_detected(details in details(), from: Index, to: Index) {
        let (mut entries, head) = chain(grant(1), &details);
        let copy = entries[from.index(details.len())].clone();
        entries.insert(to.index(details.len() + 1), copy);
        let verdict = verify(grant(1), head, &entries);
        prop_assert!(matches!(verdict, Err(ChainError::Gap { .. })), "{verdict:?}");
    }

    #[test]
    fn reordered_entries_are_detected(details in details(), one: Index, other: Index) {
        let (mut entries, head) = chain(grant(1), &details);
        let (one, other) = (one.index(details.len()), other.index(details.len()));
        prop_assume!(one != other);
        entries.swap(one, other);
        let verdict = verify(grant(1), head, &entries);
        prop_assert!(matches!(verdict, Err(ChainError::Gap { .. })), "{verdict:?}");
    }

    #[test]
    fn entry_of_another_grant_is_detected(details in details(), at: Index) {
        let (mut entries, head) = chain(grant(1), &details);
        let (others, other_head) = chain(grant(2), &details);
        let at = at.index(details.len());
        entries[at] = others[at].clone();
        let expected = ChainError::Foreign(u64::try_from(at).unwrap() + 1);
        prop_assert_eq!(verify(grant(1), head, &entries), Err(expected));
        // A whole chain of another grant, with that grant's head.
        prop_assert_eq!(verify(grant(1), other_head, &others), Err(ChainError::Foreign(1)));
    }

    #[test]
    fn entry_beyond_the_head_of_the_grant_is_detected(details in details()) {
        let (entries, _) = chain(grant(1), &details);
        let earlier = entries[..details.len() - 1].last().map_or(Head::START, Entry::head);
        let verdict = verify(grant(1), earlier, &entries);
        prop_assert!(matches!(verdict, Err(ChainError::Cut { .. })), "{verdict:?}");
    }
}

#[test]
fn empty_chain_verifies_only_for_a_grant_without_entries() {
    assert_eq!(verify(grant(1), Head::START, &[]), Ok(()));
    let (_, head) = chain(grant(1), &["put".to_owned()]);
    assert_eq!(
        verify(grant(1), head, &[]).unwrap_err().to_string(),
        "the chain ends at entry 0, but the grant names entry 1"
    );
}

#[test]
fn chain_error_names_the_faulty_entry() {
    let (entries, head) = chain(grant(1), &["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    let message = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut changed = entries.clone();
        change(&mut changed);
        verify(grant(1), head, &changed).unwrap_err().to_string()
    };
    assert_eq!(message(&|e| alter(&mut e[1], 4)), "entry 2 was altered: its hash does not match");
    assert_eq!(message(&|e| alter(&mut e[1], 10)), "entry 2 does not follow from the entry before it");
    assert_eq!(message(&|e| alter(&mut e[1], 1)), "entry 2 belongs to another grant");
    assert_eq!(message(&|e| drop(e.remove(1))), "entry 2 is missing: entry 3 is in its place");
}
