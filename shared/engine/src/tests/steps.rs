//! Approval in steps: each vote counts in the step that is open, and what was counted is counted again by whoever acts on it.

use std::collections::BTreeSet;

use brevet_domain::decision::Step;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;

use super::world::{World, id_of, refused};
use crate::fake::run;
use crate::port::GrantReader;
use crate::refusal::RefusalKind;

fn step(name: &str, who: &[&str], mfa: bool) -> Step {
    let approvers: BTreeSet<_> = who.iter().map(|who| who.parse().unwrap()).collect();
    Step { name: name.parse().unwrap(), count: 1, approvers, mfa, auth_within_s: None }
}

/// Lea first; then omar, who has to show two factors.
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
fn a_later_step_is_voted_on_only_once_the_earlier_has_its_people() {
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
fn a_vote_without_the_second_factor_that_its_step_wants_is_refused_and_not_counted() {
    let (world, id) = two_steps();
    world.vote("lea approve", id, true).unwrap().unwrap();
    assert_eq!(refused(world.vote("omar approve", id, true)), (RefusalKind::Forbidden, "mfa_needed".to_owned()));
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert_eq!(decision.votes.len(), 1);
    world.vote("omar approve mfa", id, true).unwrap().unwrap();
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert!(
        decision.permits() && decision.votes[1].proof.auth().is_some_and(|auth| auth.mfa),
        "what was shown is kept with the vote"
    );
}

#[test]
fn a_refusal_needs_neither_its_turn_nor_a_second_factor() {
    let (world, id) = two_steps();
    world.vote("omar approve", id, false).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Denied { .. }));
}

#[test]
fn a_second_factor_that_is_asked_for_since_voids_the_votes_that_lack_it() {
    let (world, id) = two_steps();
    world.vote("lea approve", id, true).unwrap().unwrap();
    world.rules.lock().unwrap().steps = Some(vec![step("team", &["lea"], true), step("security", &["omar"], true)]);
    assert_eq!(refused(world.vote("omar approve mfa", id, true)).1, "plan_changed");
    for who in ["lea approve mfa", "omar approve mfa"] {
        world.vote(who, id, true).unwrap().unwrap();
    }
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}

#[test]
fn nobody_takes_the_step_in_which_they_are_not_needed() {
    let (world, id) = awaited(vec![step("team", &["lea", "omar"], false), step("security", &["omar"], false)]);
    assert_eq!(refused(world.vote("omar approve", id, true)).1, "needed_later");
    world.vote("lea approve", id, true).unwrap().unwrap();
    world.vote("omar approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
}
