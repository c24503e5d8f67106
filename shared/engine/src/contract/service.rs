//! What is in service: the reaper's heart, the table, the bundle.

use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::heart::{Beyond, Heart, Late, LateGrant};

use super::samples::{ROLE, at};
use super::store::Ports;
use crate::port::PortError;

/// The heart reads as it last beat.
pub async fn the_heart_is_the_last_that_beat(ports: &Ports) {
    assert_eq!(ports.reader.heart().await.unwrap(), None);
    for (before, beats, seconds) in [(0, 1, 5), (1, 2, 65)] {
        let heart = Heart { beats, ..late_heart(seconds) };
        ports.heart.beat(&heart, Some(before)).await.unwrap();
        assert_eq!(ports.reader.heart().await.unwrap(), Some(heart));
    }
}

/// Of two passes at once the second one to beat is told, and the heart stays as the first one left it.
pub async fn a_beat_over_another_than_the_last_is_a_conflict(ports: &Ports) {
    let first = late_heart(5);
    ports.heart.beat(&first, Some(0)).await.unwrap();
    for (before, beats) in [(0, 1), (2, 3)] {
        let late = Heart { beats, ..Heart::first(at(65)) };
        let answer = ports.heart.beat(&late, Some(before)).await;
        assert!(matches!(answer, Err(PortError::Conflict { .. })), "{answer:?}");
        assert_eq!(ports.reader.heart().await.unwrap(), Some(first.clone()));
    }
    // Over whatever is there: where the last one cannot be read.
    ports.heart.beat(&Heart::first(at(65)), None).await.unwrap();
    assert_eq!(ports.reader.heart().await.unwrap(), Some(Heart::first(at(65))));
}

fn late_heart(seconds: u32) -> Heart {
    let grant = |text: &str| text.parse().unwrap();
    let named = LateGrant {
        grant: grant("grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        principal: Some(ROLE.to_owned()),
        since: at(0),
        acknowledged: true,
    };
    let unread = LateGrant {
        grant: grant("grt_01ARZ3NDEKTSV4RRFFQ69G5FAW"),
        principal: None,
        since: at(1),
        acknowledged: false,
    };
    let beyond = Some(Beyond { since: at(2), until: at(200) });
    Heart { late: Late { grants: vec![named, unread], beyond }, ..Heart::first(at(seconds)) }
}

/// A table is the same one each time it is asked, and the word that stands in it reads back.
pub async fn the_table_tells_which_it_is_and_which_was_confirmed(ports: &Ports) {
    let table = ports.service.table().await.unwrap();
    assert!(table.contains(":table/") && table.contains('@'), "{table}");
    assert_eq!(ports.service.table().await.unwrap(), table);
    for (table, by) in [(table.clone(), "ana"), ("another".to_owned(), "olga")] {
        let word = Confirmation { table: table.clone(), at: at(5), by: by.to_owned(), is_first: by == "ana" };
        (ports.confirm)(word.clone()).await;
        assert_eq!(ports.service.confirmation().await.unwrap(), Some(word));
    }
}

/// The bundle in force is the last published; older ones can still be read by their digest.
pub async fn the_bundle_in_force_reads_back_by_its_parts(ports: &Ports) {
    assert_eq!(ports.bundles.current().await.unwrap(), None);
    let bundle = |index: &str| BundleText {
        digest: Digest::of_bytes(index.as_bytes()),
        parts: [("index", index), ("common", "permit ü"), ("deploy", "forbid")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    };
    let (old, new) = (bundle("{\"old\":1}"), bundle("{\"new\":1}"));
    (ports.publish)(old.clone()).await;
    (ports.publish)(new.clone()).await;
    assert_eq!(ports.bundles.current().await.unwrap(), Some(new.digest));
    assert_eq!(ports.bundles.bundle(new.digest, None).await.unwrap(), new);
    assert_eq!(ports.bundles.bundle(old.digest, None).await.unwrap(), old);
    let some = ports.bundles.bundle(new.digest, Some(&["index", "deploy", "missing"])).await.unwrap();
    assert_eq!(some.parts.keys().collect::<Vec<_>>(), ["deploy", "index"]);
    assert_eq!(ports.bundles.bundle(Digest::ZERO, None).await.unwrap().parts.len(), 0);
}

/// Some megabytes in as many parts as there can be, and one as long as one can be: by name, and all at once.
pub async fn a_bundle_of_many_and_long_parts_reads_back(ports: &Ports) {
    let (index, long) = ("{\"many\":1}", "x".repeat(380 * 1024));
    let mut bundle = BundleText {
        digest: Digest::of_bytes(index.as_bytes()),
        parts: [("index", index), ("rules", &long)].map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
    };
    for number in 0..512 {
        bundle.parts.insert(format!("entitlements/{number:03x}"), format!("{number} {}", "y".repeat(6 * 1024)));
    }
    (ports.publish)(bundle.clone()).await;
    for part in ["index", "rules", "entitlements/000", "entitlements/1ff"] {
        let read = ports.bundles.bundle(bundle.digest, Some(&[part])).await.unwrap();
        assert_eq!(read.parts, [(part.to_owned(), bundle.parts[part].clone())].into());
    }
    let names: Vec<_> = bundle.parts.keys().map(String::as_str).collect();
    assert_eq!(ports.bundles.bundle(bundle.digest, Some(&names)).await.unwrap(), bundle);
    assert_eq!(ports.bundles.bundle(bundle.digest, None).await.unwrap(), bundle);
}
