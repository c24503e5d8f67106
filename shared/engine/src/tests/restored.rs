//! A table that was put back to an older state: it ends what it knows, and issues nothing until somebody confirms it.

use brevet_domain::grant::{EndCause, State};

use super::attaching::{state, submit_for};
use super::world::{SKEW_S, TICK_S, World, active, approved, id_of, refused};
use crate::fake::{Fault, Snapshot};
use crate::port::Clock;
use crate::refusal::RefusalKind;

fn restored(world: &World, backup: Snapshot) {
    world.store.restore(backup);
}

/// An hour, and a little more.
fn until_nothing_issued_before_can_live(world: &World) {
    for _ in 0..4_000 / TICK_S {
        world.clock.advance(TICK_S);
        world.tick();
    }
}

#[test]
fn over_a_restored_table_nothing_is_issued_until_it_is_confirmed() {
    let (world, session) = approved();
    let batch = submit_for(&world, "other", "batch").unwrap();
    world.tick();
    restored(&world, world.store.snapshot());
    // Its heart is as fresh as it was: what stops this is the table alone.
    let (kind, code) = refused(world.vend("bot credentials run-1", session));
    assert_eq!((kind, code.as_str()), (RefusalKind::Stopped, "table_not_confirmed"));
    world.activate();
    assert_eq!((state(&world, batch), state(&world, session)), ("Approved", "Approved"));
    assert_eq!((world.sts.vended().len(), world.principals.landed().len()), (0, 0));
    world.clock.advance(TICK_S);
    world.store.confirm(world.clock.now());
    world.clock.advance(SKEW_S + 1);
    world.tick();
    let new = id_of(world.submit("bot ask run-1", "new"));
    world.vend("bot credentials run-1", new).unwrap().unwrap();
    assert!(world.can_act(new), "what is asked for from then on is issued");
}

#[test]
fn a_restored_table_keeps_no_heart_beating_and_ends_what_it_knows() {
    let (world, id) = active();
    restored(&world, world.store.snapshot());
    let before = world.store.peek(|held| held.heart());
    world.release("bot ask run-1", id);
    for _ in 0..4 {
        let report = world.tick().unwrap().unwrap();
        assert!(!report.good, "{report:?}");
        world.clock.advance(TICK_S);
    }
    assert_eq!(world.store.peek(|held| held.heart()), before);
    assert_eq!(state(&world, id), "Ended");
    world.store.confirm(world.clock.now());
    assert!(world.tick().unwrap().unwrap().good);
}

#[test]
fn invariant_14_a_decision_that_a_restore_has_forgotten_is_not_used_again() {
    let (world, id) = approved();
    let backup = world.store.snapshot();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.clock.advance(60);
    restored(&world, backup);
    assert_eq!(state(&world, id), "Approved", "by the older table");
    world.store.confirm(world.clock.now());
    world.tick();
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Over, "grant_over"));
    assert_eq!(world.sts.vended().len(), 1);
}

#[test]
fn before_the_reaper_comes_by_a_void_grant_is_refused_as_well() {
    let (world, id) = approved();
    restored(&world, world.store.snapshot());
    // Clocks may be apart: what was decided just now may have been decided before.
    world.store.confirm(world.clock.now().minus(SKEW_S - 1));
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Over, "decided_before_restore"));
    world.store.confirm(world.clock.now().minus(SKEW_S));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
}

#[test]
fn once_a_restored_table_is_confirmed_all_that_it_brought_back_ends() {
    let (world, session) = active();
    let batch = submit_for(&world, "other", "batch").unwrap();
    world.activate();
    restored(&world, world.store.snapshot());
    world.clock.advance(TICK_S);
    world.tick();
    assert_eq!((state(&world, session), state(&world, batch)), ("Active", "Active"), "nobody has confirmed it yet");
    world.store.confirm(world.clock.now());
    world.tick();
    for id in [session, batch] {
        let State::Revoking(revoking) = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
        assert_eq!(revoking.cause, EndCause::Drift);
    }
    until_nothing_issued_before_can_live(&world);
    world.assert_all_ends("restored and confirmed");
}

#[test]
fn a_session_that_the_table_has_lost_ends_once_it_is_confirmed_and_new_ones_live() {
    let (world, lost) = active();
    world.store.restore(Snapshot::default());
    super::world::publish(&world.store, &super::world::people());
    world.clock.advance(TICK_S);
    world.tick();
    let acts = |world: &World| {
        let live = world.sts.live(&world.roles, &world.deployment.deny_policy_name());
        live.iter().any(|one| one.plan.session_name == world.deployment.session_name(lost))
    };
    assert!(acts(&world), "no record says that it should not");
    world.store.confirm(world.clock.now());
    world.tick();
    assert!(!acts(&world), "it was issued before");
    world.clock.advance(SKEW_S + 2);
    let new = id_of(world.submit("bot ask run-1", "new"));
    world.vend("bot credentials run-1", new).unwrap().unwrap();
    world.tick();
    assert!(world.can_act(new));
    until_nothing_issued_before_can_live(&world);
    assert_eq!(state(&world, new), "Ended");
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    assert_eq!(world.roles.standing(&role, &world.deployment.deny_policy_name()), None, "then the deny goes too");
}

#[test]
fn a_table_that_cannot_be_told_is_not_taken_for_the_one_in_service() {
    for call in ["table", "confirmation"] {
        for fault in [Fault::Throttled, Fault::RequestLost, Fault::Refused] {
            let (world, id) = approved();
            world.faults.plan_next(call, fault);
            assert!(world.vend("bot credentials run-1", id).unwrap().is_err());
            assert_eq!((world.faults.fired().len(), world.sts.vended().len()), (1, 0), "{call}, {fault:?}");
            world.faults.plan_next(call, fault);
            assert!(!world.tick().unwrap().unwrap().good, "{call}, {fault:?}");
            assert!(world.tick().unwrap().unwrap().good);
        }
    }
}
