//! What each use case does and refuses.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::deny::denies;
use brevet_domain::grant::{EndCause, EndedBy, Event, Proof, State};
use brevet_domain::heart::Heart;
use brevet_domain::id::GrantId;

use super::world::{TERM_S, World, ask, id_of, proof};
use crate::decide::Ballot;
use crate::fake::{Fault, run};
use crate::port::{Clock, DenyStore, HeartStore};
use crate::refusal::RefusalKind;

fn refused<T: std::fmt::Debug>(answer: Option<Result<T, crate::refusal::Refusal>>) -> (RefusalKind, String) {
    let refusal = answer.unwrap().unwrap_err();
    (refusal.kind, refusal.code.into_owned())
}

/// A world whose reaper is well, with an approved grant of `bot`.
fn approved() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    (world, id)
}

/// The same, once its credentials were fetched.
fn active() -> (World, GrantId) {
    let (world, id) = approved();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    (world, id)
}

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
fn invariant_02_removal_that_fails_for_hours_is_never_given_up() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    for _ in 0..15 {
        world.faults.plan_next("put_deny", Fault::Throttled);
        world.tick();
        world.clock.advance(15);
        assert!(matches!(world.grant(id).state, State::Revoking(_)));
    }
    let State::Revoking(revoking) = world.grant(id).state else { panic!("left without a proof") };
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
    run(world.store.beat(&Heart { read_up_to: world.clock.now() })).unwrap().unwrap();
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
fn a_grant_that_claims_to_be_approved_vends_nothing_against_its_decision() {
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
fn a_release_seen_between_recording_and_calling_stops_the_call() {
    let (world, id) = approved();
    let start = world.faults.n_calls();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let commit = world.faults.calls().iter().skip(usize::try_from(start).unwrap()).position(|call| *call == "commit");
    let after_commit = u64::try_from(commit.unwrap()).unwrap() + 2;

    let (world, id) = approved();
    let block = Block {
        scope: BlockScope::Grant(id),
        cause: EndCause::Killed,
        by: "dana".parse().unwrap(),
        at: world.clock.now(),
    };
    let store = std::sync::Arc::clone(&world.store);
    world.faults.meanwhile(world.faults.n_calls() + after_commit, move || store.block(block));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    assert_eq!(world.sts.vended(), [], "the second reading did not stop the call");
}

#[test]
fn the_deadline_is_proved_by_aws_own_clock_and_not_before_the_skew_is_over() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    world.tick();
    assert!(matches!(world.grant(id).state, State::Revoking(_)), "the skew is not over");
    world.clock.advance(3);
    world.tick();
    let State::Ended { cause, proof, ended_by, .. } = world.grant(id).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Deadline, EndedBy::TimeLimit));
    assert!(matches!(proof, Proof::ByConstruction { deadline, aws_date, .. } if aws_date > deadline));
}

#[test]
fn an_early_end_denies_one_session_and_leaves_its_siblings_alone() {
    let (world, id) = active();
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    world.release("bot ask run-1", id).unwrap().unwrap();
    assert!(world.can_act(id), "a release only marks: the reaper ends");
    run(world.reaper.wake(&[id])).unwrap();
    assert!(!world.can_act(id) && world.can_act(other));
    assert!(!world.store.snapshot().has_mark(id), "a handled mark leaves the list");
    world.tick_for(60);
    let Proof::Observed { first, second } = world.proof_of(id) else { panic!("not observed") };
    assert!(second.at >= first.at.plus(10) && first.request_id != second.request_id);
    assert!(world.can_act(other));
    world.assert_all_ends("two siblings");
}

#[test]
fn the_deny_stays_as_long_as_the_credential_could_act_and_leaves_then() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick_for(60);
    assert!(matches!(world.grant(id).state, State::Ended { .. }));
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let reserved = world.roles.standing(&role, &name).unwrap();
    assert!(denies(&reserved, &world.deployment.session_name(id)));
    world.tick_for(TERM_S);
    assert_eq!(world.roles.standing(&role, &name), None);
    world.assert_invariants("after the entry left");
}

#[test]
fn a_deny_that_somebody_edits_is_put_again() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    world.roles.tamper(&role, &name, None);
    assert!(world.can_act(id));
    world.tick();
    assert!(!world.can_act(id));
    let contradicted = matches!(world.grant(id).state, State::Revoking(_));
    assert!(contradicted, "an absence that was contradicted counts no more");
    world.assert_all_ends("edited deny");
}

#[test]
fn a_session_in_the_deny_that_no_entry_explains_stays_denied() {
    let (world, id) = active();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let foreign = brevet_domain::deny::document(["dev.FOREIGN"]).unwrap().unwrap();
    world.roles.tamper(&role, &name, Some(&foreign));
    world.release("bot ask run-1", id);
    world.tick();
    let reserved = world.roles.standing(&role, &name).unwrap();
    assert!(denies(&reserved, "dev.FOREIGN") && denies(&reserved, &world.deployment.session_name(id)));
}

#[test]
fn a_write_that_lands_late_cannot_forge_the_proof() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.faults.plan_next("put_deny", Fault::LandsLate(5));
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    let State::Revoking(revoking) = world.grant(id).state else { panic!() };
    assert_eq!(revoking.first_absence, None, "the answer of a write proves nothing");
    world.assert_all_ends("late write");
}

#[test]
fn a_deny_that_is_gone_when_read_back_is_no_absence() {
    let play = |removed_before: Option<u64>| {
        let (world, id) = active();
        world.release("bot ask run-1", id);
        let start = world.faults.n_calls();
        if let Some(call) = removed_before {
            let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
            let (roles, name) = (std::sync::Arc::clone(&world.roles), world.deployment.deny_policy_name());
            world.faults.meanwhile(start + call, move || roles.tamper(&role, &name, None));
        }
        world.tick();
        let put = world.faults.calls().into_iter().skip(usize::try_from(start).unwrap()).position(|c| c == "put_deny");
        (world.grant(id), u64::try_from(put.unwrap()).unwrap() + 1)
    };
    let (honest, put) = play(None);
    assert!(matches!(&honest.state, State::Revoking(r) if r.first_absence.is_some()));
    let (grant, _) = play(Some(put + 1));
    assert!(matches!(&grant.state, State::Revoking(r) if r.first_absence.is_none()), "the write's answer was believed");
}

#[test]
fn a_role_that_another_reaper_settles_is_left_to_it_until_its_lease_is_over() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let now = world.clock.now();
    assert!(run(world.store.lease(&role, "two", now, now.plus(30))).unwrap().unwrap());
    world.tick();
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.last_problem.is_some()));
    assert_eq!(world.roles.landed(), [], "two writers at once would undo each other's entries");
    world.clock.advance(30);
    world.tick();
    assert!(!world.can_act(id));
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
fn an_entry_stays_as_long_as_the_role_is_seen_to_name_its_session() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick_for(60);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let reserved = world.roles.standing(&role, &name).unwrap();
    world.clock.advance(TERM_S);
    // Deleted, and put back by somebody before it is read back.
    let calls = || world.faults.calls();
    let start = calls().len();
    let roles = std::sync::Arc::clone(&world.roles);
    let (at, policy) = (role.clone(), name.clone());
    for later in 1..=40 {
        let (roles, at, policy, text) = (std::sync::Arc::clone(&roles), at.clone(), policy.clone(), reserved.clone());
        let number = u64::try_from(start).unwrap() + later;
        let before = std::sync::Arc::clone(&world.faults);
        world.faults.meanwhile(number, move || {
            if before.calls().iter().rev().nth(1) == Some(&"delete_deny") {
                roles.tamper(&at, &policy, Some(&text));
            }
        });
    }
    world.tick();
    assert!(calls().iter().skip(start).any(|call| *call == "delete_deny"));
    assert_eq!(world.store.snapshot().denies().count(), 1, "what is still denied must stay explained");
    world.faults.clear();
    world.assert_all_ends("put back once");
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
    run(world.reaper.wake(&[id])).unwrap();
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.cause == EndCause::Killed));
    assert!(!world.can_act(id));
}

#[test]
fn one_unreadable_grant_does_not_stop_the_pass() {
    let (world, id) = active();
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    world.clock.advance(TERM_S + 3);
    world.faults.plan_next("grant", Fault::Refused);
    let report = world.tick().unwrap().unwrap();
    assert_eq!((world.faults.fired().len(), report.n_failed, report.n_ended), (1, 1, 1));
    world.tick();
    assert!([id, other].iter().all(|id| matches!(world.grant(*id).state, State::Ended { .. })));
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
