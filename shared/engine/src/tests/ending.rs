//! How access is ended, and how that is proved.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::deny::denies;
use brevet_domain::grant::{Delivery, EndCause, EndedBy, Proof, State};
use brevet_domain::request::Ask;
use brevet_domain::time::Term;

use super::world::{CALL_S, TERM_S, World, active, approved, ask, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, DenyStore};
use crate::refusal::RefusalKind;

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
fn a_release_after_the_credentials_have_expired_is_proved_at_once_and_not_at_the_deadline() {
    let world = World::new();
    world.tick();
    let ask = Ask { term_s: Term::from_seconds(3_600).unwrap(), ..ask() };
    let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "long", ask, world.clock.now())));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.tick_for(1_200);
    assert!(!world.can_act(id), "the one credential has expired");
    world.release("bot ask run-1", id).unwrap().unwrap();
    world.tick_for(60);
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
    world.assert_all_ends("an entry that could leave before it was seen");
}

#[test]
fn a_session_that_may_touch_iam_ends_even_if_its_credentials_expired_before_the_deadline() {
    let world = World::new();
    world.tick();
    let ask = Ask { term_s: Term::from_seconds(3_600).unwrap(), ..ask() };
    let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "long", ask, world.clock.now())));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let mut grant = world.grant(id);
    let Delivery::Session { iam_allowed, .. } = &mut grant.delivery else { panic!() };
    *iam_allowed = true;
    world.store.overwrite(grant);
    world.tick_for(3_800);
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }), "its end is never proved by construction");
    world.assert_all_ends("break-glass");
}

#[test]
fn an_absence_that_was_asked_for_before_the_fence_is_not_counted_after_it() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick();
    let State::Revoking(revoking) = world.grant(id).state else { panic!() };
    assert!(revoking.first_absence.is_some());
    // A second before the fence it is read again; giving the lease back then takes long.
    world.clock.set(revoking.fence.minus(1));
    let start = world.faults.n_calls();
    run(world.reaper.wake(&[id])).unwrap();
    let read = world.faults.calls().into_iter().skip(usize::try_from(start).unwrap()).position(|c| c == "read_deny");
    let after_read = u64::try_from(read.unwrap()).unwrap() + 2;
    assert!(matches!(world.grant(id).state, State::Revoking(_)), "before the fence");
    let clock = std::sync::Arc::clone(&world.clock);
    world.faults.meanwhile(world.faults.n_calls() + after_read, move || clock.advance(5));
    run(world.reaper.wake(&[id])).unwrap();
    assert!(world.clock.now() > revoking.fence);
    assert!(matches!(world.grant(id).state, State::Revoking(_)), "what was read before the fence was counted");
    world.tick();
    assert!(matches!(world.proof_of(id), Proof::Observed { second, .. } if second.at >= revoking.fence));
}

#[test]
fn a_grant_that_takes_no_evidence_does_not_keep_its_siblings_alive() {
    let (world, id) = active();
    let live = world.grant(id);
    world.release("bot ask run-1", id);
    world.tick();
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    // Its record is set back, and its deny removed: putting that again cannot be told to it.
    world.store.overwrite(live);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    world.roles.tamper(&role, &world.deployment.deny_policy_name(), None);
    world.release("bot ask run-1", other);
    world.tick();
    assert!(!world.can_act(other), "one bad record blocked the other's end");
    assert!(!world.can_act(id));
}

#[test]
fn a_mark_that_lies_about_its_cause_is_a_revocation() {
    let (world, id) = active();
    world.store.block(Block {
        scope: BlockScope::Grant(id),
        cause: EndCause::Deadline,
        by: "dana".parse().unwrap(),
        at: world.clock.now(),
    });
    run(world.reaper.wake(&[id])).unwrap();
    assert!(!world.can_act(id));
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.cause == EndCause::Revoked));
    world.tick_for(60);
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
}

#[test]
fn a_slow_second_reading_stops_the_call_that_would_land_after_its_fence() {
    let (world, id) = active();
    let start = world.faults.n_calls();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let calls: Vec<_> = world.faults.calls().into_iter().skip(usize::try_from(start).unwrap()).collect();
    let commit = calls.iter().position(|call| *call == "commit").unwrap();
    let heart = commit + 1 + calls.iter().skip(commit + 1).position(|call| *call == "heart").unwrap();
    let n_vended = world.sts.vended().len();
    let clock = std::sync::Arc::clone(&world.clock);
    let number = world.faults.n_calls() + u64::try_from(heart).unwrap() + 1;
    world.faults.meanwhile(number, move || clock.advance(CALL_S + 1));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "too_slow");
    assert_eq!(world.sts.vended().len(), n_vended, "AWS was asked too late");
}

#[test]
fn a_clock_slightly_behind_the_evaluators_is_told_to_ask_again() {
    let (world, id) = approved();
    let now = world.clock.now();
    world.clock.set(now.minus(1));
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Conflict, "not_started"));
    world.clock.set(now);
    assert!(world.vend("bot credentials run-1", id).unwrap().is_ok());
}

#[test]
fn credentials_are_not_fetched_without_bound() {
    let (world, id) = active();
    let mut grant = world.grant(id);
    let State::Active { vends, .. } = &mut grant.state else { panic!() };
    vends.count = 1_000;
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "too_many_vends");
}
