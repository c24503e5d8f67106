//! Tests of windows and their grant ids, compared with an independent calculation.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(cron: &str, window_s: u32) -> Schedule {
    serde_json::from_value(json!({
        "id": "nightly", "owner": "rui", "description": "d", "identity": "nightly-batch", "cron": cron,
        "ask": { "entitlement": "legacy-batch", "parameters": { "run": "nightly" }, "term_s": 600 }, "window_s": window_s,
    }))
    .unwrap()
}

fn deployment(id: &str, account: &str) -> Deployment {
    Deployment {
        id: id.parse().unwrap(),
        account: account.parse().unwrap(),
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
    }
}

#[test]
fn window_is_open_from_its_instant_until_just_before_its_end() {
    let nightly = schedule("30 2 * * *", 900);
    for (now, opens_at) in [
        ("2026-11-28T02:29:59.999Z", None),
        ("2026-11-28T02:30:00.000Z", Some("2026-11-28T02:30:00Z")),
        ("2026-11-28T02:30:00.001Z", Some("2026-11-28T02:30:00Z")),
        ("2026-11-28T02:44:59.000Z", Some("2026-11-28T02:30:00Z")),
        // Less than a second is left, so nothing could be started any more.
        ("2026-11-28T02:44:59.001Z", None),
        ("2026-11-28T02:45:00.000Z", None),
        ("2026-11-28T12:00:00.000Z", None),
        ("2026-11-29T02:31:00.000Z", Some("2026-11-29T02:30:00Z")),
    ] {
        let window = nightly.window_at(at(now));
        assert_eq!(window.map(|window| window.opens_at), opens_at.map(at), "{now}");
        assert!(window.is_none_or(|window| window.closes_at == window.opens_at.plus(900)), "{now}");
    }
    // A window over midnight, at the end of a month and of a year.
    let late = schedule("55 23 L * *", 600);
    let window = late.window_at(at("2027-01-01T00:04:00Z")).unwrap();
    assert_eq!((window.opens_at, window.left_s(at("2027-01-01T00:04:00Z"))), (at("2026-12-31T23:55:00Z"), 60));
}

#[test]
fn window_has_one_grant_id_that_no_other_window_has() {
    let (nightly, weekly) =
        (schedule("30 2 * * *", 900), Schedule { id: "weekly".parse().unwrap(), ..schedule("30 2 * * *", 900) });
    let (dev, other, elsewhere) =
        (deployment("dev", "000000000000"), deployment("other", "000000000000"), deployment("dev", "000000000001"));
    let window = |now: &str| nightly.window_at(at(now)).unwrap();
    let (first, next) = (window("2026-11-28T02:30:00Z"), window("2026-11-29T02:30:00Z"));
    let id = nightly.grant_id(first, &dev);
    assert_eq!(
        id,
        nightly.grant_id(window("2026-11-28T02:44:00.5Z"), &dev),
        "the same id at any instant of the window"
    );
    let longer = Schedule { window_s: 1_800, ..nightly.clone() };
    let longer_window = longer.window_at(at("2026-11-28T02:50:00Z")).unwrap();
    assert_eq!(id, longer.grant_id(longer_window, &dev), "the same id for any length of the window");
    let ids = [
        id,
        nightly.grant_id(next, &dev),
        weekly.grant_id(first, &dev),
        nightly.grant_id(first, &other),
        nightly.grant_id(first, &elsewhere),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    // The id contains the instant, so that grants sort by it.
    assert_eq!(id.ulid().timestamp_ms(), u64::try_from(first.opens_at.as_millis()).unwrap());
}

#[test]
fn window_request_and_proof_can_be_rebuilt_from_the_declaration() {
    let nightly = schedule("30 2 * * *", 900);
    let window = |now: &str| nightly.window_at(at(now)).unwrap();
    let id = nightly.grant_id(window("2026-11-28T02:30:00Z"), &deployment("dev", "000000000000"));
    let digest = |now| Digest::of(&nightly.request(window(now), id)).unwrap();
    assert_eq!(digest("2026-11-28T02:30:00Z"), digest("2026-11-28T02:44:00Z"));
    let ProofSummary::Schedule { declared, schedule: name, .. } =
        nightly.proof(window("2026-11-28T02:30:00Z")).unwrap()
    else {
        panic!("another proof")
    };
    assert_eq!((declared, name), (Digest::of(&nightly).unwrap(), nightly.id.clone()));
    let longer = Schedule { window_s: 901, ..nightly.clone() };
    assert_ne!(declared, Digest::of(&longer).unwrap());
}

#[test]
fn cron_rejects_invalid_text_with_an_example() {
    for text in [
        "",
        "nightly",
        "@daily",
        "* * * *",
        "0 30 2 * * *",
        "30 2 * * * 2026",
        "60 2 * * *",
        "30 24 * * *",
        "30 2 0 * *",
        "30 2 32 * *",
        "30 2 * 13 *",
        "30 2 * * 8",
        "30  2 * * *",
        " 30 2 * * *",
        "30\t2\t*\t*\t*",
        "30 2 * * MUN",
        "*/0 * * * *",
        &"*".repeat(200),
    ] {
        let error = text.parse::<Cron>().unwrap_err().to_string();
        assert!(error.ends_with("like `30 2 * * MON-FRI`") && error.len() < 300, "{text}: {error}");
    }
    assert_eq!(
        "30 2 29 2 *".parse::<Cron>().unwrap().next_after(at("2026-03-01T00:00:00Z")),
        Some(at("2028-02-29T02:30:00Z"))
    );
    assert_eq!("0 0 30 2 *".parse::<Cron>().unwrap().next_after(at("2026-03-01T00:00:00Z")), None);
}

/// A cron field as text, with the numbers that it matches.
fn field(range: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = (String, BTreeSet<u32>)> {
    let all: BTreeSet<u32> = range.clone().collect();
    let some = proptest::collection::btree_set(range, 1..4).prop_map(|set| {
        let words: Vec<_> = set.iter().map(u32::to_string).collect();
        (words.join(","), set)
    });
    prop_oneof![Just(("*".to_owned(), all)), some]
}

fn in_seconds(minutes: u32) -> u32 {
    minutes.saturating_mul(60)
}

proptest! {
    /// Checks the calendar minute by minute, with the day of the week from another library.
    #[test]
    fn windows_open_exactly_when_each_field_matches(
        minutes in field(0..=59), hours in field(0..=23), months in field(1..=12), days in field(0..=6),
        window_min in 1..90_u32, seconds in 1_700_000_000..2_600_000_000_i64,
    ) {
        let window_s = in_seconds(window_min);
        let schedule = schedule(&format!("{} {} * {} {}", minutes.0, hours.0, months.0, days.0), window_s);
        let now = Timestamp::from_seconds(seconds);
        let opens = |at: Timestamp| {
            use chrono::{Datelike, Timelike};
            let at = at.to_chrono();
            minutes.1.contains(&at.minute()) && hours.1.contains(&at.hour()) && months.1.contains(&at.month())
                && days.1.contains(&at.weekday().num_days_from_sunday())
        };
        // The first minute that opens a window which is still open.
        let whole = now.minus(u32::try_from(seconds.rem_euclid(60)).unwrap());
        let since = (0..=window_min).rev().map(|n| whole.minus(in_seconds(n)));
        let expected = since.filter(|at| opens(*at) && now < at.plus(window_s)).min();
        prop_assert_eq!(schedule.window_at(now).map(|window| window.opens_at), expected);
        if let Some(window) = schedule.window_at(now) {
            prop_assert!(window.opens_at <= now && now < window.closes_at);
        }
    }
}
