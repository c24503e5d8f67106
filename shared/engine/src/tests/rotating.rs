//! Secrets that ended grants name are rotated: after the end, as often as wanted, whatever fails, and never in its way.

use brevet_domain::entitlement::Rotation;
use brevet_domain::grant::{Grant, State};
use brevet_domain::id::GrantId;

use super::world::{TERM_S, TICK_S, World, id_of};
use crate::fake::{Fault, run};
use crate::port::Clock;
use crate::reap::FoundBy;

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-??????";

/// A world whose grants name a secret to rotate `times` times; a grant that is used.
fn using(times: u8) -> (World, GrantId) {
    let world = World::new();
    world.secrets.add(SECRET);
    world.rules.lock().unwrap().rotate = vec![Rotation { secret: SECRET.to_owned(), times }];
    world.tick();
    let id = id_of(world.submit("bot ask run-1", "key"));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    (world, id)
}

/// The same, ended, with the rotation's first call yet to be made.
fn ended(times: u8) -> (World, GrantId) {
    let (world, id) = using(times);
    world.clock.advance(TERM_S + 5);
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(matches!(world.grant(id).state, State::Ended { .. }));
    (world, id)
}

fn n_rotated(world: &World, id: GrantId) -> usize {
    world.rotated_since_the_end(&world.grant(id), SECRET)
}

/// Ticks until nothing is left to rotate, for at most `seconds`.
fn tick_until_rotated(world: &World, id: GrantId, seconds: u32) -> Grant {
    for _ in 0..seconds.div_ceil(TICK_S) {
        world.tick();
        if world.grant(id).due_at().is_none() {
            break;
        }
        world.clock.advance(TICK_S);
    }
    world.grant(id)
}

fn events(world: &World, id: GrantId) -> Vec<String> {
    world.store.snapshot().evidence_of(id).iter().map(|entry| entry.body.event.clone()).collect()
}

#[test]
fn a_secret_is_rotated_once_its_grant_has_ended_and_leaves_the_list_when_that_was_seen() {
    let (world, id) = using(1);
    world.tick_for(TERM_S - 30);
    assert_eq!((world.secrets.done().len(), world.grant(id).rotations[0].attempts), (0, 0), "it could still be read");
    world.tick_for(60);
    let grant = tick_until_rotated(&world, id, 300);
    assert_eq!((grant.due_at(), grant.rotations[0].done, n_rotated(&world, id)), (None, 1, 1));
    assert!(grant.drop_at().is_some());
    let told = events(&world, id);
    let at = |event: &str| told.iter().position(|one| one == event).unwrap();
    assert!(at("DeadlineProved") < at("RotationRecorded") && at("RotationRecorded") < at("RotationObserved"));
    world.assert_all_ends("rotated");
}

#[test]
fn where_two_users_take_turns_the_second_rotation_begins_once_the_first_is_done() {
    let (world, id) = ended(2);
    let grant = tick_until_rotated(&world, id, 600);
    assert_eq!((grant.due_at(), grant.rotations[0].done, n_rotated(&world, id)), (None, 2, 2));
    let done = world.secrets.done();
    assert!(done[0].token != done[1].token && done[1].began_at > done[0].began_at);
    world.assert_all_ends("rotated twice");
}

#[test]
fn a_rotator_that_fails_for_ever_holds_up_no_removal_and_is_told_for_ever() {
    let (world, id) = using(1);
    world.secrets.remove(SECRET);
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    world.release("bot ask run-1", other).unwrap().unwrap();
    world.clock.advance(TERM_S + 5);
    for _ in 0..400 {
        let report = world.tick().unwrap().unwrap();
        assert!(report.good, "a secret that is gone makes no pass a bad one");
        world.clock.advance(60);
    }
    for id in [id, other] {
        let grant = world.grant(id);
        let State::Ended { verified_at, .. } = &grant.state else { panic!("{:?}", grant.state) };
        let one = &grant.rotations[0];
        let told = String::from(one.last_problem.clone().unwrap());
        assert!(told.contains("no such secret"), "{told}");
        assert!(grant.drop_at().is_none() && grant.due_at().is_some(), "never dropped, never off the list");
        // Retried for ever, at least hourly and with less than a minute's haste.
        assert!(grant.due_at().unwrap() <= world.clock.now().plus(3_600));
        let hours = world.clock.now().seconds_since(*verified_at) / 3_600;
        let looks = u64::from(one.troubles);
        assert!((hours..=hours + 15).contains(&looks), "{looks} looks in {hours} h");
    }
    let due = [world.grant(id).due_at(), world.grant(other).due_at()];
    assert_ne!(due[0], due[1], "what failed together does not come back together");
    // Set right, it is done, and nothing is forgotten.
    world.secrets.add(SECRET);
    assert_eq!(tick_until_rotated(&world, id, 9_000).due_at(), None);
    world.assert_all_ends("a secret that came back");
}

#[test]
fn a_pass_tells_how_many_were_rotated_how_many_fail_and_since_when() {
    let (world, id) = ended(1);
    world.secrets.set_up(SECRET, false);
    let failed = world.tick().unwrap().unwrap();
    assert_eq!((failed.n_rotated, failed.n_unrotated, failed.n_failed), (0, 1, 0));
    world.clock.set(world.grant(id).due_at().unwrap());
    let failed = world.tick().unwrap().unwrap();
    let State::Ended { verified_at, .. } = world.grant(id).state else { panic!() };
    assert_eq!(failed.oldest_rotation_s, Some(world.clock.now().seconds_since(verified_at)));
    assert_eq!(failed.oldest_overdue_s, 0, "no end is overdue");
    // What nothing is known of is no zero; once every list was looked at, it is.
    assert_eq!(run(world.reaper_for(0).pass()).unwrap().unwrap().oldest_rotation_s, None);
    assert_eq!(world.tick().unwrap().unwrap().oldest_rotation_s, Some(0), "none is due");
    world.secrets.set_up(SECRET, true);
    let mut n_rotated = 0;
    for _ in 0..60 {
        n_rotated += world.tick().unwrap().unwrap().n_rotated;
        world.clock.advance(TICK_S);
    }
    assert_eq!((n_rotated, world.grant(id).due_at()), (1, None));
}

#[test]
fn a_rotation_that_was_under_way_before_the_end_does_not_count() {
    let (world, id) = using(1);
    world.clock.advance(TERM_S + 4);
    // The schedule of the secret itself: what it makes could be read before the end.
    world.secrets.rotate_elsewhere(SECRET, brevet_domain::canonical::Digest::of_bytes(b"scheduled"));
    world.clock.advance(1);
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    world.tick();
    let one = world.grant(id).rotations[0].clone();
    assert_eq!(one.done, 0);
    assert!(String::from(one.last_problem.unwrap()).contains("not complete"), "refused while it is under way");
    let grant = tick_until_rotated(&world, id, 600);
    assert_eq!((grant.rotations[0].done, n_rotated(&world, id)), (1, 1));
    assert_eq!(world.secrets.done().len(), 2);
}

#[test]
fn a_rotation_that_stopped_on_its_way_is_asked_for_again_by_the_same_name() {
    let (world, id) = ended(1);
    world.secrets.works(SECRET, false);
    world.tick();
    let asked = world.grant(id).rotations[0].asked.unwrap();
    world.clock.set(world.grant(id).due_at().unwrap());
    world.tick();
    let one = world.grant(id).rotations[0].clone();
    assert_eq!((one.asked.unwrap().token, one.attempts, one.done), (asked.token, 2, 0));
    assert!(one.last_problem.is_some());
    world.secrets.works(SECRET, true);
    assert_eq!(tick_until_rotated(&world, id, 600).rotations[0].done, 1);
    assert_eq!(n_rotated(&world, id), 1);
}

#[test]
fn what_was_replaced_twice_before_anybody_looked_is_rotated_once_more_and_not_waited_for_for_ever() {
    let (world, id) = ended(1);
    world.tick();
    for name in ["second", "third"] {
        world.clock.advance(10);
        world.secrets.rotate_elsewhere(SECRET, brevet_domain::canonical::Digest::of_bytes(name.as_bytes()));
    }
    world.clock.advance(10);
    assert_eq!(world.secrets.done().len(), 3);
    let grant = tick_until_rotated(&world, id, 900);
    assert_eq!((grant.due_at(), grant.rotations[0].done), (None, 1));
}

#[test]
fn every_single_fault_of_a_rotation_ends_with_the_secret_rotated() {
    // One fault at each port call of a tick that calls for a rotation, and of one that sees what became of it.
    let mut fired = 0;
    for looks in [0_u32, 1, 2] {
        let reach = |world: &World, id: GrantId| {
            for _ in 0..looks {
                world.tick();
                world.clock.set(world.grant(id).due_at().unwrap());
            }
        };
        let (clean, id) = ended(2);
        reach(&clean, id);
        let start = clean.faults.n_calls();
        clean.tick();
        for number in start + 1..=clean.faults.n_calls() {
            for fault in Fault::ALL {
                let (world, id) = ended(2);
                reach(&world, id);
                world.faults.plan(number, fault);
                world.tick();
                let seen = world.faults.fired();
                if seen.is_empty() {
                    continue;
                }
                assert_eq!((seen[0].number, seen[0].fault), (number, fault));
                fired += 1;
                let context = format!("look {looks}, call {number} ({}) with {fault:?}", seen[0].call);
                world.assert_invariants(&context);
                world.faults.clear();
                let grant = tick_until_rotated(&world, id, 20_000);
                assert_eq!((grant.due_at(), grant.rotations[0].done), (None, 2), "{context}");
                assert!(n_rotated(&world, id) >= 2, "{context}");
                world.assert_all_ends(&context);
            }
        }
    }
    assert!(fired > 100, "only {fired} faults fired");
}

#[test]
fn each_fault_that_a_call_to_secrets_manager_can_have_is_survived() {
    for (call, faults) in [
        ("rotate", &[Fault::AnswerLost, Fault::RequestLost, Fault::Throttled, Fault::Refused, Fault::CrashAfter][..]),
        ("rotate", &[Fault::LandsLate(5)][..]),
        ("read_version", &[Fault::AnswerLost, Fault::Throttled, Fault::Refused, Fault::CrashAfter][..]),
    ] {
        for fault in faults {
            let (world, id) = ended(1);
            world.faults.plan_next(call, *fault);
            let mut n = 0;
            while world.faults.fired().is_empty() {
                world.tick();
                world.clock.advance(TICK_S);
                n += 1;
                assert!(n < 100, "{call} never met {fault:?}");
            }
            assert_eq!((world.faults.fired()[0].call, world.faults.fired()[0].fault), (call, *fault));
            let grant = tick_until_rotated(&world, id, 9_000);
            assert_eq!((grant.due_at(), grant.rotations[0].done), (None, 1), "{call} with {fault:?}");
            // Done, and seen to be: not done twice.
            let is_done = matches!(fault, Fault::AnswerLost | Fault::CrashAfter | Fault::LandsLate(_));
            let wanted = if is_done { 1..=1 } else { 1..=2 };
            assert!(wanted.contains(&n_rotated(&world, id)), "{call} with {fault:?}: {}", n_rotated(&world, id));
        }
    }
}

#[test]
fn two_reapers_at_once_rotate_a_secret_once() {
    let mut number = 1;
    loop {
        let (world, id) = ended(1);
        let world = std::sync::Arc::new(world);
        let (start, other) = (world.faults.n_calls(), std::sync::Arc::clone(&world));
        world.faults.meanwhile(start + number, move || {
            run(other.other_reaper.pass());
        });
        world.tick();
        let raced = world.faults.n_calls() >= start + number;
        assert_eq!(world.faults.calls().iter().filter(|call| **call == "rotate").count(), 1, "before call {number}");
        assert_eq!(tick_until_rotated(&world, id, 600).rotations[0].done, 1);
        assert_eq!(n_rotated(&world, id), 1);
        if !raced {
            assert!(number > 10, "the second reaper never came in between");
            return;
        }
        number += 1;
    }
}
