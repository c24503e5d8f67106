//! Ends that faults or bad records obstruct.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{Delivery, EndCause, Proof, State};
use brevet_domain::request::Ask;
use brevet_domain::time::Term;

use super::world::{TERM_S, World, active, ask, id_of, proof};
use crate::fake::{Fault, run};
use crate::port::Clock;
use crate::reap::FoundBy;

#[test]
fn release_after_credential_expiry_is_proved_before_the_deadline() {
    let world = World::new();
    world.tick();
    let ask = Ask { term_s: Term::from_seconds(3_600).unwrap(), ..ask() };
    let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "long", ask, world.clock.now())));
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    world.tick_for(1_200);
    assert!(!world.can_act(id), "the only credential has expired");
    world.release("bot ask run-1", id).unwrap().unwrap();
    world.tick_for(60);
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
    world.assert_all_ends("an entry that could leave before it was seen");
}

#[test]
fn session_with_iam_rights_ends_when_its_credentials_expired_before_the_deadline() {
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
    assert!(
        matches!(world.proof_of(id), Proof::Observed { .. }),
        "a session with IAM rights is never proved by construction"
    );
    world.assert_all_ends("break-glass");
}

#[test]
fn absence_requested_before_the_fence_does_not_count() {
    let (world, id) = active();
    world.release("bot ask run-1", id);
    world.tick();
    let State::Revoking(revoking) = world.grant(id).state else { panic!() };
    assert!(revoking.first_absence.is_some());
    // The deny is read again one second before the fence, and the answer takes five seconds.
    world.clock.set(revoking.fence.minus(1));
    let start = world.faults.n_calls();
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    let read = world.faults.calls().into_iter().skip(usize::try_from(start).unwrap()).position(|c| c == "read_deny");
    let read = u64::try_from(read.unwrap()).unwrap() + 1;
    assert!(matches!(world.grant(id).state, State::Revoking(_)), "before the fence");
    let clock = std::sync::Arc::clone(&world.clock);
    world.faults.meanwhile(world.faults.n_calls() + read, move || clock.advance(5));
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(world.clock.now() > revoking.fence);
    assert!(matches!(world.grant(id).state, State::Revoking(_)), "an absence read before the fence was counted");
    world.tick();
    assert!(matches!(world.proof_of(id), Proof::Observed { second, .. } if second.at >= revoking.fence));
}

#[test]
fn grant_that_accepts_no_evidence_does_not_block_the_end_of_its_siblings() {
    let (world, id) = active();
    let live = world.grant(id);
    world.release("bot ask run-1", id);
    world.tick();
    let other = id_of(world.submit("bot ask run-1", "other"));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    // The record is rewound and its deny removed. The evidence of the new deny cannot be added to this grant.
    world.store.overwrite(live);
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    world.roles.tamper(&role, &world.deployment.deny_policy_name(), None);
    world.release("bot ask run-1", other);
    world.tick();
    assert!(!world.can_act(other), "one bad record blocked the other grant's end");
    assert!(!world.can_act(id));
}

#[test]
fn mark_with_a_false_cause_counts_as_revoked() {
    let (world, id) = active();
    world.store.block(Block {
        scope: BlockScope::Grant(id),
        cause: EndCause::Deadline,
        by: "dana".parse().unwrap(),
        at: world.clock.now(),
    });
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert!(!world.can_act(id));
    assert!(matches!(&world.grant(id).state, State::Revoking(r) if r.cause == EndCause::Revoked));
    world.tick_for(60);
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
}

#[test]
fn early_ends_beyond_the_policy_size_all_end() {
    let (world, other) = active();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let crowd: Vec<String> = (0..260).map(|n| format!("dev.01J{n:023}")).collect();
    let crowd = brevet_domain::deny::document(crowd.iter().map(String::as_str)).unwrap().unwrap();
    world.roles.tamper(&role, &world.deployment.deny_policy_name(), Some(&crowd));
    let mut ids = Vec::new();
    for n in 0..40 {
        let id = id_of(world.submit("bot ask run-1", &format!("key-{n}")));
        world.vend("bot credentials run-1", id).unwrap().unwrap();
        ids.push(id);
    }
    world.clock.advance(60);
    for id in &ids {
        world.release("bot ask run-1", *id).unwrap().unwrap();
    }
    world.tick();
    let reserved = world.roles.standing(&role, &world.deployment.deny_policy_name()).unwrap();
    assert!(
        reserved.len() <= brevet_domain::deny::MAX_ROLE_INLINE,
        "IAM would refuse the policy, and no grant would end"
    );
    assert!(ids.iter().all(|id| !world.can_act(*id)));
    world.tick_for(60);
    assert!(ids.iter().all(|id| matches!(world.proof_of(*id), Proof::Observed { .. })));
    // Another holder of the role fetches new credentials and can act.
    assert!(!world.can_act(other));
    world.vend("bot credentials run-1", other).unwrap().unwrap();
    assert!(world.can_act(other));
}

#[test]
fn unproved_deadline_records_its_problem_and_is_put_off() {
    let (world, id) = active();
    world.clock.advance(TERM_S + 3);
    // The sweep makes the first of the two calls.
    world.faults.plan_next("read_deny", Fault::Refused);
    world.faults.plan_next("read_deny", Fault::Refused);
    let report = world.tick().unwrap().unwrap();
    assert_eq!((world.faults.fired().len(), report.n_failed), (2, 2));
    let State::Revoking(revoking) = world.grant(id).state else { panic!() };
    assert!(revoking.last_problem.is_some() && revoking.next_at > world.clock.now());
    world.assert_all_ends("a proof that came later");
}
