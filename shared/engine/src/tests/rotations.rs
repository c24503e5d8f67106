//! The reaper rotates the secrets that an ended grant names, as often as the grant says. A failing rotation holds up no
//! end.

use brevet_domain::entitlement::Rotation;
use brevet_domain::grant::{Grant, State};
use brevet_domain::id::GrantId;

use super::world::{TERM_S, TICK_S, World, id_of};
use crate::fake::{Fault, run};
use crate::port::Clock;
use crate::reap::FoundBy;

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-??????";

/// A world whose grants name a secret to rotate `times` times, and an active grant.
fn using(times: u8) -> (World, GrantId) {
    let world = World::new();
    world.secrets.add(SECRET);
    world.rules.lock().unwrap().rotate = vec![Rotation { secret: SECRET.to_owned(), times }];
    world.tick();
    let id = id_of(world.submit("bot ask run-1", "key"));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    (world, id)
}

/// Like [`using`], with the grant ended and its rotation not begun.
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

/// Ticks until all rotations of the grant are done, for at most `seconds`.
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
fn secret_is_rotated_after_its_grant_ended_and_stays_due_until_that_is_read() {
    let (world, id) = using(1);
    world.tick_for(TERM_S - 30);
    assert_eq!(
        (world.secrets.done().len(), world.grant(id).rotations[0].attempts),
        (0, 0),
        "the session could still read a new value"
    );
    world.tick_for(60);
    let grant = tick_until_rotated(&world, id, 300);
    assert_eq!((grant.due_at(), grant.rotations[0].done, n_rotated(&world, id)), (None, 1, 1));
    assert!(grant.drop_at().is_some());
    let events = events(&world, id);
    let at = |event: &str| events.iter().position(|known| known == event).unwrap();
    assert!(at("DeadlineProved") < at("RotationRecorded") && at("RotationRecorded") < at("RotationObserved"));
    world.assert_all_ends("rotated");
}

#[test]
fn second_rotation_begins_once_the_first_is_done() {
    let (world, id) = ended(2);
    let grant = tick_until_rotated(&world, id, 600);
    assert_eq!((grant.due_at(), grant.rotations[0].done, n_rotated(&world, id)), (None, 2, 2));
    let done = world.secrets.done();
    assert!(done[0].token != done[1].token && done[1].began_at > done[0].began_at);
    world.assert_all_ends("rotated twice");
}

#[test]
fn failing_rotation_delays_no_removal_and_is_retried_for_ever() {
    let (world, id) = using(1);
    world.secrets.remove(SECRET);
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    world.release("bot ask run-1", other).unwrap().unwrap();
    world.clock.advance(TERM_S + 5);
    for _ in 0..400 {
        let report = world.tick().unwrap().unwrap();
        assert!(report.good, "a missing secret must not make the pass bad");
        world.clock.advance(60);
    }
    for id in [id, other] {
        let grant = world.grant(id);
        let State::Ended { verified_at, .. } = &grant.state else { panic!("{:?}", grant.state) };
        let rotation = &grant.rotations[0];
        let problem = String::from(rotation.last_problem.clone().unwrap());
        assert!(problem.contains("no such secret"), "{problem}");
        assert!(grant.drop_at().is_none() && grant.due_at().is_some(), "the grant must stay stored and due");
        // The reaper retries for ever: at least hourly, with at most 15 tries more than hours.
        assert!(grant.due_at().unwrap() <= world.clock.now().plus(3_600));
        let hours = world.clock.now().seconds_since(*verified_at) / 3_600;
        let n_tries = u64::from(rotation.troubles);
        assert!((hours..=hours + 15).contains(&n_tries), "{n_tries} tries in {hours} h");
    }
    let due = [world.grant(id).due_at(), world.grant(other).due_at()];
    assert_ne!(due[0], due[1], "rotations that failed together must not be retried together");
    // Once the secret is set up again, every rotation is done.
    world.secrets.add(SECRET);
    assert_eq!(tick_until_rotated(&world, id, 9_000).due_at(), None);
    world.assert_all_ends("a secret that came back");
}

#[test]
fn pass_reports_rotations_failures_and_the_oldest_pending_rotation() {
    let (world, id) = ended(1);
    world.secrets.set_up(SECRET, false);
    let failed = world.tick().unwrap().unwrap();
    assert_eq!((failed.n_rotated, failed.n_unrotated, failed.n_failed), (0, 1, 0));
    world.clock.set(world.grant(id).due_at().unwrap());
    let failed = world.tick().unwrap().unwrap();
    let State::Ended { verified_at, .. } = world.grant(id).state else { panic!() };
    assert_eq!(failed.oldest_rotation_s, Some(world.clock.now().seconds_since(verified_at)));
    assert_eq!(failed.oldest_overdue_s, 0, "no end is overdue");
    // An incomplete pass reports no age. A pass that has read every list reports zero.
    assert_eq!(run(world.reaper_for(0).pass()).unwrap().unwrap().oldest_rotation_s, None);
    assert_eq!(world.tick().unwrap().unwrap().oldest_rotation_s, Some(0), "no rotation is due");
    world.secrets.set_up(SECRET, true);
    let mut n_rotated = 0;
    for _ in 0..60 {
        n_rotated += world.tick().unwrap().unwrap().n_rotated;
        world.clock.advance(TICK_S);
    }
    assert_eq!((n_rotated, world.grant(id).due_at()), (1, None));
}

#[test]
fn rotation_begun_before_the_end_does_not_count() {
    let (world, id) = using(1);
    world.clock.advance(TERM_S + 4);
    // The secret's own schedule rotates it: the session could read that value before the end.
    world.secrets.rotate_elsewhere(SECRET, brevet_domain::canonical::Digest::of_bytes(b"scheduled"));
    world.clock.advance(1);
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    world.tick();
    let rotation = world.grant(id).rotations[0].clone();
    assert_eq!(rotation.done, 0);
    assert!(
        String::from(rotation.last_problem.unwrap()).contains("not complete"),
        "Secrets Manager refuses a second rotation during the first"
    );
    let grant = tick_until_rotated(&world, id, 600);
    assert_eq!((grant.rotations[0].done, n_rotated(&world, id)), (1, 1));
    assert_eq!(world.secrets.done().len(), 2);
}

#[test]
fn stalled_rotation_is_retried_with_the_same_token() {
    let (world, id) = ended(1);
    world.secrets.works(SECRET, false);
    world.tick();
    let asked = world.grant(id).rotations[0].asked.unwrap();
    world.clock.set(world.grant(id).due_at().unwrap());
    world.tick();
    let rotation = world.grant(id).rotations[0].clone();
    assert_eq!((rotation.asked.unwrap().token, rotation.attempts, rotation.done), (asked.token, 2, 0));
    assert!(rotation.last_problem.is_some());
    world.secrets.works(SECRET, true);
    assert_eq!(tick_until_rotated(&world, id, 600).rotations[0].done, 1);
    assert_eq!(n_rotated(&world, id), 1);
}

#[test]
fn rotation_is_repeated_when_its_version_was_replaced_twice_before_it_was_read() {
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
fn secret_is_rotated_under_any_single_fault() {
    // One fault at each port call of a tick that starts a rotation, and of one that reads its outcome.
    let mut fired = 0;
    for n_ticks in [0_u32, 1, 2] {
        let reach = |world: &World, id: GrantId| {
            for _ in 0..n_ticks {
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
                let hit = world.faults.fired();
                if hit.is_empty() {
                    continue;
                }
                assert_eq!((hit[0].number, hit[0].fault), (number, fault));
                fired += 1;
                let context = format!("after {n_ticks} ticks, call {number} ({}) with {fault:?}", hit[0].call);
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
fn rotation_survives_every_fault_of_a_secrets_manager_call() {
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
            // A rotation that AWS made and Brevet could read is not repeated.
            let is_done = matches!(fault, Fault::AnswerLost | Fault::CrashAfter | Fault::LandsLate(_));
            let expected = if is_done { 1..=1 } else { 1..=2 };
            assert!(expected.contains(&n_rotated(&world, id)), "{call} with {fault:?}: {}", n_rotated(&world, id));
        }
    }
}

#[test]
fn concurrent_reapers_rotate_a_secret_once() {
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
            assert!(number > 10, "the second reaper never ran during the pass");
            return;
        }
        number += 1;
    }
}
