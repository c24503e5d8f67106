//! What may be asked, approved, seen and fetched, and what is refused.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{EndCause, Event, State};

use super::world::{World, active, approved, ask, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::Clock;
use crate::reap::FoundBy;
use crate::refusal::RefusalKind;

#[test]
fn invariant_07_a_grant_that_claims_to_be_approved_vends_nothing_against_its_decision() {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("agent ask", "key"));
    let (forged_world, forged_id) = approved();
    let mut grant = world.grant(id);
    grant.state = forged_world.grant(forged_id).state;
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("agent credentials", id)).1, "records_unfit");
    assert_eq!(world.sts.vended(), []);
}

#[test]
fn the_same_key_answers_the_same_grant_and_another_body_is_refused() {
    let (world, id) = approved();
    assert_eq!(id_of(world.submit("bot ask run-1", "key")), id);
    let mut other = ask();
    other.parameters.insert("version".to_owned(), "v2".to_owned().try_into().unwrap());
    let answer = run(world.intake.submit(&proof("bot ask run-1"), "key", other, world.clock.now()));
    assert_eq!(refused(answer).1, "idempotency_key_reused");
    assert_ne!(id_of(world.submit("agent ask", "key")), id, "keys belong to their callers");
}

#[test]
fn a_request_that_was_never_decided_is_resumed_by_its_key_and_lapses() {
    let world = World::new();
    world.faults.plan_next("create", Fault::RequestLost);
    assert_eq!(refused(world.submit("bot ask run-1", "key")).0, RefusalKind::Unavailable);
    assert_eq!(world.faults.fired().len(), 1);
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert!(matches!(world.grant(id).state, State::Approved { .. }));

    let world = World::new();
    world.faults.plan_next("create", Fault::RequestLost);
    world.submit("bot ask run-1", "key");
    world.clock.advance(61);
    let report = world.submit("bot ask run-1", "key").unwrap().unwrap();
    assert_eq!(report.grant, None, "a lapsed request is not decided");
    // Nor by an evaluator that is asked by somebody else than intake.
    let id = report.request.unwrap().id;
    let asked = run(world.decider.decide(id, &proof("bot ask run-1"), world.clock.now()));
    assert_eq!(refused(asked).1, "request_lapsed");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_stored() {
    let world = World::new();
    let mut unfit = ask();
    unfit.parameters.insert("version".to_owned(), "latest".to_owned().try_into().unwrap());
    let answer = run(world.intake.submit(&proof("bot ask run-1"), "key", unfit, world.clock.now()));
    assert_eq!(refused(answer).0, RefusalKind::Unfit);
    let writes = ["claim_key", "put_request", "create", "commit"];
    assert!(world.faults.calls().iter().all(|call| !writes.contains(call)), "{:?}", world.faults.calls());
}

#[test]
fn a_token_for_asking_fetches_no_credentials_and_casts_no_vote() {
    let (world, id) = approved();
    assert_eq!(refused(world.vend("bot ask run-1", id)).0, RefusalKind::Unauthenticated);
    let pending = id_of(world.submit("agent ask", "key"));
    assert_eq!(refused(world.vote("omar ask", pending, true)).0, RefusalKind::Unauthenticated);
}

#[test]
fn nobody_elses_grant_can_be_seen_used_or_released() {
    let (world, id) = active();
    assert_eq!(refused(world.vend("agent credentials", id)).0, RefusalKind::NotFound);
    assert_eq!(refused(world.release("omar ask", id)).0, RefusalKind::NotFound);
    let seen = run(world.intake.show(&proof("lea ask"), id, world.clock.now()));
    assert_eq!(refused(seen).0, RefusalKind::NotFound);
    let answers_for_it = run(world.intake.show(&proof("dana ask"), id, world.clock.now()));
    assert!(answers_for_it.unwrap().is_ok());
}

#[test]
fn another_run_is_another_task_and_cannot_use_the_grant() {
    let (world, id) = approved();
    assert_eq!(refused(world.vend("bot credentials run-2", id)).1, "other_task");
}

#[test]
fn a_late_approval_does_not_revive_a_request() {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("agent ask", "key"));
    world.clock.advance(600);
    assert_eq!(refused(world.vote("omar approve", id, true)).1, "approval_too_late");
    world.tick();
    assert!(matches!(world.grant(id).state, State::Lapsed { .. }));
    assert_eq!(refused(world.vote("omar approve", id, true)).1, "not_awaiting_approval");
}

#[test]
fn what_is_withdrawn_or_not_started_in_time_is_over() {
    let (world, id) = approved();
    world.release("bot ask run-1", id).unwrap().unwrap();
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    world.tick();
    assert!(matches!(world.grant(id).state, State::Withdrawn { .. }));

    let (world, id) = approved();
    world.clock.advance(600);
    world.tick();
    assert!(matches!(world.grant(id).state, State::Lapsed { .. }));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Over);
}

#[test]
fn a_block_denies_new_requests_and_ends_live_grants() {
    let (world, id) = active();
    let at = world.clock.now();
    world.store.block(Block { scope: BlockScope::All, cause: EndCause::Killed, by: "dana".parse().unwrap(), at });
    let denied = world.grant(id_of(world.submit("bot ask run-1", "other")));
    assert!(matches!(denied.state, State::Denied { .. }));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.cause == EndCause::Killed));
    assert!(!world.can_act(id));
}

#[test]
fn a_vend_that_outlives_the_grant_cannot_be_recorded() {
    let (world, id) = active();
    let State::Active { deadline, vends, .. } = world.grant(id).state else { panic!() };
    let mut vend = brevet_domain::grant::NewVend {
        deadline: deadline.plus(1),
        fence: world.clock.now(),
        policy_digest: vends.last[0].policy_digest,
        duration_s: 900,
    };
    assert!(world.grant(id).apply(&Event::VendRecorded(vend.clone()), world.clock.now()).is_err());
    vend.deadline = deadline;
    assert!(world.grant(id).apply(&Event::VendRecorded(vend), world.clock.now()).is_ok());
}

#[test]
fn a_made_up_cursor_is_the_callers_fault_and_a_silent_index_is_not() {
    let (world, _) = approved();
    let list = |cursor| run(world.intake.list(&proof("bot ask run-1"), cursor, 10, world.clock.now()));
    assert_eq!(refused(list(Some("made up"))), (RefusalKind::Unfit, "cursor".to_owned()));
    world.faults.plan_next("grants_of", Fault::Throttled);
    assert_eq!(refused(list(None)).0, RefusalKind::Unavailable);
    assert_eq!(list(None).unwrap().unwrap().grants.len(), 1);
}
