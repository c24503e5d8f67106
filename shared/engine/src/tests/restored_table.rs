//! A table that was restored to an older state: the reaper ends its grants, and nothing is issued until an operator
//! confirms it.

use brevet_domain::grant::{EndCause, State};

use super::attachments::{state, submit_for};
use super::world::{SKEW_S, TICK_S, World, active, approved, id_of, refused};
use crate::fake::{Fault, Snapshot};
use crate::port::Clock;
use crate::refusal::RefusalKind;

fn restored(world: &World, backup: Snapshot) {
    world.store.restore(backup);
}

/// Ticks for a little more than an hour, past the life of all earlier credentials.
fn tick_past_earlier_credentials(world: &World) {
    for _ in 0..4_000 / TICK_S {
        world.clock.advance(TICK_S);
        world.tick();
    }
}

#[test]
fn restored_table_issues_nothing_until_it_is_confirmed() {
    let (world, session) = approved();
    let batch = submit_for(&world, "other", "batch").unwrap();
    world.tick();
    restored(&world, world.store.snapshot());
    // The stored heartbeat is recent: only the unconfirmed table stops issuing.
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
    assert!(world.can_act(new), "a request after the confirmation is issued");
}

#[test]
fn restored_table_records_no_heartbeat_and_ends_its_grants() {
    let (world, id) = active();
    restored(&world, world.store.snapshot());
    let before = world.store.peek(|held| held.reaper_health());
    world.release("bot ask run-1", id);
    for _ in 0..4 {
        let report = world.tick().unwrap().unwrap();
        assert!(!report.good, "{report:?}");
        world.clock.advance(TICK_S);
    }
    assert_eq!(world.store.peek(|held| held.reaper_health()), before);
    assert_eq!(state(&world, id), "Ended");
    world.store.confirm(world.clock.now());
    assert!(world.tick().unwrap().unwrap().good);
}

#[test]
fn invariant_14_decision_used_before_a_restore_is_not_used_again() {
    let (world, id) = approved();
    let backup = world.store.snapshot();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.clock.advance(60);
    restored(&world, backup);
    assert_eq!(state(&world, id), "Approved", "the older table says Approved");
    world.store.confirm(world.clock.now());
    world.tick();
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Over, "grant_over"));
    assert_eq!(world.sts.vended().len(), 1);
}

#[test]
fn grant_decided_before_a_restore_is_refused_before_the_reaper_runs() {
    let (world, id) = approved();
    restored(&world, world.store.snapshot());
    // Clocks may differ by the skew: a decision this close to the confirmation may have been made before it.
    world.store.confirm(world.clock.now().minus(SKEW_S - 1));
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Over, "decided_before_restore"));
    world.store.confirm(world.clock.now().minus(SKEW_S));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
}

#[test]
fn confirmed_restored_table_ends_every_restored_grant() {
    let (world, session) = active();
    let batch = submit_for(&world, "other", "batch").unwrap();
    world.activate();
    restored(&world, world.store.snapshot());
    world.clock.advance(TICK_S);
    world.tick();
    assert_eq!((state(&world, session), state(&world, batch)), ("Active", "Active"), "the table is not confirmed yet");
    world.store.confirm(world.clock.now());
    world.tick();
    for id in [session, batch] {
        let State::Revoking(revoking) = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
        assert_eq!(revoking.cause, EndCause::Drift);
    }
    tick_past_earlier_credentials(&world);
    world.assert_all_ends("restored and confirmed");
}

#[test]
fn lost_session_is_denied_once_the_table_is_confirmed_and_new_ones_work() {
    let (world, lost) = active();
    world.store.restore(Snapshot::default());
    super::world::publish(&world.store, &super::world::people());
    world.clock.advance(TICK_S);
    world.tick();
    let can_act = |world: &World| {
        let live = world.sts.live(&world.roles, &world.deployment.deny_policy_name());
        live.iter().any(|session| session.plan.session_name == world.deployment.session_name(lost))
    };
    assert!(can_act(&world), "before the confirmation no record denies the session");
    world.store.confirm(world.clock.now());
    world.tick();
    assert!(!can_act(&world), "the session was issued before the confirmation");
    world.clock.advance(SKEW_S + 2);
    let new = id_of(world.submit("bot ask run-1", "new"));
    world.vend("bot credentials run-1", new).unwrap().unwrap();
    world.tick();
    assert!(world.can_act(new));
    tick_past_earlier_credentials(&world);
    assert_eq!(state(&world, new), "Ended");
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    assert_eq!(
        world.roles.standing(&role, &world.deployment.deny_policy_name()),
        None,
        "the deny is removed in the end"
    );
}

#[test]
fn unreadable_table_id_or_confirmation_stops_issuing() {
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
