//! A dry run gives the decision's answer and stores nothing.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::decision::Outcome;
use brevet_domain::grant::EndCause;
use brevet_domain::plan::Preview;
use brevet_domain::reaper_health::{IssuanceGate, Stop};
use brevet_domain::rule;

use super::world::{ISSUANCE_POLICY, TERM_S, World, ask, ask_for, id_of, proof};
use crate::evaluate::decide::Rehearsal;
use crate::fake::{Fault, run};
use crate::port::{Clock, GrantReader};
use crate::refusal::{Refusal, RefusalKind};

fn rehearse(world: &World, token: &str, entitlement: &str) -> Result<Rehearsal, Refusal> {
    run(world.decider.rehearse(&proof(token), ask_for(entitlement), ISSUANCE_POLICY, world.clock.now())).unwrap()
}

/// The only port calls of a dry run.
const READS: [&str; 5] = ["blocks", "holdings", "awaited", "reaper_health", "grant"];

#[test]
fn dry_run_equals_the_decision_and_writes_nothing() {
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
            let rehearsal = rehearse(&world, token, entitlement).unwrap();
            let calls = world.faults.calls();
            assert!(calls[n..].iter().all(|call| READS.contains(call)), "{:?}", &calls[n..]);
            assert_eq!(format!("{:?}", world.store.snapshot()), before);

            let (shown, now) = (proof(token), world.clock.now());
            let asked = world.intake.submit(&shown, "key", ask_for(entitlement), now);
            let report = run(asked).unwrap().unwrap();
            let terms = report.decision.unwrap().terms;
            assert_eq!(rehearsal.verdict.outcome, terms.outcome, "{token} {entitlement}");
            assert_eq!(rehearsal.verdict.determining, terms.determining);
            assert_eq!((rehearsal.verdict.bundle_digest, rehearsal.verdict.term), (terms.bundle_digest, terms.term));
            assert_eq!(rehearsal.verdict.traits, terms.traits);
            assert_eq!((&rehearsal.caller.identity.id, &rehearsal.caller.task), (&terms.identity, &terms.task));
            // The plans differ by the grant id alone.
            let json = |template| serde_json::to_string(template).unwrap();
            let ulid = |id: brevet_domain::id::GrantId| id.ulid().to_string();
            let (rehearsed, decided) = (json(&rehearsal.verdict.template), json(&terms.template));
            let none = ulid(brevet_domain::id::GrantId::NONE);
            assert_eq!(rehearsed.replace(&none, &ulid(terms.id)), decided);
            assert_eq!(rehearsal.plan.is_some(), terms.template.is_some());
        }
    }
}

#[test]
fn dry_run_names_the_block_that_denies() {
    let world = World::new();
    let (scope, by) = (BlockScope::All, "omar".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at: world.clock.now() });
    let rehearsal = rehearse(&world, "bot ask run-1", "deploy").unwrap();
    assert!(matches!(rehearsal.verdict.outcome, Outcome::Deny { .. }));
    assert_eq!((rehearsal.verdict.determining, rehearsal.plan), (vec![rule::BLOCK.to_owned()], None));
}

#[test]
fn dry_run_renders_the_plan() {
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
fn dry_run_reports_the_issuance_gate() {
    let world = World::new();
    assert_eq!(
        rehearse(&world, "bot ask run-1", "deploy").unwrap().issuance_gate,
        IssuanceGate::Closed(Stop::NoHeartbeat { age_s: None })
    );
    world.tick();
    assert_eq!(rehearse(&world, "bot ask run-1", "deploy").unwrap().issuance_gate, IssuanceGate::Open);
    world.clock.advance(181);
    assert_eq!(
        rehearse(&world, "bot ask run-1", "deploy").unwrap().issuance_gate,
        IssuanceGate::Closed(Stop::NoHeartbeat { age_s: Some(181) })
    );
}

#[test]
fn dry_run_refuses_other_tokens_and_unknown_entitlements() {
    let world = World::new();
    assert_eq!(refused_now(rehearse(&world, "bot credentials", "deploy")).0, RefusalKind::Unauthenticated);
    assert_eq!(refused_now(rehearse(&world, "omar approve", "deploy")).0, RefusalKind::Unauthenticated);
    assert_eq!(refused_now(rehearse(&world, "nobody ask", "deploy")).0, RefusalKind::Unregistered);
    assert_eq!(refused_now(rehearse(&world, "bot ask", "no-such-thing")).1, "entitlement_unknown");
}

fn refused_now(answer: Result<Rehearsal, Refusal>) -> (RefusalKind, String) {
    let refusal = answer.unwrap_err();
    (refusal.kind, refusal.code.into_owned())
}

#[test]
fn dry_run_is_unavailable_when_a_read_fails() {
    for call in ["blocks", "holdings", "reaper_health"] {
        let world = World::new();
        world.faults.plan_next(call, Fault::NotSent);
        assert_eq!(refused_now(rehearse(&world, "bot ask run-1", "deploy")).0, RefusalKind::Unavailable, "{call}");
        assert_eq!(world.faults.fired().len(), 1, "{call}");
    }
}

#[test]
fn dry_run_holds_nothing() {
    let world = World::new();
    for _ in 0..3 {
        rehearse(&world, "bot ask run-1", "deploy").unwrap();
    }
    let holdings = run(crate::port::HoldingsReader::holdings(&*world.store, &"dana".parse().unwrap()));
    assert_eq!(holdings.unwrap().unwrap().held, []);
    let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "key", ask(), world.clock.now())));
    assert!(run(world.store.decision(id)).unwrap().unwrap().is_some());
}
