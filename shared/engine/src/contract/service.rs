//! The contract of the reaper's health, the table's identity and confirmation, and the bundle.

use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::reaper_health::{Late, LateGrant, OverdueOverflow, ReaperHealth};

use super::samples::{ROLE, at};
use super::store::Ports;
use crate::port::PortError;

/// The last heartbeat is read back.
pub async fn reaper_health_is_the_last_heartbeat(ports: &Ports) {
    assert_eq!(ports.reader.reaper_health().await.unwrap(), None);
    for (before, heartbeats, seconds) in [(0, 1, 5), (1, 2, 65)] {
        let reaper_health = ReaperHealth { heartbeats, ..late_heartbeat(seconds) };
        ports.reaper_health.record_heartbeat(&reaper_health, Some(before)).await.unwrap();
        assert_eq!(ports.reader.reaper_health().await.unwrap(), Some(reaper_health));
    }
}

/// The second of two concurrent passes gets a conflict, and the heartbeat of the first stays.
pub async fn heartbeat_over_another_than_the_last_is_a_conflict(ports: &Ports) {
    let first = late_heartbeat(5);
    ports.reaper_health.record_heartbeat(&first, Some(0)).await.unwrap();
    for (before, heartbeats) in [(0, 1), (2, 3)] {
        let late = ReaperHealth { heartbeats, ..ReaperHealth::first(at(65)) };
        let answer = ports.reaper_health.record_heartbeat(&late, Some(before)).await;
        assert!(matches!(answer, Err(PortError::Conflict { .. })), "{answer:?}");
        assert_eq!(ports.reader.reaper_health().await.unwrap(), Some(first.clone()));
    }
    // Without an expected value, the heartbeat overwrites any other: for when the last one cannot be read.
    ports.reaper_health.record_heartbeat(&ReaperHealth::first(at(65)), None).await.unwrap();
    assert_eq!(ports.reader.reaper_health().await.unwrap(), Some(ReaperHealth::first(at(65))));
}

fn late_heartbeat(seconds: u32) -> ReaperHealth {
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
    let overflow = Some(OverdueOverflow { since: at(2), until: at(200) });
    ReaperHealth { late: Late { grants: vec![named, unread], overflow }, ..ReaperHealth::first(at(seconds)) }
}

/// The table's identity is stable, and the stored confirmation is read back.
pub async fn table_identity_is_stable_and_its_confirmation_reads_back(ports: &Ports) {
    let table = ports.service.table().await.unwrap();
    assert!(table.contains(":table/") && table.contains('@'), "{table}");
    assert_eq!(ports.service.table().await.unwrap(), table);
    for (table, by) in [(table.clone(), "ana"), ("another".to_owned(), "olga")] {
        let confirmation = Confirmation { table: table.clone(), at: at(5), by: by.to_owned(), is_first: by == "ana" };
        (ports.confirm)(confirmation.clone()).await;
        assert_eq!(ports.service.confirmation().await.unwrap(), Some(confirmation));
    }
}

/// The bundle in force is the last one published. Older bundles can still be read by their digests.
pub async fn bundle_in_force_reads_back_by_its_parts(ports: &Ports) {
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

/// Several megabytes in the maximum number of parts, one of them of the maximum length: read by name and all at once.
pub async fn bundle_of_many_and_long_parts_reads_back(ports: &Ports) {
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
