//! Every port call of every use case, with every fault it can have: one fault a run, and the invariants after it.

use super::scheduled::hourly;
use super::world::{TERM_S, TICK_S, World, ask, id_of, proof};
use crate::fake::{Fault, run};
use crate::port::Clock;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;

/// A story told to a world. Each step is tried again as a client would, so that one fault does not end the story.
type Story = fn(&World);

fn submit(world: &World, who: &str) -> Option<GrantId> {
    for _ in 0..3 {
        let answer = run(world.intake.submit(&proof(who), "key", ask(), world.clock.now()));
        if let Some(Ok(report)) = answer
            && let Some(grant) = report.grant
        {
            return Some(grant.id);
        }
        world.clock.advance(1);
    }
    None
}

fn vend(world: &World, id: GrantId) {
    for _ in 0..3 {
        if let Some(Ok(_)) = world.vend("bot credentials run-1", id) {
            return;
        }
        world.clock.advance(1);
    }
}

/// A pipeline asks, uses it, and its time runs out.
fn runs_to_its_deadline(world: &World) {
    world.tick();
    let Some(id) = submit(world, "bot ask run-1") else { return };
    vend(world, id);
    world.clock.advance(60);
    vend(world, id);
    world.clock.advance(250);
    world.tick_for(4 * TICK_S);
}

/// A pipeline asks, uses it, and gives it back before its time.
fn is_released_early(world: &World) {
    world.tick();
    let Some(id) = submit(world, "bot ask run-1") else { return };
    vend(world, id);
    for _ in 0..3 {
        if let Some(Ok(_)) = world.release("bot ask run-1", id) {
            break;
        }
    }
    world.tick_for(4 * TICK_S);
}

/// An agent asks, somebody approves, and it is used.
fn is_approved_by_a_person(world: &World) {
    world.tick();
    let Some(id) = submit(world, "agent ask") else { return };
    for _ in 0..3 {
        if let Some(Ok(_)) = world.vote("omar approve", id, true) {
            break;
        }
        world.clock.advance(1);
    }
    for _ in 0..3 {
        if let Some(Ok(_)) = world.vend("agent credentials", id) {
            break;
        }
        world.clock.advance(1);
    }
}

/// The schedule asks, for something that is attached, and its time runs out.
fn is_asked_for_by_the_schedule(world: &World) {
    world.declare(hourly("night", "bot", "batch"));
    world.next_hour();
    for _ in 0..4 {
        world.look();
        world.activate();
        world.tick();
        world.clock.advance(TICK_S);
    }
    // Whatever failed, the next tick made up for it: the window is decided, and once.
    assert_eq!(world.store.snapshot().grants().count(), 1);
    world.clock.advance(TERM_S.saturating_sub(4 * TICK_S));
    world.tick_for(4 * TICK_S);
}

/// Plays `story` once for each port call and fault. Answers how many faults fired.
fn play(name: &str, story: Story) -> usize {
    let clean = World::new();
    story(&clean);
    let n_calls = clean.faults.n_calls();
    clean.assert_all_ends(name);
    let mut fired = 0_usize;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("{name}: call {number} with {fault:?}");
            let world = World::new();
            world.faults.plan(number, fault);
            story(&world);
            world.assert_invariants(&context);
            let n_fired = world.faults.fired().len();
            world.assert_all_ends(&context);
            if n_fired == 0 {
                continue;
            }
            let first = world.faults.fired().into_iter().next().unwrap();
            assert_eq!((first.number, first.fault), (number, fault), "{context}: another fault fired");
            fired = fired.saturating_add(1);
        }
    }
    // Six kinds can befall every call: had fewer fired, the runs would prove nothing.
    assert!(
        fired >= usize::try_from(n_calls.saturating_mul(6)).unwrap(),
        "{name}: only {fired} faults fired at {n_calls} calls"
    );
    println!("{name}: {n_calls} port calls, {fired} single-fault runs");
    fired
}

#[test]
fn every_single_fault_of_a_grant_that_runs_to_its_deadline() {
    play("runs to its deadline", runs_to_its_deadline);
}

#[test]
fn every_single_fault_of_a_grant_that_is_released_early() {
    play("is released early", is_released_early);
}

#[test]
fn every_single_fault_of_a_grant_that_a_person_approves() {
    play("is approved by a person", is_approved_by_a_person);
}

#[test]
fn every_single_fault_of_a_grant_that_a_schedule_asks_for() {
    play("is asked for by the schedule", is_asked_for_by_the_schedule);
}

#[test]
fn two_reapers_at_once_end_a_grant_once() {
    // The second reaper makes its whole pass right before each port call of the first one's.
    let mut number = 1;
    loop {
        let world = std::sync::Arc::new(World::new());
        world.tick();
        let id = id_of(world.submit("bot ask run-1", "key"));
        vend(&world, id);
        world.release("bot ask run-1", id);
        let (start, other) = (world.faults.n_calls(), std::sync::Arc::clone(&world));
        world.faults.meanwhile(start + number, move || {
            run(other.other_reaper.pass());
        });
        world.tick();
        let raced = world.faults.n_calls() >= start + number;
        world.assert_all_ends(&format!("a second reaper before call {number} of the first"));
        assert!(matches!(world.grant(id).state, State::Ended { .. }));
        if !raced {
            assert!(number > 10, "the second reaper never came in between");
            return;
        }
        number += 1;
    }
}
