//! Requests, votes, reads and vends: what is allowed and what is refused.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{EndCause, Event, State};

use super::world::{World, active, approved, ask, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::Clock;
use crate::reap::FoundBy;
use crate::refusal::RefusalKind;

#[test]
fn invariant_07_forged_approved_grant_vends_nothing_against_its_decision() {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("agent ask", "key"));
    let (forged_world, forged_id) = approved();
    let mut grant = world.grant(id);
    grant.state = forged_world.grant(forged_id).state;
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("agent credentials", id)).1, "records_inconsistent");
    assert_eq!(world.sts.vended(), []);
}

#[test]
fn idempotency_key_returns_the_same_grant_and_refuses_another_body() {
    let (world, id) = approved();
    assert_eq!(id_of(world.submit("bot ask run-1", "key")), id);
    let mut other = ask();
    other.parameters.insert("version".to_owned(), "v2".to_owned().try_into().unwrap());
    let answer = run(world.intake.submit(&proof("bot ask run-1"), "key", other, world.clock.now()));
    assert_eq!(refused(answer).1, "idempotency_key_reused");
    assert_ne!(id_of(world.submit("agent ask", "key")), id, "keys belong to their callers");
}

#[test]
fn undecided_request_is_resumed_by_its_key_until_it_lapses() {
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
    // An evaluator that is called without intake refuses it too.
    let id = report.request.unwrap().id;
    let asked = run(world.decider.decide(id, &proof("bot ask run-1"), world.clock.now()));
    assert_eq!(refused(asked).1, "request_lapsed");
}

#[test]
fn invalid_request_is_refused_before_anything_is_stored() {
    let world = World::new();
    let mut invalid = ask();
    invalid.parameters.insert("version".to_owned(), "latest".to_owned().try_into().unwrap());
    let answer = run(world.intake.submit(&proof("bot ask run-1"), "key", invalid, world.clock.now()));
    assert_eq!(refused(answer).0, RefusalKind::Invalid);
    let writes = ["claim_key", "put_request", "create", "commit"];
    assert!(world.faults.calls().iter().all(|call| !writes.contains(call)), "{:?}", world.faults.calls());
}

#[test]
fn ask_token_can_neither_fetch_credentials_nor_vote() {
    let (world, id) = approved();
    assert_eq!(refused(world.vend("bot ask run-1", id)).0, RefusalKind::Unauthenticated);
    let pending = id_of(world.submit("agent ask", "key"));
    assert_eq!(refused(world.vote("omar ask", pending, true)).0, RefusalKind::Unauthenticated);
}

#[test]
fn grant_cannot_be_read_vended_or_released_by_others() {
    let (world, id) = active();
    assert_eq!(refused(world.vend("agent credentials", id)).0, RefusalKind::NotFound);
    assert_eq!(refused(world.release("omar ask", id)).0, RefusalKind::NotFound);
    let shown = run(world.intake.show(&proof("lea ask"), id, world.clock.now()));
    assert_eq!(refused(shown).0, RefusalKind::NotFound);
    let sponsor_reads = run(world.intake.show(&proof("dana ask"), id, world.clock.now()));
    assert!(sponsor_reads.unwrap().is_ok());
}

#[test]
fn grant_cannot_be_vended_by_another_task() {
    let (world, id) = approved();
    assert_eq!(refused(world.vend("bot credentials run-2", id)).1, "other_task");
}

#[test]
fn late_approval_does_not_revive_a_request() {
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
fn grant_is_terminal_once_withdrawn_or_not_started_in_time() {
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
fn block_denies_new_requests_and_ends_live_grants() {
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
fn vend_that_outlives_the_grant_cannot_be_recorded() {
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
fn list_refuses_an_invalid_cursor_and_reports_a_throttled_index_as_unavailable() {
    let (world, _) = approved();
    let list = |cursor| run(world.intake.list(&proof("bot ask run-1"), cursor, 10, world.clock.now()));
    assert_eq!(refused(list(Some("made up"))), (RefusalKind::Invalid, "cursor".to_owned()));
    world.faults.plan_next("grants_of", Fault::Throttled);
    assert_eq!(refused(list(None)).0, RefusalKind::Unavailable);
    assert_eq!(list(None).unwrap().unwrap().grants.len(), 1);
}
