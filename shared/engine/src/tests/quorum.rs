//! At quorum the request is decided again under the bundle in force. A vote counts only for the plan that it named.

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::duties::Duties;
use brevet_domain::entitlement::Delivery;
use brevet_domain::grant::{DeniedBy, EndCause, State};
use brevet_domain::id::GrantId;
use brevet_domain::rule;

use super::world::{Rules, World, ask_for, id_of, refused};
use crate::fake::run;
use crate::port::{Clock, GrantReader, HoldingsReader};

/// A request that needs both omar and lea. Omar has approved it.
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
fn quorum_denies_what_policy_denies_by_then() {
    let (world, id) = awaited();
    with(&world, |rules| rules.denied = Some("frozen for the holidays".to_owned()));
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert_eq!(denied_because(&world, id), "frozen for the holidays");
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert!(!decision.permits(), "the stored decision alone must not permit it either");
    assert!(world.vend("agent credentials run-1", id).unwrap().is_err());
    world.assert_all_ends("against");
}

#[test]
fn quorum_denies_when_identity_entitlement_or_sponsor_has_left() {
    let changes: [(&str, Change); 3] = [
        ("identity", |rules| drop(rules.registered.remove("agent"))),
        ("entitlement", |rules| rules.entitlements.clear()),
        ("sponsor", |rules| rules.registered.get_mut("agent").unwrap().owner = "lea".parse().unwrap()),
    ];
    for (removed, change) in changes {
        let (world, id) = awaited();
        with(&world, change);
        world.vote("lea approve", id, true).unwrap().unwrap();
        assert!(!denied_because(&world, id).is_empty(), "{removed}");
        world.assert_all_ends(removed);
    }
}

#[test]
fn quorum_denies_when_a_block_was_placed() {
    let (world, id) = awaited();
    let (by, at) = ("dana".parse().unwrap(), world.clock.now());
    let scope = BlockScope::Identity("agent".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at });
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(denied_because(&world, id).contains("a block on"), "{}", denied_because(&world, id));
}

#[test]
fn changed_plan_voids_the_votes_and_can_be_voted_on_again() {
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
    assert_eq!((steps[0].approved_by.len(), steps[0].needed), (0, 2), "nobody has approved the new plan");
    assert_ne!(grant.decision_digest, before);
    // Each approver sees the new digest and votes again.
    for approver in ["omar approve", "lea approve"] {
        world.vote(approver, id, true).unwrap().unwrap();
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
fn vote_of_a_former_approver_does_not_count() {
    let (world, id) = awaited();
    with(&world, |rules| rules.approvers = vec!["lea"]);
    let (_, code) = refused(world.vote("lea approve", id, true));
    assert_eq!(code, "plan_changed", "omar's earlier vote must not count");
}

#[test]
fn quorum_is_reached_when_fewer_approvals_are_required() {
    let (world, id) = awaited();
    with(&world, |rules| rules.count = 1);
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}

#[test]
fn changed_plan_does_not_extend_the_approval_deadline() {
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

/// Sets rules under which nothing may be held beside `sync`.
fn conflicting_with_sync(rules: &mut Rules) {
    rules.duties = Duties { conflicts: [("sync".parse().unwrap(), 0)].into(), ..Duties::default() };
}

/// Like [`awaited`], with two more grants: `sync` of another bot of the same sponsor, and `batch` of the requester.
fn beside_others() -> (World, GrantId) {
    let (world, id) = awaited();
    let others = [
        world.submit_ask("bot ask run-1", "b", ask_for("sync")),
        world.submit_ask("agent ask run-1", "c", ask_for("batch")),
    ];
    for other in others {
        assert!(!world.grant(id_of(other)).state.is_terminal());
    }
    (world, id)
}

#[test]
fn quorum_denies_what_separation_of_duties_forbids_by_then() {
    let capped: Change = |rules| rules.duties = Duties { max_live: Some(1), ..Duties::default() };
    let changes: [(&str, Change); 2] = [
        ("the entitlement conflicts with `sync`, which `bot`", conflicting_with_sync),
        ("`agent` may have 1 grants at once", capped),
    ];
    for (reason, change) in changes {
        let (world, id) = beside_others();
        with(&world, change);
        world.vote("lea approve", id, true).unwrap().unwrap();
        assert!(denied_because(&world, id).contains(reason), "{}", denied_because(&world, id));
        let last = world.store.snapshot().evidence_of(id).pop().unwrap();
        assert_eq!(last.body.detail["with"]["denied_by"], serde_json::json!([rule::DUTIES]));
        // A denied grant conflicts with nothing.
        with(&world, |rules| {
            rules.duties = Duties { conflicts: [("deploy".parse().unwrap(), 0)].into(), ..Duties::default() }
        });
        let other = id_of(world.submit_ask("bot ask run-1", "later", ask_for("batch")));
        assert!(matches!(world.grant(other).state, State::Approved { .. }), "{reason}");
        world.assert_all_ends(reason);
    }
}

#[test]
fn quorum_ignores_other_grants_without_a_duties_rule() {
    let (world, id) = beside_others();
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}

#[test]
fn approved_grant_does_not_conflict_with_itself_and_is_held_once() {
    let (world, id) = awaited();
    let conflicts = [("deploy".parse().unwrap(), 600)].into();
    with(&world, |rules| rules.duties = Duties { conflicts, remember_s: 600, max_live: Some(1) });
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    let held = run(world.store.holdings(&"dana".parse().unwrap())).unwrap().unwrap().held;
    let held: Vec<_> = held.iter().map(|holding| (holding.grant, holding.remember_s)).collect();
    assert_eq!(held, [(id, 600)], "its end is remembered as long as the bundle in force says");
}

#[test]
fn last_vote_sees_a_conflicting_grant_decided_at_any_moment_of_it() {
    let mut number = 1;
    loop {
        let (world, id) = awaited();
        with(&world, conflicting_with_sync);
        let world = Arc::new(world);
        let (start, other) = (world.faults.n_calls(), Arc::clone(&world));
        world.faults.meanwhile(start + number, move || {
            let _ = id_of(other.submit_ask("bot ask run-1", "b", ask_for("sync")));
        });
        let vote = world.vote("lea approve", id, true).unwrap();
        let state = world.grant(id).state;
        if matches!(state, State::Approved { .. }) {
            let calls = world.faults.calls();
            let committed = calls.iter().skip(usize::try_from(start).unwrap()).position(|call| *call == "commit");
            assert!(
                committed.unwrap() + 1 < usize::try_from(number).unwrap(),
                "the vote missed a grant decided before call {number}"
            );
            assert!(number > 8, "the other grant was never decided during the vote");
            break;
        }
        if let Err(refusal) = vote {
            assert_eq!((refusal.code.as_ref(), refusal.retry_after_s), ("changed_meanwhile", Some(1)));
            world.vote("lea approve", id, true).unwrap().unwrap();
        }
        assert!(
            denied_because(&world, id).contains("the entitlement conflicts with `sync`"),
            "decided before call {number}"
        );
        number += 1;
    }
}
