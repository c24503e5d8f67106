//! Delegation: a grant on a human's behalf requires a delegation that the human stored before, and ends with it.

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::delegation::{Delegation, Scope};
use brevet_domain::duties::Duties;
use brevet_domain::grant::{DeniedBy, EndCause, State};
use brevet_domain::id::GrantId;
use brevet_domain::identity::ProofSummary;
use brevet_domain::request::Ask;
use brevet_domain::time::{Term, Timestamp};

use super::world::{TERM_S, World, ask, ask_for, id_of, people, proof, publish, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, GrantReader};
use crate::reap::FoundBy;
use crate::refusal::Refusal;

fn given(world: &World, entitlements: &[&str], for_s: u32) -> Scope {
    Scope::Given {
        entitlements: entitlements.iter().map(|name| name.parse().unwrap()).collect(),
        max_term_s: None,
        until: world.clock.now().plus(for_s),
    }
}

fn delegate(world: &World, caller: &str, to: &str, scope: Scope) -> Option<Result<Delegation, Refusal>> {
    run(world.decider.delegate(&proof(caller), &to.parse().unwrap(), scope, world.clock.now()))
}

fn for_lea(ask: Ask) -> Ask {
    Ask { on_behalf_of: Some("lea".parse().unwrap()), ..ask }
}

/// A world in which lea lets `bot` deploy for a day.
fn delegated() -> World {
    let world = World::new();
    world.tick();
    let scope = given(&world, &["deploy"], 86_400);
    delegate(&world, "lea approve", "bot", scope).unwrap().unwrap();
    world
}

fn submit(world: &World, key: &str) -> GrantId {
    id_of(world.submit_ask("bot ask run-1", key, for_lea(ask())))
}

fn denied(world: &World, id: GrantId) -> String {
    let state = world.grant(id).state;
    let State::Denied { reason, by: DeniedBy::Policy } = state else { panic!("{state:?}") };
    reason
}

fn active() -> (World, GrantId) {
    let world = delegated();
    let id = submit(&world, "key");
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    (world, id)
}

#[test]
fn request_on_behalf_requires_a_stored_delegation_and_the_grant_names_both() {
    let world = World::new();
    world.tick();
    let without = submit(&world, "without");
    assert!(denied(&world, without).contains("must store a delegation first"));
    assert_eq!(world.grant(without).on_behalf_of, None, "the request's claim alone counts for nothing");
    let (world, id) = active();
    let given = run(world.decider.delegations(&proof("lea approve"), world.clock.now())).unwrap().unwrap();
    let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
    assert_eq!(decision.terms.delegation, Some(given[0].named().unwrap()));
    let grant = world.grant(id);
    assert_eq!((grant.identity.as_str(), grant.on_behalf_of.as_ref().unwrap().as_str()), ("bot", "lea"));
    let detail = &world.store.snapshot().evidence_of(id)[0].body.detail;
    assert_eq!(detail["delegation"]["by"], "lea");
    assert_eq!(detail["identity"], "bot");
    let plan = &world.sts.vended()[0].plan;
    assert_eq!(plan.tags["brevet:on-behalf-of"], "lea");
    assert_eq!(plan.source_identity, "bot", "the session stays the bot's");
    let shown = run(world.intake.show(&proof("lea ask"), id, world.clock.now())).unwrap();
    assert!(shown.is_ok(), "lea may read a grant on her behalf");
    world.release("lea ask", id).unwrap().unwrap();
    world.assert_all_ends("delegated");
}

#[test]
fn request_on_behalf_is_denied_outside_the_delegation() {
    let world = delegated();
    let ask_as = |caller: &str, key: &str, ask: Ask| denied(&world, id_of(world.submit_ask(caller, key, ask)));
    assert!(ask_as("bot ask run-1", "other", for_lea(ask_for("batch"))).contains("does not cover `batch`"));
    assert!(ask_as("ci ask run-1", "other", for_lea(ask())).contains("has delegated nothing to `ci`"));
    let scope = Scope::Given {
        entitlements: ["deploy".parse().unwrap()].into(),
        max_term_s: Some(Term::SHORTEST),
        until: world.clock.now().plus(3_600),
    };
    delegate(&world, "lea approve", "bot", scope).unwrap().unwrap();
    assert!(ask_as("bot ask run-1", "long", for_lea(ask())).contains("terms of at most 60 s"));
    let scope = given(&world, &["deploy"], TERM_S + 59);
    delegate(&world, "lea approve", "bot", scope).unwrap().unwrap();
    assert!(ask_as("bot ask run-1", "outlasts", for_lea(ask())).contains("the grant could last longer"));
    world.clock.advance(TERM_S + 59);
    assert!(ask_as("bot ask run-1", "over", for_lea(ask())).contains("ended at"));
}

#[test]
fn grant_never_outlasts_its_delegation_however_late_it_starts() {
    let world = World::new();
    world.tick();
    let until = world.clock.now().plus(TERM_S + 100);
    let scope = given(&world, &["deploy"], TERM_S + 100);
    delegate(&world, "lea approve", "bot", scope).unwrap().unwrap();
    let id = submit(&world, "key");
    let State::Approved { start_by, .. } = world.grant(id).state else { panic!() };
    assert_eq!(start_by.plus(TERM_S), until, "the time to start is cut");
    world.clock.advance(99);
    world.tick();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let State::Active { deadline, .. } = world.grant(id).state else { panic!() };
    assert!(deadline <= until);
    world.assert_all_ends("cut");
}

#[test]
fn delegation_is_accepted_only_from_a_human_to_a_non_human() {
    let world = World::new();
    let scope = || given(&world, &["deploy"], 600);
    assert_eq!(refused(delegate(&world, "lea ask", "bot", scope())).1, "token_audience", "intake sees such a token");
    assert_eq!(refused(delegate(&world, "agent approve", "bot", scope())).1, "delegator_not_human");
    assert_eq!(refused(delegate(&world, "lea approve", "omar", scope())).1, "delegate_unknown");
    assert_eq!(refused(delegate(&world, "lea approve", "nobody", scope())).1, "delegate_unknown");
    assert_eq!(refused(delegate(&world, "lea approve", "bot", given(&world, &[], 600))).1, "invalid_delegation");
    assert_eq!(refused(delegate(&world, "lea approve", "bot", Scope::Ended)).1, "delegation_not_found");
    assert!(!world.faults.calls().contains(&"delegate"), "nothing was stored");
}

#[test]
fn delegation_change_is_a_version_that_names_the_previous_one() {
    let world = delegated();
    let list = || run(world.decider.delegations(&proof("lea approve"), world.clock.now())).unwrap().unwrap();
    let first = list().remove(0);
    assert_eq!(first.version, 1);
    assert!(matches!(&first.proof, ProofSummary::Token { subject, .. } if subject == "lea"), "{:?}", first.proof);
    let again = delegate(&world, "lea approve", "bot", first.scope.clone()).unwrap().unwrap();
    assert_eq!(again, first, "an unchanged delegation is not stored again");
    let second = delegate(&world, "lea approve", "bot", Scope::Ended).unwrap().unwrap();
    assert_eq!((second.version, second.prev), (2, first.digest().unwrap()));
    assert_eq!(list(), [second]);
    let omars = run(world.decider.delegations(&proof("omar approve"), world.clock.now())).unwrap().unwrap();
    assert_eq!(omars, [], "each human sees only their own");
}

#[test]
fn ended_delegation_ends_exactly_the_grants_that_rely_on_it() {
    let (world, id) = active();
    let own = id_of(world.submit_ask("bot ask run-1", "own", ask()));
    let waiting = submit(&world, "not started");
    world.vend("bot credentials run-1", own).unwrap().unwrap();
    delegate(&world, "lea approve", "bot", Scope::Ended).unwrap().unwrap();
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked", "at once");
    assert!(denied(&world, submit(&world, "later")).contains("must store a delegation first"));
    world.tick();
    assert!(matches!(&world.grant(id).state, State::Revoking(at) if at.cause == EndCause::Revoked));
    assert!(!world.can_act(id));
    let State::Withdrawn { cause, by, .. } = world.grant(waiting).state else { panic!() };
    assert_eq!((cause, by.unwrap().as_str()), (EndCause::Revoked, "lea"));
    assert!(world.can_act(own), "the bot keeps the grant of its own");
    world.assert_all_ends("ended");
}

#[test]
fn narrowed_delegation_ends_the_grants_it_no_longer_covers() {
    let (world, id) = active();
    let ends = |scope: Scope| {
        delegate(&world, "lea approve", "bot", scope).unwrap().unwrap();
        run(world.store.blocks(&[BlockScope::Grant(id)])).unwrap().unwrap().len()
    };
    assert_eq!(ends(given(&world, &["deploy", "batch"], 3_600)), 0, "a wider scope ends nothing");
    assert_eq!(ends(given(&world, &["deploy"], TERM_S - 1)), 1, "the delegation ends before the grant would");
    world.tick();
    assert!(!world.can_act(id));
    world.assert_all_ends("narrowed");
}

#[test]
fn grant_on_behalf_ends_when_the_human_is_blocked_or_leaves() {
    let (world, id) = active();
    let (by, at) = ("dana".parse().unwrap(), world.clock.now());
    let scope = BlockScope::Identity("lea".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at });
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    assert!(denied(&world, submit(&world, "blocked")).contains("a block on `identity/lea`"));
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(matches!(&world.grant(id).state, State::Revoking(at) if at.cause == EndCause::Killed));

    let (world, id) = active();
    let mut people = people();
    people.remove("lea").unwrap();
    publish(&world.store, &people);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "left_catalogue");
    world.tick();
    assert!(matches!(&world.grant(id).state, State::Revoking(at) if at.cause == EndCause::Leaver));
    world.assert_all_ends("lea left");
}

#[test]
fn conflicting_grants_on_the_same_behalf_deny_a_request() {
    let world = delegated();
    let scope = given(&world, &["sync"], 86_400);
    delegate(&world, "lea approve", "ci", scope).unwrap().unwrap();
    let conflicts = [("deploy".parse().unwrap(), 0)].into();
    world.rules.lock().unwrap().duties = Duties { conflicts, ..Duties::default() };
    let deploys = id_of(world.submit_ask("bot ask run-1", "deploy", for_lea(ask())));
    assert!(matches!(world.grant(deploys).state, State::Approved { .. }));
    // `ci` has another sponsor, so it may hold the entitlement for itself.
    let own = id_of(world.submit_ask("ci ask run-1", "own", ask_for("sync")));
    assert!(matches!(world.grant(own).state, State::Approved { .. }));
    let for_her = id_of(world.submit_ask("ci ask run-1", "for her", for_lea(ask_for("sync"))));
    assert!(denied(&world, for_her).contains("the entitlement conflicts with `deploy`, which `bot`"));
    world.assert_all_ends("duties");
}

/// A world in which lea lets `agent` deploy with approval, and a request of the agent that awaits approval.
fn awaited() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let scope = given(&world, &["deploy"], 86_400);
    delegate(&world, "lea approve", "agent", scope).unwrap().unwrap();
    let id = id_of(world.submit_ask("agent ask run-1", "key", for_lea(ask())));
    (world, id)
}

#[test]
fn invariant_11_human_cannot_approve_a_request_on_their_behalf() {
    let (world, id) = awaited();
    assert_eq!(refused(world.vote("lea approve", id, true)).1, "approver_is_requester");
    world.vote("omar approve", id, true).unwrap().unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    let confirmed = &world.store.snapshot().evidence_of(id)[1].body.detail["with"]["delegation"];
    assert_eq!(confirmed["version"], 1, "the evidence names the delegation at quorum");
}

#[test]
fn quorum_denies_when_the_delegation_has_ended() {
    let (world, id) = awaited();
    let ended = delegate(&world, "lea approve", "agent", Scope::Ended).unwrap().unwrap();
    assert_eq!(ended.version, 2);
    world.vote("omar approve", id, true).unwrap().unwrap();
    assert!(denied(&world, id).contains("must store a delegation first"));
    world.assert_all_ends("ended before");
}

#[test]
fn delegation_that_ends_during_a_decision_leaves_no_live_grant() {
    // The delegation ends right before each port call of the request and of the vote in turn.
    type Story = fn(&World) -> Option<GrantId>;
    let stories: [(&str, &str, Story); 2] = [
        ("bot", "a request", |world| {
            world.submit_ask("bot ask run-1", "key", for_lea(ask())).map(|answer| answer.unwrap().grant.unwrap().id)
        }),
        ("agent", "a vote", |world| {
            let id = id_of(world.submit_ask("agent ask run-1", "key", for_lea(ask())));
            let _ = world.vote("omar approve", id, true);
            Some(id)
        }),
    ];
    for (to, name, story) in stories {
        let mut number = 1;
        loop {
            let world = Arc::new(World::new());
            world.tick();
            let scope = given(&world, &["deploy"], 86_400);
            delegate(&world, "lea approve", to, scope).unwrap().unwrap();
            let (start, other) = (world.faults.n_calls(), Arc::clone(&world));
            world.faults.meanwhile(start + number, move || {
                delegate(&other, "lea approve", to, Scope::Ended).unwrap().unwrap();
            });
            let id = story(&world).unwrap();
            if world.faults.n_calls() < start + number {
                assert!(number > 8, "{name}: the delegation never ended during the story");
                break;
            }
            world.tick();
            let state = world.grant(id).state;
            assert!(state.is_terminal(), "{name}, ended before call {number}: {state:?}");
            world.assert_invariants(name);
            number += 1;
        }
    }
}

#[test]
fn ended_delegation_leaves_no_access_under_any_single_fault() {
    fn story(world: &World, until: Timestamp) -> Option<GrantId> {
        world.tick();
        let scope = Scope::Given { entitlements: ["deploy".parse().unwrap()].into(), max_term_s: None, until };
        let given = (0..3).any(|_| matches!(delegate(world, "lea approve", "bot", scope.clone()), Some(Ok(_))));
        let id = (0..3).find_map(|_| {
            let answer = world.submit_ask("bot ask run-1", "key", for_lea(ask()))?;
            answer.ok()?.grant.map(|grant| grant.id)
        })?;
        assert!(given, "three tries were not enough");
        (0..3).any(|_| matches!(world.vend("bot credentials run-1", id), Some(Ok(_))));
        let ended = (0..3).any(|_| matches!(delegate(world, "lea approve", "bot", Scope::Ended), Some(Ok(_))));
        assert!(ended, "three tries were not enough");
        Some(id)
    }
    let clean = World::new();
    story(&clean, clean.clock.now().plus(86_400)).unwrap();
    let n_calls = clean.faults.n_calls();
    let mut fired = 0_u64;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("call {number} with {fault:?}");
            let world = World::new();
            let until = world.clock.now().plus(86_400);
            world.faults.plan(number, fault);
            let id = story(&world, until);
            fired += u64::try_from(world.faults.fired().len()).unwrap();
            world.faults.clear();
            world.tick();
            if let Some(id) = id {
                assert!(!world.can_act(id), "{context}: its delegation has ended");
            }
            world.assert_all_ends(&context);
        }
    }
    assert!(fired >= n_calls * 6, "only {fired} faults fired at {n_calls} calls");
}
