//! How access ends and how the end is proved.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::deny::denies;
use brevet_domain::grant::{EndCause, EndedBy, Proof, State};

use super::world::{TERM_S, active, approved, id_of, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, DenyStore};
use crate::reap::FoundBy;

#[test]
fn block_between_record_and_call_stops_the_vend() {
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
fn deadline_is_proved_by_the_aws_clock_once_the_skew_has_passed() {
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
fn early_end_denies_one_session_and_not_its_siblings() {
    let (world, id) = active();
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    world.release("bot ask run-1", id).unwrap().unwrap();
    assert!(world.can_act(id), "a release only marks; the reaper ends the grant");
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(!world.can_act(id) && world.can_act(other));
    assert!(!world.store.snapshot().has_mark(id), "a handled mark is deleted");
    world.tick_for(60);
    let Proof::Observed { first, second } = world.proof_of(id) else { panic!("not observed") };
    assert!(second.at >= first.at.plus(10) && first.request_id != second.request_id);
    assert!(world.can_act(other));
    world.assert_all_ends("two siblings");
}

#[test]
fn deny_is_removed_once_the_credential_can_no_longer_act() {
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
fn edited_deny_is_put_again() {
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
    assert!(contradicted, "a contradicted absence must not count");
    world.assert_all_ends("edited deny");
}

#[test]
fn late_write_cannot_forge_the_proof() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.faults.plan_next("put_deny", Fault::LandsLate(5));
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    let State::Revoking(revoking) = world.grant(id).state else { panic!() };
    assert_eq!(revoking.first_absence, None, "the answer to a write is not a proof");
    world.assert_all_ends("late write");
}

#[test]
fn missing_deny_on_read_back_is_not_an_absence() {
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
fn reaper_leaves_a_role_to_the_lease_holder_until_the_lease_expires() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let now = world.clock.now();
    assert!(run(world.store.lease(&role, "two", now, now.plus(30))).unwrap().unwrap());
    world.tick();
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.last_problem.is_some()));
    assert_eq!(world.roles.landed(), [], "two concurrent writers would undo each other's entries");
    world.clock.advance(30);
    world.tick();
    assert!(!world.can_act(id));
}

#[test]
fn deny_entry_stays_while_the_role_still_names_its_session() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick_for(60);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let reserved = world.roles.standing(&role, &name).unwrap();
    world.clock.advance(TERM_S);
    // The policy is deleted, and put back before the reaper reads it back.
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
    assert_eq!(world.store.snapshot().denies().count(), 1, "a session that the role still denies must keep its entry");
    world.faults.clear();
    world.assert_all_ends("put back once");
}

#[test]
fn unreadable_grant_does_not_stop_the_pass() {
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
