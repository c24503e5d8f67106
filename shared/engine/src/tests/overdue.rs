//! Where ending does not work, issuing stops: on the principal of an overdue grant, and at all where there are too many.

use std::sync::Arc;

use brevet_domain::grant::{Event, State};
use brevet_domain::heart::{Heart, Late, Stop};
use brevet_domain::id::GrantId;
use brevet_domain::request::Ask;
use brevet_domain::revocation::Reason;
use brevet_domain::time::Term;

use super::attaching::{FENCE_S, release, state, submit_for};
use super::break_glass::{prepare_with, rescue};
use super::world::{BATCH, TICK_S, TOLERANCE, World, active, ask_for, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, GrantReader, HeartStore};
use crate::refusal::{Refusal, RefusalKind};

/// What was given back, `n` times, each on the batch role.
fn released(world: &World, n: usize) -> Vec<GrantId> {
    let ids: Vec<_> = (0..n).map(|n| submit_for(world, &format!("stuck-{n}"), "batch").unwrap()).collect();
    world.activate();
    world.clock.advance(FENCE_S);
    for id in &ids {
        assert_eq!(state(world, *id), "Active");
        release(world, *id);
    }
    ids
}

/// The schedule goes on for `seconds`, while every removal is refused.
fn tick_refusing(world: &World, seconds: u32) {
    for _ in 0..seconds.div_ceil(TICK_S) {
        tick_once_refusing(world);
        world.clock.advance(TICK_S);
    }
    tick_once_refusing(world);
}

fn tick_once_refusing(world: &World) {
    for call in ["remove", "put_deny"] {
        (0..10).for_each(|_| world.faults.plan_next(call, Fault::Refused));
    }
    assert!(world.tick().unwrap().unwrap().good, "a removal that is refused makes no bad pass");
    world.faults.clear();
}

/// `n` overdue grants of bot on the batch role.
fn overdue(n: usize) -> (World, Vec<GrantId>) {
    let world = World::new();
    world.tick();
    let ids = released(&world, n);
    tick_refusing(&world, TOLERANCE.overdue_s + 2 * TICK_S);
    (world, ids)
}

fn heart(world: &World) -> Heart {
    run(world.store.heart()).unwrap().unwrap().unwrap()
}

fn named(world: &World) -> Vec<GrantId> {
    let late = heart(world).late;
    late.overdue(world.clock.now(), TOLERANCE.overdue_s).map(|late| late.grant).collect()
}

fn refusal<T: std::fmt::Debug>(answer: Option<Result<T, Refusal>>) -> Refusal {
    answer.unwrap().unwrap_err()
}

/// What a vend of a session is answered; nothing if it goes through.
fn stopped(world: &World, key: &str) -> Option<String> {
    let id = id_of(world.submit("bot ask run-1", key));
    world.vend("bot credentials run-1", id).unwrap().err().map(|refusal| refusal.code.into_owned())
}

fn acknowledge(world: &World, who: &str, id: GrantId) -> Option<Result<brevet_domain::grant::Grant, Refusal>> {
    let reason = Reason::try_from("IAM is down; the provider knows".to_owned()).unwrap();
    run(world.acknowledging.acknowledge(&proof(who), id, &reason, world.clock.now()))
}

#[test]
fn invariant_12_an_overdue_session_stops_its_own_role_and_nothing_else() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let own = id_of(world.submit("bot ask run-1", "own"));
    let other = id_of(world.submit("ci ask run-1", "other"));
    tick_refusing(&world, TOLERANCE.overdue_s + TICK_S);
    for (who, id) in [("bot credentials run-1", own), ("ci credentials run-1", other)] {
        let (kind, code) = refused(world.vend(who, id));
        assert_eq!((kind, code.as_str()), (RefusalKind::Stopped, "principal_overdue"));
    }
    // Whose grant it is may be told which; others learn nothing of it.
    let told = refusal(world.vend("bot credentials run-1", own));
    assert!(told.detail.contains(&format!("your grant `{id}`")), "{told}");
    assert_eq!((told.grant, told.retry_after_s), (Some(own), Some(60)));
    let since = world.grant(id).over_since().unwrap().plus(TOLERANCE.overdue_s);
    assert!(told.detail.contains(&format!("since {since}")), "{told}");
    let told = refusal(world.vend("ci credentials run-1", other));
    assert!(!told.detail.contains(&id.to_string()) && !told.detail.contains("bot"), "{told}");
    // Elsewhere it goes on.
    let batch = submit_for(&world, "elsewhere", "batch").unwrap();
    world.activate();
    assert_eq!(state(&world, batch), "Active");
    // And here once the end is proved, by itself.
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    assert!(world.vend("bot credentials run-1", own).unwrap().is_ok());
    assert!(world.vend("ci credentials run-1", other).unwrap().is_ok());
    world.assert_all_ends("an overdue session");
}

#[test]
fn an_overdue_grant_is_named_by_each_heart_also_while_an_attempt_has_put_it_off() {
    let world = World::new();
    world.tick();
    let id = released(&world, 1)[0];
    let mut n_put_off = 0;
    for n in 0..80_u32 {
        let now = world.clock.now();
        let is_due = world.grant(id).due_at().is_some_and(|at| at <= now);
        (0..10).for_each(|_| world.faults.plan_next("remove", Fault::Refused));
        // Each process goes on from what the other one stored.
        let reaper = if n % 2 == 0 { &world.reaper } else { &world.other_reaper };
        assert!(run(reaper.pass()).unwrap().unwrap().good);
        world.faults.clear();
        let is_overdue = world.grant(id).overdue_s(now) > u64::from(TOLERANCE.overdue_s);
        assert_eq!(named(&world), if is_overdue { vec![id] } else { vec![] }, "pass {n}");
        n_put_off += u32::from(is_overdue && !is_due);
        world.clock.advance(TICK_S);
    }
    assert!(n_put_off > 10, "no pass came while it was put off: nothing is shown");
    world.tick_for(200);
    assert_eq!((state(&world, id), heart(&world).late), ("Ended", Late::default()));
}

/// Each pass writes the deny of a role that has live ends: where ticks are quick, that alone puts their grants off for ever.
#[test]
fn a_session_is_named_though_each_pass_puts_off_the_look_at_it() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let mut n_looks = 0;
    for _ in 0..=TOLERANCE.overdue_s.div_ceil(2) {
        world.faults.plan_next("put_deny", Fault::Refused);
        n_looks += u32::from(world.tick().unwrap().unwrap().n_due > 0);
        world.faults.clear();
        world.clock.advance(2);
    }
    assert!(n_looks < 5, "it was due {n_looks} times: nothing is shown");
    assert_eq!((state(&world, id), named(&world)), ("Revoking", vec![id]));
    world.assert_all_ends("put off by each pass");
}

#[test]
fn more_overdue_grants_than_the_set_number_stop_everything_until_enough_ended() {
    let (world, ids) = overdue(3);
    let report = world.tick().unwrap().unwrap();
    assert_eq!(stopped(&world, "session").as_deref(), Some("too_many_overdue"));
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert!(matches!(health.stop, Some(Stop::TooManyOverdue { n: 3, .. })), "{health:?}");
    assert_eq!((health.n_overdue, health.n_unacknowledged), (3, 3));
    assert_eq!((report.n_overdue, report.n_unacknowledged, report.is_stopped), (3, 3, true));
    // It recovers by itself.
    world.tick_for(200);
    assert!(ids.iter().all(|id| state(&world, *id) == "Ended"));
    assert_eq!(stopped(&world, "session again"), None);
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert_eq!((health.stop, health.n_overdue), (None, 0));
    world.assert_all_ends("three overdue");
}

#[test]
fn what_somebody_acknowledged_counts_no_longer_but_for_its_own_principal() {
    let (world, ids) = overdue(3);
    let acknowledged = acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
    assert!(
        matches!(&acknowledged.state, State::Revoking(r) if r.acknowledged.as_ref().unwrap().by.as_str() == "omar")
    );
    assert_eq!(stopped(&world, "before").as_deref(), Some("too_many_overdue"), "from the next good pass on");
    tick_once_refusing(&world);
    assert_eq!(stopped(&world, "after"), None);
    let batch = submit_for(&world, "batch again", "batch").unwrap();
    world.activate();
    assert_eq!(state(&world, batch), "Approved", "its own principal stays stopped");
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert_eq!((health.n_overdue, health.n_unacknowledged), (3, 2));
    let entry = world.store.snapshot().evidence_of(ids[0]).into_iter().find(|e| e.body.event == "OverdueAcknowledged");
    let detail = entry.unwrap().body.detail;
    assert_eq!(detail["with"]["reason"], "IAM is down; the provider knows");
    assert_eq!((detail["by"].as_str(), detail["with"]["determining"][0].as_str()), (Some("omar"), Some("two-hands")));
    world.assert_all_ends("acknowledged");
}

#[test]
fn acknowledging_is_for_people_in_charge_who_have_no_part_in_it_and_once_is_enough() {
    let (world, ids) = overdue(1);
    let id = ids[0];
    let before = world.grant(id);
    for (who, kind, code) in [
        ("omar ask", RefusalKind::Unauthenticated, "token_audience"),
        ("bot approve", RefusalKind::Forbidden, "acknowledger_not_human"),
        ("dana approve", RefusalKind::Forbidden, "own_grant"),
    ] {
        let (found, found_code) = refused(acknowledge(&world, who, id));
        assert_eq!((found, found_code.as_str()), (kind, code), "{who}");
    }
    let (live, ids_of_ci) = (submit_for(&world, "live", "batch").unwrap(), id_of(world.submit("ci ask run-1", "ci")));
    assert_eq!(refused(acknowledge(&world, "dana approve", ids_of_ci)).1, "grant_not_found", "dana has no part in it");
    assert_eq!(refused(acknowledge(&world, "lea approve", live)).1, "not_overdue");
    assert_eq!(world.grant(id), before);
    let first = acknowledge(&world, "omar approve", id).unwrap().unwrap();
    assert_eq!(acknowledge(&world, "lea approve", id).unwrap().unwrap(), first, "it stands as it is");
    assert_eq!(world.grant(id).version, before.version + 1);
    world.assert_all_ends("acknowledged once");
}

/// Invariant 11, here too: whoever has their hands on the kill switch does not wave through what is theirs.
#[test]
fn invariant_11_nobody_acknowledges_what_an_identity_of_theirs_holds() {
    let world = World::new();
    world.tick();
    let ask = ask_for("batch");
    let id = id_of(world.submit_ask("ci ask run-1", "of omar", ask));
    world.activate();
    world.clock.advance(FENCE_S);
    world.release("ci ask run-1", id).unwrap().unwrap();
    tick_refusing(&world, TOLERANCE.overdue_s + TICK_S);
    assert_eq!(refused(acknowledge(&world, "omar approve", id)).1, "own_grant");
    let event = Event::OverdueAcknowledged { by: "omar".parse().unwrap() };
    assert!(world.grant(id).apply(&event, world.clock.now()).is_err());
    assert!(acknowledge(&world, "lea approve", id).unwrap().is_ok());
}

#[test]
fn every_single_fault_of_acknowledging_leaves_it_done_or_undone_and_a_second_try_does_it() {
    let calls = {
        let (world, ids) = overdue(1);
        let start = world.faults.n_calls();
        acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
        let start = usize::try_from(start).unwrap();
        world.faults.calls().split_off(start)
    };
    assert_eq!(calls, ["grant", "commit"]);
    let mut n_fired = 0;
    for fault in Fault::ALL {
        for number in 1..=2 {
            let (world, ids) = overdue(1);
            world.faults.plan(world.faults.n_calls() + number, fault);
            let answer = acknowledge(&world, "omar approve", ids[0]);
            let fired = world.faults.fired().len();
            n_fired += fired;
            let context = format!("{fault:?} at {}", calls[usize::try_from(number - 1).unwrap()]);
            let is_done = |world: &World| matches!(&world.grant(ids[0]).state, State::Revoking(revoking) if revoking.acknowledged.is_some());
            if let Some(Ok(_)) = &answer {
                assert!(is_done(&world), "{context}");
            }
            world.faults.clear();
            acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
            assert!(is_done(&world), "{context}");
            let evidence = world.store.snapshot().evidence_of(ids[0]);
            assert_eq!(evidence.iter().filter(|e| e.body.event == "OverdueAcknowledged").count(), 1, "{context}");
            world.assert_invariants(&context);
        }
    }
    assert!(n_fired >= 12, "{n_fired} faults fired");
}

#[test]
fn break_glass_is_stopped_by_what_is_overdue_unless_it_says_otherwise() {
    for while_overdue in [false, true] {
        let (world, _) = overdue(3);
        prepare_with(&world, rescue("lea", while_overdue));
        tick_once_refusing(&world);
        let id =
            id_of(run(world.intake.submit(&proof("omar ask run-1"), "glass", ask_for("rescue"), world.clock.now())));
        let answer = world.vend("omar credentials run-1", id).unwrap();
        assert_eq!(answer.is_ok(), while_overdue, "{answer:?}");
        let said =
            run(world.decider.rehearse(&proof("omar ask run-1"), ask_for("rescue"), TOLERANCE, world.clock.now()));
        assert_eq!(said.unwrap().unwrap().pulse == brevet_domain::heart::Pulse::Beating, while_overdue);
        assert_eq!(stopped(&world, "ordinary").as_deref(), Some("too_many_overdue"));
    }
}

#[test]
fn a_dry_run_says_that_its_own_principal_is_stopped() {
    let (world, ids) = overdue(1);
    let pulse = |what| {
        let now = world.clock.now();
        run(world.decider.rehearse(&proof("bot ask run-1"), ask_for(what), TOLERANCE, now)).unwrap().unwrap().pulse
    };
    let said = pulse("sync");
    let brevet_domain::heart::Pulse::Stopped(Stop::PrincipalOverdue { grant, .. }) = said else { panic!("{said:?}") };
    assert_eq!((grant, pulse("deploy")), (ids[0], brevet_domain::heart::Pulse::Beating));
    assert_eq!(world.place(ids[0]).map(|_| BATCH), Some(BATCH));
}

#[test]
fn a_heart_that_cannot_be_read_issues_nothing_and_beats_no_more() {
    let (world, id) = super::world::approved();
    let before = heart(&world);
    world.faults.plan_next("heart", Fault::NotSent);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    world.faults.plan_next("heart", Fault::NotSent);
    assert!(world.tick().unwrap().is_err(), "what it named is not known: nothing is recorded over it");
    assert_eq!((world.faults.fired().len(), heart(&world)), (2, before.clone()));
    world.tick().unwrap().unwrap();
    assert_eq!(heart(&world).beats, before.beats + 1);
}

#[test]
fn a_grant_that_cannot_be_read_stays_overdue() {
    let (world, ids) = overdue(1);
    let mut n_fired = 0;
    for _ in 0..8 {
        world.clock.advance(TICK_S);
        (0..3).for_each(|_| world.faults.plan_next("grant", Fault::NotSent));
        (0..3).for_each(|_| world.faults.plan_next("remove", Fault::Refused));
        let report = world.tick().unwrap().unwrap();
        n_fired += world.faults.fired().iter().filter(|fired| fired.call == "grant").count();
        world.faults.clear();
        assert!(report.good);
        assert_eq!(named(&world), ids);
        let late = heart(&world).late.grants;
        assert_eq!(late[0].since, world.grant(ids[0]).over_since().unwrap());
    }
    assert!(n_fired >= 8, "{n_fired}");
}

#[test]
fn a_mark_on_which_nothing_follows_is_overdue_as_well() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let other = id_of(world.submit("bot ask run-1", "other"));
    for _ in 0..=TOLERANCE.overdue_s.div_ceil(TICK_S) {
        (0..5).for_each(|_| world.faults.plan_next("commit", Fault::Refused));
        assert!(world.tick().unwrap().unwrap().good);
        world.faults.clear();
        world.clock.advance(TICK_S);
    }
    assert_eq!((state(&world, id), named(&world)), ("Active", vec![id]));
    assert_eq!(refused(world.vend("bot credentials run-1", other)).1, "principal_overdue");
    world.assert_all_ends("a mark");
}

#[test]
fn a_live_attachment_that_cannot_be_watched_is_not_overdue() {
    let world = World::new();
    world.tick();
    let ask = Ask { term_s: Term::from_seconds(1_800).unwrap(), ..ask_for("batch") };
    let id = id_of(world.submit_ask("bot ask run-1", "long", ask));
    world.activate();
    let mut n_fired = 0;
    for _ in 0..40 {
        world.faults.plan_next("read", Fault::Refused);
        world.tick().unwrap().unwrap();
        n_fired += world.faults.fired().len();
        world.faults.clear();
        assert_eq!(heart(&world).late, Late::default());
        world.clock.advance(TICK_S);
    }
    assert_eq!(state(&world, id), "Active");
    assert!(n_fired > 15, "{n_fired}");
    world.assert_all_ends("not watched");
}

#[test]
fn of_two_passes_at_once_the_later_one_keeps_what_the_first_one_found() {
    let (world, ids) = overdue(1);
    let world = Arc::new(world);
    let full = heart(&world);
    assert_eq!(named(&world), ids);
    assert!(world.grant(ids[0]).due_at().unwrap() > world.clock.now(), "no pass comes by it now");
    // A pass that began before the first one stored what it found.
    let empty = Heart { beats: full.beats + 1, ..Heart::first(world.clock.now()) };
    run(world.store.beat(&empty, None)).unwrap().unwrap();
    let calls = {
        let start = usize::try_from(world.faults.n_calls()).unwrap();
        run(world.store.beat(&empty, None)).unwrap().unwrap();
        assert!(run(world.reaper.pass()).unwrap().unwrap().good);
        world.faults.calls().split_off(start + 1)
    };
    run(world.store.beat(&empty, None)).unwrap().unwrap();
    let beat = u64::try_from(calls.iter().position(|call| *call == "beat").unwrap()).unwrap() + 1;
    let (other, found) = (world.store.clone(), Heart { beats: empty.beats + 1, ..full });
    let number = world.faults.n_calls() + beat;
    world.faults.meanwhile(number, move || run(other.beat(&found, None)).unwrap().unwrap());
    assert!(run(world.reaper.pass()).unwrap().unwrap().good);
    assert_eq!(named(&world), ids);
    assert_eq!(heart(&world).beats, empty.beats + 2);
}
