//! Every port call of every use case with every fault it can have: one fault per run, followed by the invariants.

use super::break_glass;
use super::schedules::hourly;
use super::world::{TERM_S, TICK_S, World, ask_for, id_of, proof};
use crate::fake::{Fault, run};
use crate::port::Clock;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::review::Review;

/// A sequence of use cases. Each step is retried as a client would, so that one fault does not stop the story.
type Story = fn(&World);

fn submit(world: &World, caller: &str) -> Option<GrantId> {
    submit_for(world, caller, "deploy")
}

fn submit_for(world: &World, caller: &str, entitlement: &str) -> Option<GrantId> {
    for _ in 0..3 {
        let answer = run(world.intake.submit(&proof(caller), entitlement, ask_for(entitlement), world.clock.now()));
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

/// A pipeline requests, uses the grant, and its term runs out.
fn runs_to_its_deadline(world: &World) {
    world.tick();
    let Some(id) = submit(world, "bot ask run-1") else { return };
    vend(world, id);
    world.clock.advance(60);
    vend(world, id);
    world.clock.advance(250);
    world.tick_for(4 * TICK_S);
}

/// A pipeline requests, uses the grant and releases it early.
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

/// An agent requests, a person approves, and the grant is used.
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

/// A schedule requests an attachment, and its term runs out.
fn is_asked_for_by_the_schedule(world: &World) {
    world.declare(hourly("night", "bot", "batch"));
    world.next_hour();
    for _ in 0..4 {
        world.run_schedules();
        world.activate();
        world.tick();
        world.clock.advance(TICK_S);
    }
    // After any single fault, the next tick decides the window, exactly once.
    assert_eq!(world.store.snapshot().grants().count(), 1);
    world.clock.advance(TERM_S.saturating_sub(4 * TICK_S));
    world.tick_for(4 * TICK_S);
}

/// A person uses break-glass and releases it, and the reviewer reviews it.
fn is_broken_and_reviewed(world: &World) {
    break_glass::prepare(world);
    let Some(id) = submit_for(world, "omar ask run-1", "rescue") else { return };
    for _ in 0..3 {
        if let Some(Ok(_)) = world.vend("omar credentials run-1", id) {
            break;
        }
        world.clock.advance(1);
    }
    for _ in 0..3 {
        if let Some(Ok(_)) = world.release("omar ask run-1", id) {
            break;
        }
    }
    world.tick_for(6 * TICK_S);
    // After any fault, the use still awaits its review, and its requester is denied ordinary grants.
    let grant = world.grant(id);
    let is_listed = || world.store.snapshot().review_awaited(&grant.identity, id);
    assert!(is_listed());
    if grant.awaits_review()
        && let Some(ordinary) = submit(world, "omar ask run-1")
    {
        assert!(matches!(world.grant(ordinary).state, State::Denied { .. }));
    }
    for _ in 0..3 {
        if let Some(Ok(_)) = break_glass::reviewed(world, "lea approve", id) {
            break;
        }
        world.clock.advance(1);
    }
    // The review and the removal of the entry that blocks the requester are one change.
    assert_eq!(world.grant(id).review == Some(Review::Awaited), is_listed());
}

/// Runs `story` once for each port call and fault. Returns the number of faults that fired.
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
    // Six kinds of fault apply to every call. If fewer fired, the runs would prove nothing.
    assert!(
        fired >= usize::try_from(n_calls.saturating_mul(6)).unwrap(),
        "{name}: only {fired} faults fired at {n_calls} calls"
    );
    println!("{name}: {n_calls} port calls, {fired} single-fault runs");
    fired
}

#[test]
fn grant_to_its_deadline_ends_under_any_single_fault() {
    play("runs to its deadline", runs_to_its_deadline);
}

#[test]
fn grant_released_early_ends_under_any_single_fault() {
    play("is released early", is_released_early);
}

#[test]
fn approved_grant_ends_under_any_single_fault() {
    play("is approved by a person", is_approved_by_a_person);
}

#[test]
fn scheduled_grant_ends_under_any_single_fault() {
    play("is asked for by the schedule", is_asked_for_by_the_schedule);
}

#[test]
fn break_glass_use_and_review_hold_under_any_single_fault() {
    play("is broken and reviewed", is_broken_and_reviewed);
}

#[test]
fn concurrent_reapers_end_a_grant_once() {
    // The second reaper makes its whole pass right before each port call of the first.
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
            assert!(number > 10, "the second reaper never ran during the first pass");
            return;
        }
        number += 1;
    }
}
