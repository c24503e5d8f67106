//! Approval in steps: a vote counts only in the open step, and issue counts the stored votes again before it acts.

use std::collections::BTreeSet;

use brevet_domain::decision::Step;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;

use super::world::{World, id_of, refused};
use crate::fake::run;
use crate::port::GrantReader;
use crate::refusal::RefusalKind;

fn step(name: &str, approvers: &[&str], mfa: bool) -> Step {
    let approvers: BTreeSet<_> = approvers.iter().map(|name| name.parse().unwrap()).collect();
    Step { name: name.parse().unwrap(), count: 1, approvers, mfa, auth_within_s: None }
}

/// A request of the agent that needs approval in `steps`.
fn awaited(steps: Vec<Step>) -> (World, GrantId) {
    let world = World::new();
    world.tick();
    world.rules.lock().unwrap().steps = Some(steps);
    let id = id_of(world.submit("agent ask run-1", "key"));
    (world, id)
}

fn two_steps() -> (World, GrantId) {
    awaited(vec![step("team", &["lea"], false), step("security", &["omar"], true)])
}

#[test]
fn later_step_opens_once_the_earlier_is_met() {
    let (world, id) = two_steps();
    assert_eq!(refused(world.vote("omar approve mfa", id, true)), (RefusalKind::Conflict, "step_not_open".to_owned()));
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert!(matches!(&world.grant(id).state, State::ApprovalAwaited { steps, .. } if steps[0].is_met()));
    assert!(world.vend("agent credentials run-1", id).unwrap().is_err(), "one step is not enough");
    world.vote("omar approve mfa", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    world.vend("agent credentials run-1", id).unwrap().unwrap();
    world.assert_all_ends("two steps");
}

#[test]
fn vote_without_the_required_second_factor_is_refused_and_not_counted() {
    let (world, id) = two_steps();
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert_eq!(refused(world.vote("omar approve", id, true)), (RefusalKind::Forbidden, "mfa_needed".to_owned()));
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert_eq!(decision.votes.len(), 1);
    world.vote("omar approve mfa", id, true).unwrap().unwrap();
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert!(
        decision.permits() && decision.votes[1].proof.auth().is_some_and(|auth| auth.mfa),
        "the vote keeps the factors that were shown"
    );
}

#[test]
fn rejection_needs_neither_an_open_step_nor_a_second_factor() {
    let (world, id) = two_steps();
    world.vote("omar approve", id, false).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Denied { .. }));
}

#[test]
fn newly_required_second_factor_voids_the_votes_without_it() {
    let (world, id) = two_steps();
    world.vote("lea approve", id, true).unwrap().unwrap();
    world.rules.lock().unwrap().steps = Some(vec![step("team", &["lea"], true), step("security", &["omar"], true)]);
    assert_eq!(refused(world.vote("omar approve mfa", id, true)).1, "plan_changed");
    for approver in ["lea approve mfa", "omar approve mfa"] {
        world.vote(approver, id, true).unwrap().unwrap();
    }
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}

#[test]
fn approver_needed_in_a_later_step_cannot_vote_in_an_earlier_one() {
    let (world, id) = awaited(vec![step("team", &["lea", "omar"], false), step("security", &["omar"], false)]);
    assert_eq!(refused(world.vote("omar approve", id, true)).1, "needed_later");
    world.vote("lea approve", id, true).unwrap().unwrap();
    world.vote("omar approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}
