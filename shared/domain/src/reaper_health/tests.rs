use ulid::Ulid;

use super::*;
use crate::drill::{DrillFailure, Drilled};

const ISSUANCE_POLICY: IssuancePolicy =
    IssuancePolicy { max_age_s: 180, overdue_s: 180, max_overdue: 2, while_overdue: false, is_canary: false };

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(10_000).plus(seconds)
}

fn late(n: u128, principal: &str, since: u32) -> LateGrant {
    let principal = (!principal.is_empty()).then(|| principal.to_owned());
    LateGrant { grant: GrantId::from_ulid(Ulid(n)), principal, since: at(since), acknowledged: false }
}

fn reaper_health(seconds: u32, grants: &[LateGrant]) -> ReaperHealth {
    let late = Late::of(grants.to_vec(), None, at(seconds), ISSUANCE_POLICY.overdue_s);
    ReaperHealth { late, ..ReaperHealth::first(at(seconds)) }
}

fn issuance_gate(reaper_health: &ReaperHealth, principal: &str, seconds: u32) -> IssuanceGate {
    ReaperHealth::issuance_gate(Some(reaper_health), Some(principal), at(seconds), ISSUANCE_POLICY)
}

#[test]
fn issuance_gate_is_closed_when_the_heartbeat_is_missing_or_old() {
    let judge = |reaper_health: Option<&ReaperHealth>, now| {
        ReaperHealth::issuance_gate(reaper_health, None, now, ISSUANCE_POLICY)
    };
    let no_heartbeat = |age_s| IssuanceGate::Closed(Stop::NoHeartbeat { age_s });
    let (reaper_health, ahead) = (ReaperHealth::first(at(820)), ReaperHealth::first(at(1_181)));
    assert_eq!(judge(None, at(1_000)), no_heartbeat(None));
    assert_eq!(judge(Some(&reaper_health), at(1_000)), IssuanceGate::Open);
    assert_eq!(judge(Some(&reaper_health), at(1_001)), no_heartbeat(Some(181)));
    assert_eq!(judge(Some(&ahead), at(1_000)), no_heartbeat(None));
    assert_eq!(judge(Some(&ahead), at(1_001)), IssuanceGate::Open);
}

#[test]
fn late_end_becomes_overdue_over_time_and_stops_only_its_principal() {
    let reaper_health = reaper_health(160, &[late(1, "shop", 0)]);
    assert_eq!(issuance_gate(&reaper_health, "shop", 180), IssuanceGate::Open);
    let stop = Stop::PrincipalOverdue { grant: late(1, "", 0).grant, since: at(180) };
    assert_eq!(issuance_gate(&reaper_health, "shop", 181), IssuanceGate::Closed(stop));
    assert_eq!(issuance_gate(&reaper_health, "desk", 181), IssuanceGate::Open);
    assert_eq!(ReaperHealth::issuance_gate(Some(&reaper_health), None, at(181), ISSUANCE_POLICY), IssuanceGate::Open);
}

#[test]
fn acknowledged_overdue_grant_still_stops_its_principal() {
    let known = LateGrant { acknowledged: true, ..late(1, "shop", 0) };
    assert!(matches!(
        issuance_gate(&reaper_health(160, &[known]), "shop", 181),
        IssuanceGate::Closed(Stop::PrincipalOverdue { .. })
    ));
}

#[test]
fn issuance_gate_is_closed_when_too_many_unacknowledged_grants_are_overdue() {
    let two = [late(1, "a", 0), late(2, "b", 10)];
    assert_eq!(issuance_gate(&reaper_health(200, &two), "desk", 300), IssuanceGate::Open);
    // A grant whose record cannot be read counts too.
    let mut three = [two[0].clone(), two[1].clone(), late(3, "", 20)];
    let everything = IssuanceGate::Closed(Stop::TooManyOverdue { n: 3, since: at(200) });
    assert_eq!(issuance_gate(&reaper_health(200, &three), "desk", 201), everything);
    assert_eq!(
        issuance_gate(&reaper_health(200, &three), "desk", 200),
        IssuanceGate::Open,
        "the third is not overdue yet"
    );
    assert_eq!(
        ReaperHealth::issuance_gate(Some(&reaper_health(200, &three)), None, at(201), ISSUANCE_POLICY),
        everything
    );
    three[0].acknowledged = true;
    assert_eq!(issuance_gate(&reaper_health(200, &three), "desk", 201), IssuanceGate::Open);
}

#[test]
fn break_glass_ignores_overdue_grants_only_when_set_and_never_a_missing_heartbeat() {
    let reaper_health = reaper_health(200, &[late(1, "shop", 0), late(2, "b", 0), late(3, "c", 0)]);
    let glass = |heartbeat_max_age_s, while_overdue| {
        let (reviewer, owner) = ("lea".parse().unwrap(), "rui".parse().unwrap());
        Some(BreakGlassUse { reviewer, owner, heartbeat_max_age_s, while_overdue })
    };
    let judge = |glass: Option<BreakGlassUse>, now| {
        ReaperHealth::issuance_gate(Some(&reaper_health), Some("shop"), now, ISSUANCE_POLICY.of(glass.as_ref()))
            == IssuanceGate::Open
    };
    assert!(!judge(None, at(250)) && !judge(glass(Some(3_600), false), at(250)));
    assert!(judge(glass(None, true), at(250)));
    assert!(!judge(glass(None, true), at(381)), "too old");
    assert!(judge(glass(Some(3_600), true), at(381)));
}

#[test]
fn overflow_of_overdue_grants_stops_everything_until_all_were_read_again() {
    let no_limit = IssuancePolicy { max_overdue: u32::MAX, ..ISSUANCE_POLICY };
    let judge = |late: &Late, seconds| {
        let reaper_health = ReaperHealth { late: late.clone(), ..ReaperHealth::first(at(seconds)) };
        ReaperHealth::issuance_gate(Some(&reaper_health), Some("desk"), at(seconds), no_limit)
    };
    let many: Vec<_> = (0..=Late::MAX).map(|n| late(n as u128, "shop", 0)).collect();
    let full = Late::of(many.clone(), None, at(200), 180);
    assert_eq!(full.grants.len(), Late::MAX);
    let everything = IssuanceGate::Closed(Stop::TooManyOverdue { n: Late::MAX, since: at(180) });
    assert_eq!(judge(&full, 200), everything);
    // All fifty have ended. The overflow may have been postponed and still counts.
    let after = Late::of(Vec::new(), full.overflow, at(379), 180);
    assert_eq!(judge(&after, 379), IssuanceGate::Closed(Stop::TooManyOverdue { n: 0, since: at(180) }));
    let over = Late::of(Vec::new(), after.overflow, at(380), 180);
    assert_eq!((over.overflow, judge(&over, 380)), (None, IssuanceGate::Open));
    // Grants that are only late do not stop issuing, however many there are.
    assert_eq!(Late::of(many, None, at(180), 180).overflow, None);
}

#[test]
fn late_list_keeps_the_grants_that_were_due_first() {
    let many: Vec<_> = (0..60).map(|n| late(n, "shop", 100 - u32::try_from(n).unwrap())).collect();
    let list = Late::of(many, None, at(200), 180);
    assert_eq!((list.grants[0].since, list.grants.last().unwrap().since), (at(41), at(90)));
}

#[test]
fn unproved_drill_stops_everything_but_canaries_and_break_glass_that_allows_it() {
    let unproved = |drilled, since| Unproved { drilled, why: DrillFailure::Failed, since: at(since) };
    let drills = vec![unproved(Drilled::Managed, 90), unproved(Drilled::Inline, 40)];
    let reaper_health = ReaperHealth { drills, ..reaper_health(160, &[]) };
    let stop = Stop::NotDrilled { drilled: Drilled::Inline, why: DrillFailure::Failed, since: at(40) };
    assert_eq!(issuance_gate(&reaper_health, "shop", 161), IssuanceGate::Closed(stop));
    assert_eq!(
        ReaperHealth::issuance_gate(Some(&reaper_health), None, at(161), ISSUANCE_POLICY),
        IssuanceGate::Closed(stop)
    );
    let judge = |seconds, issuance_policy| {
        ReaperHealth::issuance_gate(Some(&reaper_health), Some("shop"), at(seconds), issuance_policy)
    };
    assert_eq!(judge(161, ISSUANCE_POLICY.for_canary(false)), IssuanceGate::Closed(stop));
    let canary = ISSUANCE_POLICY.for_canary(true);
    assert_eq!(judge(161, canary), IssuanceGate::Open);
    assert_eq!(judge(161, IssuancePolicy { while_overdue: true, ..ISSUANCE_POLICY }), IssuanceGate::Open);
    // Every other reason stops a canary too.
    assert_eq!(judge(341, canary), IssuanceGate::Closed(Stop::NoHeartbeat { age_s: Some(181) }));
    let overdue =
        ReaperHealth { drills: reaper_health.drills.clone(), ..self::reaper_health(160, &[late(1, "shop", 0)]) };
    let stopped = ReaperHealth::issuance_gate(Some(&overdue), Some("shop"), at(181), canary);
    assert!(matches!(stopped, IssuanceGate::Closed(Stop::PrincipalOverdue { .. })), "{stopped:?}");
}
