//! A dry run says what the decision would say, and leaves nothing behind.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::decision::Outcome;
use brevet_domain::grant::EndCause;
use brevet_domain::heart::{Pulse, Stop};
use brevet_domain::plan::Preview;
use brevet_domain::rule;

use super::world::{TERM_S, TOLERANCE, World, ask, ask_for, id_of, proof};
use crate::decide::Rehearsal;
use crate::fake::{Fault, run};
use crate::port::{Clock, GrantReader};
use crate::refusal::{Refusal, RefusalKind};

fn rehearse(world: &World, token: &str, entitlement: &str) -> Result<Rehearsal, Refusal> {
    run(world.decider.rehearse(&proof(token), ask_for(entitlement), TOLERANCE, world.clock.now())).unwrap()
}

/// What a dry run reads, and nothing else.
const READS: [&str; 5] = ["blocks", "holdings", "awaited", "heart", "grant"];

#[test]
fn a_dry_run_says_what_the_decision_says_on_the_same_facts_and_writes_nothing() {
    let blocked = |world: &World| {
        let (scope, by) = (BlockScope::Identity("agent".parse().unwrap()), "omar".parse().unwrap());
        world.store.block(Block { scope, cause: EndCause::Killed, by, at: world.clock.now() });
    };
    let denied = |world: &World| world.rules.lock().unwrap().denied = Some("not today".to_owned());
    let as_it_is = |_: &World| ();
    let settings: [&dyn Fn(&World); 3] = [&as_it_is, &blocked, &denied];
    for set in settings {
        for (token, entitlement) in
            [("bot ask run-1", "deploy"), ("agent ask", "deploy"), ("omar ask", "deploy"), ("bot ask", "batch")]
        {
            let world = World::new();
            set(&world);
            let (before, n) = (format!("{:?}", world.store.snapshot()), world.faults.calls().len());
            let said = rehearse(&world, token, entitlement).unwrap();
            let calls = world.faults.calls();
            assert!(calls[n..].iter().all(|call| READS.contains(call)), "{:?}", &calls[n..]);
            assert_eq!(format!("{:?}", world.store.snapshot()), before);

            let (shown, now) = (proof(token), world.clock.now());
            let asked = world.intake.submit(&shown, "key", ask_for(entitlement), now);
            let report = run(asked).unwrap().unwrap();
            let terms = report.decision.unwrap().terms;
            assert_eq!(said.verdict.outcome, terms.outcome, "{token} {entitlement}");
            assert_eq!(said.verdict.determining, terms.determining);
            assert_eq!((said.verdict.bundle_digest, said.verdict.term), (terms.bundle_digest, terms.term));
            assert_eq!(said.verdict.traits, terms.traits);
            assert_eq!((&said.caller.identity.id, &said.caller.task), (&terms.identity, &terms.task));
            // The plans differ by the grant's name alone.
            let told = |template| serde_json::to_string(template).unwrap();
            let ulid = |id: brevet_domain::id::GrantId| id.ulid().to_string();
            let (one, other) = (told(&said.verdict.template), told(&terms.template));
            let none = ulid(brevet_domain::id::GrantId::NONE);
            assert_eq!(one.replace(&none, &ulid(terms.id)), other);
            assert_eq!(said.plan.is_some(), terms.template.is_some());
        }
    }
}

#[test]
fn a_block_is_named_as_the_rule_that_denies() {
    let world = World::new();
    let (scope, by) = (BlockScope::All, "omar".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at: world.clock.now() });
    let said = rehearse(&world, "bot ask run-1", "deploy").unwrap();
    assert!(matches!(said.verdict.outcome, Outcome::Deny { .. }));
    assert_eq!((said.verdict.determining, said.plan), (vec![rule::BLOCK.to_owned()], None));
}

#[test]
fn the_plan_is_rendered_as_it_would_be() {
    let world = World::new();
    let plan = rehearse(&world, "bot ask run-1", "deploy").unwrap().plan.unwrap();
    assert_eq!(format!("{plan:?}"), "Session { .. }", "policies are never logged");
    let Preview::Session { session_name, policy, .. } = plan else { panic!("{plan:?}") };
    assert!(session_name.ends_with("00000000000000000000000000"), "{session_name}");
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements[0]["Resource"][0], "arn:aws:s3:::artifacts/v1/*");
    let until = world.clock.now().plus(TERM_S).policy_form();
    assert_eq!(statements[1]["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"], until);
}

#[test]
fn it_tells_whether_anything_is_issued_just_now() {
    let world = World::new();
    assert_eq!(
        rehearse(&world, "bot ask run-1", "deploy").unwrap().pulse,
        Pulse::Stopped(Stop::Silent { age_s: None })
    );
    world.tick();
    assert_eq!(rehearse(&world, "bot ask run-1", "deploy").unwrap().pulse, Pulse::Beating);
    world.clock.advance(181);
    assert_eq!(
        rehearse(&world, "bot ask run-1", "deploy").unwrap().pulse,
        Pulse::Stopped(Stop::Silent { age_s: Some(181) })
    );
}

#[test]
fn only_a_token_for_asking_asks_and_what_does_not_fit_is_refused() {
    let world = World::new();
    assert_eq!(refused_now(rehearse(&world, "bot credentials", "deploy")).0, RefusalKind::Unauthenticated);
    assert_eq!(refused_now(rehearse(&world, "omar approve", "deploy")).0, RefusalKind::Unauthenticated);
    assert_eq!(refused_now(rehearse(&world, "nobody ask", "deploy")).0, RefusalKind::Unregistered);
    assert_eq!(refused_now(rehearse(&world, "bot ask", "no-such-thing")).1, "entitlement_unknown");
}

fn refused_now(said: Result<Rehearsal, Refusal>) -> (RefusalKind, String) {
    let refusal = said.unwrap_err();
    (refusal.kind, refusal.code.into_owned())
}

#[test]
fn any_read_that_fails_says_nothing() {
    for call in ["blocks", "holdings", "heart"] {
        let world = World::new();
        world.faults.plan_next(call, Fault::NotSent);
        assert_eq!(refused_now(rehearse(&world, "bot ask run-1", "deploy")).0, RefusalKind::Unavailable, "{call}");
        assert_eq!(world.faults.fired().len(), 1, "{call}");
    }
}

#[test]
fn what_is_only_rehearsed_stands_in_nobodys_way() {
    let world = World::new();
    for _ in 0..3 {
        rehearse(&world, "bot ask run-1", "deploy").unwrap();
    }
    let holdings = run(crate::port::HoldingsReader::holdings(&*world.store, &"dana".parse().unwrap()));
    assert_eq!(holdings.unwrap().unwrap().held, []);
    let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "key", ask(), world.clock.now())));
    assert!(run(world.store.decision(id)).unwrap().unwrap().is_some());
}
