//! At quorum it is decided again: votes count for what was voted on, under the bundle in force, and for nothing else.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::entitlement::Delivery;
use brevet_domain::grant::{DeniedBy, EndCause, State};
use brevet_domain::id::GrantId;

use super::world::{Rules, World, id_of, refused};
use crate::fake::run;
use crate::port::{Clock, GrantReader};

/// A request that waits for both omar and lea; omar has said yes.
fn awaited() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    with(&world, |rules| rules.count = 2);
    let id = id_of(world.submit("agent ask run-1", "key"));
    assert!(world.vote("omar approve", id, true).unwrap().is_ok());
    (world, id)
}

type Change = fn(&mut Rules);

fn with(world: &World, change: impl FnOnce(&mut Rules)) {
    change(&mut world.rules.lock().unwrap());
}

fn denied_because(world: &World, id: GrantId) -> String {
    let state = world.grant(id).state;
    let State::Denied { by: DeniedBy::Policy, reason } = state else { panic!("{state:?}") };
    reason
}

#[test]
fn what_policy_has_turned_against_meanwhile_is_denied_at_quorum() {
    let (world, id) = awaited();
    with(&world, |rules| rules.denied = Some("frozen for the holidays".to_owned()));
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert_eq!(denied_because(&world, id), "frozen for the holidays");
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert!(!decision.permits(), "nor does its decision permit it by itself");
    assert!(world.vend("agent credentials run-1", id).unwrap().is_err());
    world.assert_all_ends("against");
}

#[test]
fn who_or_what_has_left_meanwhile_is_denied_at_quorum() {
    let changes: [(&str, Change); 3] = [
        ("identity", |rules| drop(rules.registered.remove("agent"))),
        ("entitlement", |rules| rules.entitlements.clear()),
        ("sponsor", |rules| rules.registered.get_mut("agent").unwrap().owner = "lea".parse().unwrap()),
    ];
    for (what, change) in changes {
        let (world, id) = awaited();
        with(&world, change);
        world.vote("lea approve", id, true).unwrap().unwrap();
        assert!(!denied_because(&world, id).is_empty(), "{what}");
        world.assert_all_ends(what);
    }
}

#[test]
fn a_block_that_came_meanwhile_denies_at_quorum() {
    let (world, id) = awaited();
    let (by, at) = ("dana".parse().unwrap(), world.clock.now());
    let scope = BlockScope::Identity("agent".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at });
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(denied_because(&world, id).contains("a block on"), "{}", denied_because(&world, id));
}

#[test]
fn a_changed_plan_voids_the_votes_and_can_be_voted_on_anew() {
    let (world, id) = awaited();
    let before = world.grant(id).decision_digest;
    with(&world, |rules| {
        rules.entitlements[0].delivery =
            Delivery::Session { target: "elsewhere".parse().unwrap(), credential_s: 900, iam_allowed: false };
    });
    let (_, code) = refused(world.vote("lea approve", id, true));
    assert_eq!(code, "plan_changed");
    let grant = world.grant(id);
    let State::ApprovalAwaited { steps, .. } = &grant.state else { panic!("{:?}", grant.state) };
    assert_eq!((steps[0].approved_by.len(), steps[0].needed), (0, 2), "nobody has approved what it is now");
    assert_ne!(grant.decision_digest, before);
    // Each sees the new digest and votes again.
    for who in ["omar approve", "lea approve"] {
        world.vote(who, id, true).unwrap().unwrap();
    }
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    world.vend("agent credentials run-1", id).unwrap().unwrap();
    let vended = world.sts.vended();
    assert!(vended[0].plan.role_arn.ends_with("brevet-dev-elsewhere"), "{}", vended[0].plan.role_arn);
    world.clock.advance(1_000);
    world.tick();
    assert!(!world.can_act(id));
}

#[test]
fn votes_of_those_who_may_not_any_more_count_for_nothing() {
    let (world, id) = awaited();
    with(&world, |rules| rules.approvers = vec!["lea"]);
    let (_, code) = refused(world.vote("lea approve", id, true));
    assert_eq!(code, "plan_changed", "omar may not approve it any more");
}

#[test]
fn what_needs_fewer_people_by_now_has_enough_of_them() {
    let (world, id) = awaited();
    with(&world, |rules| rules.count = 1);
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}

#[test]
fn a_changed_plan_does_not_put_off_the_time_to_approve() {
    let (world, id) = awaited();
    let due = |world: &World| {
        let state = world.grant(id).state;
        let State::ApprovalAwaited { deadline, .. } = state else { panic!("{state:?}") };
        deadline
    };
    let before = due(&world);
    world.clock.advance(300);
    world.tick();
    with(&world, |rules| rules.approvers = vec!["lea"]);
    refused(world.vote("lea approve", id, true));
    assert_eq!(due(&world), before);
}
