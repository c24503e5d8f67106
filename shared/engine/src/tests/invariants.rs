//! The invariants that the use cases keep, each with a test named after it.

use brevet_domain::canonical::canonical;
use brevet_domain::grant::{Proof, State, VendAnswer};
use brevet_domain::heart::Heart;

use super::world::{TERM_S, World, active, approved, id_of, proof, refused};
use crate::decide::Ballot;
use crate::fake::{Fault, run};
use crate::port::{Clock, HeartStore};
use crate::refusal::RefusalKind;

#[test]
fn invariant_01_nothing_is_asked_of_aws_that_is_not_recorded_first() {
    let (world, id) = approved();
    world.faults.plan_next("commit", Fault::Refused);
    world.faults.plan_next("commit", Fault::Refused);
    world.faults.plan_next("commit", Fault::Refused);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert_eq!(world.faults.fired().len(), 3);
    assert_eq!(world.sts.vended(), [], "AWS was asked though nothing could be recorded");
}

#[test]
fn invariant_02_removal_that_keeps_failing_is_never_given_up() {
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
fn invariant_03_a_lost_answer_of_assume_role_stays_unknown_and_bounds_the_end() {
    let (world, id) = approved();
    world.faults.plan_next("vend", Fault::AnswerLost);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert_eq!(world.faults.fired().len(), 1);
    assert_eq!(world.sts.vended().len(), 1, "the credential exists though nobody heard of it");
    assert!(world.can_act(id));
    let State::Active { vends, .. } = world.grant(id).state else { panic!("not in use") };
    assert_eq!(vends.last.last().unwrap().answer, VendAnswer::Awaited, "a lost answer is not a failed vend");
    world.release("bot ask run-1", id);
    world.tick();
    assert!(!world.can_act(id), "the early end holds for what was never heard of, too");
    world.assert_all_ends("lost answer");
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
}

#[test]
fn invariant_04_a_credential_whose_vend_cannot_be_evidenced_is_not_handed_out() {
    let (world, id) = active();
    let first_commit = world.faults.calls().iter().filter(|call| **call == "commit").count();
    assert_eq!(first_commit, 2, "one before the call, one after it");
    let calls = world.faults.n_calls();
    // Dry run: which calls are the commits after the `AssumeRole` of a second vend.
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let after = world.faults.calls().into_iter().skip(usize::try_from(calls).unwrap()).position(|call| call == "vend");
    let n = world.faults.n_calls() + u64::try_from(after.unwrap()).unwrap() + 1;
    for later in 1..=12 {
        world.faults.plan(n + later, Fault::Refused);
    }
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    assert!(world.faults.fired().iter().any(|fired| fired.call == "commit"));
    assert_eq!(world.sts.vended().len(), 3, "AWS made the credential: what failed came after it");
    world.assert_all_ends("an unevidenced credential");
}

#[test]
fn invariant_05_with_the_reaper_gone_access_ends_at_the_deadline_all_the_same() {
    let (world, id) = active();
    world.clock.advance(TERM_S - 1);
    assert!(world.can_act(id));
    world.clock.advance(1);
    assert!(!world.can_act(id), "nothing but the session policy's own time limit was at work");
}

#[test]
fn invariant_06_credentials_are_neither_stored_nor_put_in_evidence_nor_shown_by_debug() {
    let (world, id) = approved();
    let handout = world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.release("bot ask run-1", id).unwrap().unwrap();
    world.assert_all_ends("a released grant");
    let credentials = &handout.credentials;
    let told = [
        ("the table", format!("{:?}", world.store.snapshot())),
        ("evidence", canonical(&world.store.snapshot().evidence_of(id)).unwrap()),
        ("IAM", format!("{:?}", world.roles.landed())),
        ("debug", format!("{handout:?}")),
    ];
    for (place, text) in &told {
        assert!(!text.contains(&credentials.secret_access_key), "{place} holds the secret key");
        assert!(!text.contains(&credentials.session_token), "{place} holds the session token");
    }
    for (place, text) in &told[..2] {
        assert!(text.contains(&credentials.access_key_id), "{place} names the key id: it is looked at rightly");
    }
}

#[test]
fn invariant_10_a_later_vend_takes_the_stored_deadline() {
    let (world, id) = active();
    let State::Active { deadline, .. } = world.grant(id).state else { panic!() };
    world.clock.advance(100);
    let handout = world.vend("bot credentials run-1", id).unwrap().unwrap();
    assert_eq!(handout.expiration, deadline);
    world.clock.advance(TERM_S - 100);
    assert!(!world.can_act(id));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Over);
}

#[test]
fn invariant_12_no_heart_or_an_old_one_stops_issuing() {
    let world = World::new();
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(refused(world.vend("bot credentials run-1", id)), (RefusalKind::Stopped, "heart_stopped".to_owned()));
    world.tick();
    world.clock.advance(181);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Stopped);
    run(world.store.beat(&Heart::first(world.clock.now()), None)).unwrap().unwrap();
    assert!(world.vend("bot credentials run-1", id).unwrap().is_ok(), "it recovers by itself");
}

#[test]
fn invariant_12_a_pass_that_could_not_read_a_shard_does_not_beat() {
    let world = World::new();
    world.faults.plan_next("due", Fault::Throttled);
    let report = world.tick().unwrap().unwrap();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(!report.good);
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Stopped);
}

#[test]
fn invariant_14_an_ended_grant_that_is_rewound_vends_nothing() {
    let (world, id) = approved();
    let rewound = world.grant(id);
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.clock.advance(TERM_S + 5);
    world.tick();
    assert!(matches!(world.grant(id).state, State::Ended { .. }));
    let n_vended = world.sts.vended().len();
    world.store.overwrite(rewound);
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Forbidden, "records_unfit"));
    assert_eq!(world.sts.vended().len(), n_vended);
}

#[test]
fn invariant_14_a_grant_whose_deadline_was_moved_vends_nothing() {
    let (world, id) = active();
    let mut grant = world.grant(id);
    let State::Active { deadline, .. } = &mut grant.state else { panic!() };
    *deadline = deadline.plus(3_600);
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "records_unfit");
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
    assert!(world.vote("omar approve", id, true).unwrap().is_ok(), "the same vote again is the same answer");
    assert_eq!(refused(world.vote("omar approve", id, false)).1, "voted_otherwise");
    assert!(world.vend("agent credentials", id).unwrap().is_ok());
}
