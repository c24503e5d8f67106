use ulid::Ulid;

use super::*;
use crate::drill::{Drilled, Lack};

const TOLERANCE: Tolerance =
    Tolerance { max_age_s: 180, overdue_s: 180, max_overdue: 2, while_overdue: false, is_canary: false };

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(10_000).plus(seconds)
}

fn late(n: u128, principal: &str, since: u32) -> LateGrant {
    let principal = (!principal.is_empty()).then(|| principal.to_owned());
    LateGrant { grant: GrantId::from_ulid(Ulid(n)), principal, since: at(since), acknowledged: false }
}

fn heart(seconds: u32, grants: &[LateGrant]) -> Heart {
    let late = Late::of(grants.to_vec(), None, at(seconds), TOLERANCE.overdue_s);
    Heart { late, ..Heart::first(at(seconds)) }
}

fn pulse(heart: &Heart, principal: &str, seconds: u32) -> Pulse {
    Heart::pulse(Some(heart), Some(principal), at(seconds), TOLERANCE)
}

#[test]
fn a_missing_or_old_heart_is_stopped() {
    let judge = |heart: Option<&Heart>, now| Heart::pulse(heart, None, now, TOLERANCE);
    let silent = |age_s| Pulse::Stopped(Stop::Silent { age_s });
    let (heart, ahead) = (Heart::first(at(820)), Heart::first(at(1_181)));
    assert_eq!(judge(None, at(1_000)), silent(None));
    assert_eq!(judge(Some(&heart), at(1_000)), Pulse::Beating);
    assert_eq!(judge(Some(&heart), at(1_001)), silent(Some(181)));
    assert_eq!(judge(Some(&ahead), at(1_000)), silent(None));
    assert_eq!(judge(Some(&ahead), at(1_001)), Pulse::Beating);
}

#[test]
fn a_late_end_becomes_overdue_as_time_goes_by_and_stops_its_own_principal_alone() {
    let heart = heart(160, &[late(1, "shop", 0)]);
    assert_eq!(pulse(&heart, "shop", 180), Pulse::Beating);
    let stop = Stop::PrincipalOverdue { grant: late(1, "", 0).grant, since: at(180) };
    assert_eq!(pulse(&heart, "shop", 181), Pulse::Stopped(stop));
    assert_eq!(pulse(&heart, "desk", 181), Pulse::Beating);
    assert_eq!(Heart::pulse(Some(&heart), None, at(181), TOLERANCE), Pulse::Beating);
}

#[test]
fn an_acknowledged_one_stops_its_own_principal_all_the_same() {
    let known = LateGrant { acknowledged: true, ..late(1, "shop", 0) };
    assert!(matches!(pulse(&heart(160, &[known]), "shop", 181), Pulse::Stopped(Stop::PrincipalOverdue { .. })));
}

#[test]
fn more_than_the_set_number_stop_everything_and_acknowledged_ones_do_not_count() {
    let two = [late(1, "a", 0), late(2, "b", 10)];
    assert_eq!(pulse(&heart(200, &two), "desk", 300), Pulse::Beating);
    // One whose record cannot be read counts too.
    let mut three = [two[0].clone(), two[1].clone(), late(3, "", 20)];
    let everything = Pulse::Stopped(Stop::TooManyOverdue { n: 3, since: at(200) });
    assert_eq!(pulse(&heart(200, &three), "desk", 201), everything);
    assert_eq!(pulse(&heart(200, &three), "desk", 200), Pulse::Beating, "the third is not overdue yet");
    assert_eq!(Heart::pulse(Some(&heart(200, &three)), None, at(201), TOLERANCE), everything);
    three[0].acknowledged = true;
    assert_eq!(pulse(&heart(200, &three), "desk", 201), Pulse::Beating);
}

#[test]
fn break_glass_puts_up_with_what_is_overdue_only_where_it_says_so_and_never_with_silence() {
    let heart = heart(200, &[late(1, "shop", 0), late(2, "b", 0), late(3, "c", 0)]);
    let glass = |heart_max_age_s, while_overdue| {
        let (reviewer, owner) = ("lea".parse().unwrap(), "rui".parse().unwrap());
        Some(BreakGlassUse { reviewer, owner, heart_max_age_s, while_overdue })
    };
    let judge = |glass: Option<BreakGlassUse>, now| {
        Heart::pulse(Some(&heart), Some("shop"), now, TOLERANCE.of(glass.as_ref())) == Pulse::Beating
    };
    assert!(!judge(None, at(250)) && !judge(glass(Some(3_600), false), at(250)));
    assert!(judge(glass(None, true), at(250)));
    assert!(!judge(glass(None, true), at(381)), "too old");
    assert!(judge(glass(Some(3_600), true), at(381)));
}

#[test]
fn what_finds_no_room_stops_everything_until_it_must_have_come_by_again() {
    let no_limit = Tolerance { max_overdue: u32::MAX, ..TOLERANCE };
    let judge = |late: &Late, seconds| {
        let heart = Heart { late: late.clone(), ..Heart::first(at(seconds)) };
        Heart::pulse(Some(&heart), Some("desk"), at(seconds), no_limit)
    };
    let many: Vec<_> = (0..=Late::MAX).map(|n| late(n as u128, "shop", 0)).collect();
    let full = Late::of(many.clone(), None, at(200), 180);
    assert_eq!(full.grants.len(), Late::MAX);
    let everything = Pulse::Stopped(Stop::TooManyOverdue { n: Late::MAX, since: at(180) });
    assert_eq!(judge(&full, 200), everything);
    // All of the fifty ended; what found no room may have been put off, and is not forgotten.
    let after = Late::of(Vec::new(), full.beyond, at(379), 180);
    assert_eq!(judge(&after, 379), Pulse::Stopped(Stop::TooManyOverdue { n: 0, since: at(180) }));
    let over = Late::of(Vec::new(), after.beyond, at(380), 180);
    assert_eq!((over.beyond, judge(&over, 380)), (None, Pulse::Beating));
    // Many that are merely late are no reason to stop.
    assert_eq!(Late::of(many, None, at(180), 180).beyond, None);
}

#[test]
fn the_list_names_those_that_were_due_first() {
    let many: Vec<_> = (0..60).map(|n| late(n, "shop", 100 - u32::try_from(n).unwrap())).collect();
    let list = Late::of(many, None, at(200), 180);
    assert_eq!((list.grants[0].since, list.grants.last().unwrap().since), (at(41), at(90)));
}

#[test]
fn a_drill_that_shows_nothing_stops_everything_but_canaries_and_break_glass_that_says_so() {
    let lack = |drilled, since| Unproved { drilled, why: Lack::Failed, since: at(since) };
    let drills = vec![lack(Drilled::Managed, 90), lack(Drilled::Inline, 40)];
    let heart = Heart { drills, ..heart(160, &[]) };
    let stop = Stop::NotDrilled { drilled: Drilled::Inline, why: Lack::Failed, since: at(40) };
    assert_eq!(pulse(&heart, "shop", 161), Pulse::Stopped(stop));
    assert_eq!(Heart::pulse(Some(&heart), None, at(161), TOLERANCE), Pulse::Stopped(stop));
    let judge = |seconds, tolerance| Heart::pulse(Some(&heart), Some("shop"), at(seconds), tolerance);
    assert_eq!(judge(161, TOLERANCE.for_canary(false)), Pulse::Stopped(stop));
    let canary = TOLERANCE.for_canary(true);
    assert_eq!(judge(161, canary), Pulse::Beating);
    assert_eq!(judge(161, Tolerance { while_overdue: true, ..TOLERANCE }), Pulse::Beating);
    // Every other reason stops a canary too.
    assert_eq!(judge(341, canary), Pulse::Stopped(Stop::Silent { age_s: Some(181) }));
    let overdue = Heart { drills: heart.drills.clone(), ..self::heart(160, &[late(1, "shop", 0)]) };
    let stopped = Heart::pulse(Some(&overdue), Some("shop"), at(181), canary);
    assert!(matches!(stopped, Pulse::Stopped(Stop::PrincipalOverdue { .. })), "{stopped:?}");
}
