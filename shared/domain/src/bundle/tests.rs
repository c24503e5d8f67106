use serde_json::json;

use super::*;
use crate::canonical::canonical;

fn listing(id: &str, padding: usize) -> (EntitlementId, Listing) {
    let entitlement: Entitlement = serde_json::from_value(json!({
        "id": id, "owner": "dana", "description": "x".repeat(padding), "max_term": 3600, "start_within_s": 600,
        "delivery": {"session": {"target": "deploy", "credential_s": 900, "iam_allowed": false}},
        "parameters": {}, "statements": [], "approval": {"count": 1, "within_s": 600},
    }))
    .unwrap();
    let policies = format!("@id(\"{id}\")\npermit (principal, action, resource == Brevet::Entitlement::\"{id}\");\n");
    (entitlement.id.clone(), Listing { entitlement, rules: Rules { policies, mentions: BTreeMap::new() } })
}

fn listings(n: usize, padding: usize) -> BTreeMap<EntitlementId, Listing> {
    (0..n).map(|number| listing(&format!("ent-{number}"), padding)).collect()
}

fn empty() -> Index {
    Index {
        version: INDEX_VERSION,
        issuers: Vec::new(),
        identities: [].into(),
        class_limits: [].into(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: [].into(),
    }
}

fn built(listings: &BTreeMap<EntitlementId, Listing>) -> (BundleText, Index) {
    let text = BundleText::build(empty(), listings, &Rules::default(), &[].into()).unwrap();
    let index = text.index().unwrap();
    (text, index)
}

/// The same bundle with another index, under that index's own name.
fn renamed(mut text: BundleText, index: &Index) -> BundleText {
    let index = canonical(index).unwrap();
    text.digest = Digest::of_bytes(index.as_bytes());
    text.parts.insert(INDEX_PART.to_owned(), index);
    text
}

#[test]
fn built_bundle_reads_back_whole_and_by_entitlement() {
    for n in [0, 1, 10, 1_000] {
        let all = listings(n, 800);
        let (text, index) = built(&all);
        assert_eq!(text.listings(&index).unwrap(), all, "{n}");
        for (id, listing) in &all {
            let (part, expected) = index.bucket(id).unwrap();
            let bucket = text.part(part, expected).unwrap();
            assert_eq!(read_listing(text.digest, part, bucket, id).unwrap().as_ref(), Some(listing));
        }
        // An id that is a prefix of another does not match it.
        let missing = "ent".parse().unwrap();
        if let Some((part, expected)) = index.bucket(&missing) {
            assert!(read_listing(text.digest, part, text.part(part, expected).unwrap(), &missing).unwrap().is_none());
        }
    }
}

/// Regression: the part of the schedules counted as one that lists entitlements, so such a catalogue could not be
/// listed.
#[test]
fn buckets_are_exactly_the_parts_that_list_entitlements() {
    let (text, mut index) = built(&listings(3, 10));
    index.parts.insert(SCHEDULES_PART.to_owned(), Digest::of_bytes(b"{}"));
    assert_eq!(index.buckets().collect::<Vec<_>>(), ["entitlements/000"]);
    assert!(text.parts.contains_key("entitlements/000"));
}

#[test]
fn bundle_parts_of_ten_thousand_entitlements_stay_far_under_the_item_limit() {
    let (text, index) = built(&listings(10_000, 1_000));
    let longest = text.parts.values().map(String::len).max().unwrap();
    assert!(longest < 100 * 1024, "{longest}");
    assert!(text.parts[INDEX_PART].len() < 60 * 1024, "{}", text.parts[INDEX_PART].len());
    assert_eq!(index.n_buckets, 512);
    assert_eq!(built(&listings(10, 100)).1.n_buckets, 1);
}

#[test]
fn changed_entitlement_changes_one_bucket_and_the_bundle_digest() {
    let mut all = listings(1_000, 400);
    let (before, _) = built(&all);
    all.get_mut(&"ent-7".parse().unwrap()).unwrap().rules.policies.push_str("// more\n");
    let (after, _) = built(&all);
    assert_ne!(before.digest, after.digest);
    let differ: Vec<_> =
        before.parts.iter().filter(|(name, text)| after.parts[*name] != **text).map(|(n, _)| n).collect();
    assert_eq!(differ.len(), 2, "{differ:?}");
    assert!(differ.iter().any(|name| *name == INDEX_PART));
}

#[test]
fn altered_or_missing_part_is_refused_when_read() {
    let (text, index) = built(&listings(100, 800));
    for name in text.parts.keys() {
        let mut altered = text.clone();
        altered.parts.get_mut(name).unwrap().push(' ');
        let mut cut = text.clone();
        cut.parts.remove(name);
        for (bad, message) in [(altered, "does not match its digest"), (cut, "has no part")] {
            let read = || {
                bad.index()?;
                bad.rules(&index)?;
                bad.listings(&index)
            };
            let error = read().unwrap_err().to_string();
            assert!(error.contains(message) && error.contains(&format!("`{name}`")), "{error}");
        }
    }
}

#[test]
fn index_is_refused_when_of_another_version_or_misnamed() {
    let (text, mut index) = built(&listings(3, 10));
    index.version = 1;
    assert!(matches!(renamed(text.clone(), &index).index(), Err(BundleError::Version { version: 1, .. })));
    let mut old = text.clone();
    let first = json!({"version": 1, "issuers": [], "identities": {}, "entitlements": {}, "parts": {}}).to_string();
    old.digest = Digest::of_bytes(first.as_bytes());
    old.parts.insert(INDEX_PART.to_owned(), first);
    assert!(matches!(old.index(), Err(BundleError::Version { version: 1, .. })));
    index.version = INDEX_VERSION;
    let someone = json!({"id": "ana", "class": "human", "owner": "ana", "proofs": []});
    index.identities = [("lea".parse().unwrap(), serde_json::from_value(someone).unwrap())].into();
    assert!(matches!(renamed(text, &index).index(), Err(BundleError::Misnamed { name, .. }) if name == "lea"));
}

#[test]
fn bucket_line_is_refused_when_it_belongs_elsewhere() {
    let all = listings(2, 10);
    let (text, index) = built(&all);
    let (id, other): (EntitlementId, EntitlementId) = ("ent-0".parse().unwrap(), "ent-1".parse().unwrap());
    let (part, _) = index.bucket(&id).unwrap();
    let line = |name: &EntitlementId, holds: &EntitlementId| format!("{name}\t{}\n", canonical(&all[holds]).unwrap());
    for wrong in [line(&id, &other), format!("{0}{0}", line(&id, &id)), format!("{id}\t{{}}\n"), format!("{id}\n")] {
        let read = read_listing(text.digest, part, &wrong, &id);
        if wrong.contains('\t') {
            assert!(read.is_err(), "{wrong}");
        } else {
            assert!(read.unwrap().is_none());
        }
        let (mut text, mut index) = (text.clone(), index.clone());
        index.parts.insert(part.to_owned(), Digest::of_bytes(wrong.as_bytes()));
        text.parts.insert(part.to_owned(), wrong.clone());
        assert!(text.listings(&index).is_err(), "{wrong}");
    }
}
