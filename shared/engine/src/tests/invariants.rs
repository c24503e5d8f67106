//! The invariants of the use cases. Each test is named after its invariant.

use brevet_domain::canonical::canonical;
use brevet_domain::grant::{Proof, State, VendAnswer};
use brevet_domain::reaper_health::ReaperHealth;

use super::world::{TERM_S, World, active, approved, id_of, proof, refused};
use crate::evaluate::decide::Ballot;
use crate::fake::{Fault, run};
use crate::port::{Clock, ReaperHealthStore};
use crate::refusal::RefusalKind;

#[test]
fn invariant_01_vend_calls_aws_only_after_it_is_recorded() {
    let (world, id) = approved();
    world.faults.plan_next("commit", Fault::Refused);
    world.faults.plan_next("commit", Fault::Refused);
    world.faults.plan_next("commit", Fault::Refused);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert_eq!(world.faults.fired().len(), 3);
    assert_eq!(world.sts.vended(), [], "AWS was called although no record could be stored");
}

#[test]
fn invariant_02_failing_removal_is_retried_for_ever() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    for _ in 0..15 {
        world.faults.clear();
        world.faults.plan_next("put_deny", Fault::Throttled);
        world.tick();
        world.clock.advance(15);
        assert!(matches!(world.grant(id).state, State::Revoking(_)));
    }
    let State::Revoking(revoking) = world.grant(id).state else { panic!("left without a proof") };
    assert!(world.faults.fired().len() >= 3, "{:?}", world.faults.fired());
    assert!(revoking.attempts >= 3 && revoking.last_problem.is_some());
    world.assert_all_ends("throttled for minutes");
}

#[test]
fn invariant_03_lost_assume_role_answer_stays_unknown_and_bounds_the_end() {
    let (world, id) = approved();
    world.faults.plan_next("vend", Fault::AnswerLost);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert_eq!(world.faults.fired().len(), 1);
    assert_eq!(world.sts.vended().len(), 1, "the credential exists although its answer was lost");
    assert!(world.can_act(id));
    let State::Active { vends, .. } = world.grant(id).state else { panic!("not in use") };
    assert_eq!(vends.last.last().unwrap().answer, VendAnswer::Awaited, "a lost answer is not a failed vend");
    world.release("bot ask run-1", id);
    world.tick();
    assert!(!world.can_act(id), "the early end also covers a session whose answer was lost");
    world.assert_all_ends("lost answer");
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
}

#[test]
fn invariant_04_credential_is_withheld_when_its_vend_cannot_be_recorded() {
    let (world, id) = active();
    let first_commit = world.faults.calls().iter().filter(|call| **call == "commit").count();
    assert_eq!(first_commit, 2, "one before the call, one after it");
    let calls = world.faults.n_calls();
    // A second vend shows which calls are the commits after its `AssumeRole`.
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let after = world.faults.calls().into_iter().skip(usize::try_from(calls).unwrap()).position(|call| call == "vend");
    let n = world.faults.n_calls() + u64::try_from(after.unwrap()).unwrap() + 1;
    for later in 1..=12 {
        world.faults.plan(n + later, Fault::Refused);
    }
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert!(world.faults.fired().iter().any(|fired| fired.call == "commit"));
    assert_eq!(world.sts.vended().len(), 3, "AWS made the credential before the failure");
    world.assert_all_ends("an unevidenced credential");
}

#[test]
fn invariant_05_session_ends_at_its_deadline_without_the_reaper() {
    let (world, id) = active();
    world.clock.advance(TERM_S - 1);
    assert!(world.can_act(id));
    world.clock.advance(1);
    assert!(!world.can_act(id), "the session policy's own time limit must end it");
}

#[test]
fn invariant_06_credentials_are_not_stored_recorded_or_shown_by_debug() {
    let (world, id) = approved();
    let issued = world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.release("bot ask run-1", id).unwrap().unwrap();
    world.assert_all_ends("a released grant");
    let credentials = &issued.credentials;
    let outputs = [
        ("the table", format!("{:?}", world.store.snapshot())),
        ("evidence", canonical(&world.store.snapshot().evidence_of(id)).unwrap()),
        ("IAM", format!("{:?}", world.roles.landed())),
        ("debug", format!("{issued:?}")),
    ];
    for (output, text) in &outputs {
        assert!(!text.contains(&credentials.secret_access_key), "{output} holds the secret key");
        assert!(!text.contains(&credentials.session_token), "{output} holds the session token");
    }
    for (output, text) in &outputs[..2] {
        assert!(
            text.contains(&credentials.access_key_id),
            "{output} must hold the key id, or this test searches the wrong text"
        );
    }
}

#[test]
fn invariant_10_later_vend_takes_the_stored_deadline() {
    let (world, id) = active();
    let State::Active { deadline, .. } = world.grant(id).state else { panic!() };
    world.clock.advance(100);
    let issued = world.vend("bot credentials run-1", id).unwrap().unwrap();
    assert_eq!(issued.expiration, deadline);
    world.clock.advance(TERM_S - 100);
    assert!(!world.can_act(id));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Over);
}

#[test]
fn invariant_12_missing_or_old_heartbeat_stops_issuing() {
    let world = World::new();
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(
        refused(world.vend("bot credentials run-1", id)),
        (RefusalKind::Stopped, "heartbeat_missing".to_owned())
    );
    world.tick();
    world.clock.advance(181);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Stopped);
    run(world.store.record_heartbeat(&ReaperHealth::first(world.clock.now()), None)).unwrap().unwrap();
    assert!(world.vend("bot credentials run-1", id).unwrap().is_ok(), "issuing resumes by itself");
}

#[test]
fn invariant_12_pass_with_an_unread_shard_records_no_heartbeat() {
    let world = World::new();
    world.faults.plan_next("due", Fault::Throttled);
    let report = world.tick().unwrap().unwrap();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(!report.good);
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Stopped);
}

#[test]
fn invariant_14_rewound_grant_vends_nothing() {
    let (world, id) = approved();
    let rewound = world.grant(id);
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.clock.advance(TERM_S + 5);
    world.tick();
    assert!(matches!(world.grant(id).state, State::Ended { .. }));
    let n_vended = world.sts.vended().len();
    world.store.overwrite(rewound);
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Forbidden, "records_inconsistent"));
    assert_eq!(world.sts.vended().len(), n_vended);
}

#[test]
fn invariant_14_grant_with_a_moved_deadline_vends_nothing() {
    let (world, id) = active();
    let mut grant = world.grant(id);
    let State::Active { deadline, .. } = &mut grant.state else { panic!() };
    *deadline = deadline.plus(3_600);
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "records_inconsistent");
}

#[test]
fn invariant_11_neither_requester_nor_sponsor_approves() {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("agent ask", "key"));
    assert_eq!(refused(world.vote("agent approve", id, true)).1, "approver_not_human");
    assert_eq!(refused(world.vote("dana approve", id, true)).1, "approver_is_sponsor");
    assert_eq!(refused(world.vote("bot approve", id, true)).0, RefusalKind::NotFound);
    assert_eq!(refused(world.vend("agent credentials", id)).1, "not_approved");
    let other = Ballot { approve: true, digest: brevet_domain::canonical::Digest::ZERO };
    let answer = run(world.decider.vote(&proof("omar approve"), id, other, world.clock.now()));
    assert_eq!(refused(answer).1, "digest_mismatch");
    world.vote("omar approve", id, true).unwrap().unwrap();
    assert!(world.vote("omar approve", id, true).unwrap().is_ok(), "a repeated vote gets the same answer");
    assert_eq!(refused(world.vote("omar approve", id, false)).1, "voted_otherwise");
    assert!(world.vend("agent credentials", id).unwrap().is_ok());
}
