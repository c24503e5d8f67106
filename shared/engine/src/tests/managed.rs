//! Managed policies: several grants hold one at a time, and the last holder detaches it.

use std::collections::BTreeSet;

use brevet_domain::grant::{Before, EffectiveAccess, EndCause, EndedBy, Event, LapseCause, Proof, State};
use brevet_domain::id::GrantId;

use super::attachments::{FENCE_S, Spoil, race, release, set_single_holder, state, submit_for};
use super::world::{BATCH, TERM_S, TICK_S, World};
use crate::fake::{Fault, run};
use crate::port::{AttachmentTarget, Clock};
use crate::reap::FoundBy;

fn submit(world: &World, key: &str) -> GrantId {
    submit_for(world, key, "sync").unwrap()
}

fn approved() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let id = submit(&world, "key");
    (world, id)
}

fn active() -> (World, GrantId) {
    let (world, id) = approved();
    world.activate();
    assert_eq!(state(&world, id), "Active");
    (world, id)
}

/// Two grants on one principal. The second starts later, past the fence of the first.
pub(super) fn overlapping() -> (World, GrantId, GrantId) {
    let (world, first) = active();
    world.clock.advance(FENCE_S);
    let second = submit(&world, "other key");
    world.activate();
    assert_eq!(state(&world, second), "Active");
    (world, first, second)
}

fn is_attached(world: &World, id: GrantId) -> bool {
    world.principals.standing(&world.target(id).unwrap()).is_some()
}

fn n_detached(world: &World) -> usize {
    world.principals.landed().iter().filter(|write| write.put.is_none()).count()
}

#[test]
fn managed_policy_is_detached_at_its_deadline() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    assert!(world.can_act(id), "a managed policy has no time limit of its own; the reaper ends it");
    world.tick();
    assert!(!world.can_act(id));
    world.tick_for(60);
    let State::Ended { cause, ended_by, proof, effective, .. } = world.grant(id).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Deadline, EndedBy::Removal));
    assert!(matches!(proof, Proof::Observed { .. }), "{proof:?}");
    assert_eq!(effective, Some(EffectiveAccess::NotAllowed { but_by: Vec::new() }));
    world.assert_all_ends("managed");
}

#[test]
fn first_of_two_holders_hands_over_and_the_last_detaches() {
    let (world, first, second) = overlapping();
    release(&world, first);
    world.tick();
    let State::Ended { cause, proof, ended_by, effective, .. } = world.grant(first).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Released, EndedBy::HandOver));
    let Proof::HandedOver { holders, .. } = proof else { panic!("{proof:?}") };
    assert_eq!(holders, [second]);
    // The access through another live grant is not residual access.
    assert_eq!(effective, Some(EffectiveAccess::NotAllowed { but_by: vec![second] }));
    assert!(is_attached(&world, second), "the access stays for the second");
    assert_eq!(n_detached(&world), 0);
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert!(matches!(world.proof_of(second), Proof::Observed { .. }));
    assert_eq!(n_detached(&world), 1);
    world.assert_all_ends("overlap");
}

#[test]
fn two_holders_that_end_at_the_same_tick_leave_nothing_attached() {
    let (world, first, second) = overlapping();
    release(&world, first);
    release(&world, second);
    world.clock.advance(FENCE_S);
    world.tick_for(60);
    let handed = [first, second].map(|id| matches!(world.proof_of(id), Proof::HandedOver { .. }));
    assert_eq!(handed.iter().filter(|is| **is).count(), 1, "one hands over, the other detaches");
    assert!(!is_attached(&world, first));
    world.assert_all_ends("both at once");
}

#[test]
fn activation_records_what_was_attached_before() {
    let (world, first, second) = overlapping();
    let before = |id: GrantId| {
        let snapshot = world.store.snapshot();
        let entries = snapshot.evidence_of(id);
        let entry = entries.iter().find(|entry| entry.body.event == "ActivationRecorded").unwrap();
        let Event::ActivationRecorded { before, .. } = serde_json::from_value(entry.body.detail.clone()).unwrap()
        else {
            panic!("another event")
        };
        before
    };
    assert_eq!((before(first), before(second)), (Before::Absent, Before::HeldByGrants));
}

#[test]
fn grant_waits_for_a_detach_in_progress_and_a_late_detach_removes_nothing_of_it() {
    let (world, first) = active();
    world.clock.advance(FENCE_S);
    release(&world, first);
    // The detach lands as late as it can.
    world.faults.plan_next("remove", Fault::LandsLate(FENCE_S - 1));
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    let second = submit(&world, "other key");
    for _ in 0..20 {
        world.activate();
        world.tick();
        let (first_state, second_state) = (state(&world, first), state(&world, second));
        assert!(
            first_state == "Ended" || second_state == "Approved",
            "the join waits for the proof: {first_state}, {second_state}"
        );
        if second_state == "Active" {
            break;
        }
        world.clock.advance(TICK_S);
    }
    assert_eq!((state(&world, first), state(&world, second)), ("Ended", "Active"));
    world.clock.advance(FENCE_S);
    assert!(is_attached(&world, second), "the first grant's detach can no longer land");
    world.assert_all_ends("late detach");
}

#[test]
fn late_attach_is_removed_after_a_hand_over() {
    let (world, first, second) = {
        let (world, second) = active();
        let first = submit(&world, "other key");
        // The attach would land after both grants have ended.
        world.faults.plan_next("attach", Fault::LandsLate(FENCE_S - 1));
        world.activate();
        (world, first, second)
    };
    assert_eq!(world.faults.fired().len(), 1);
    release(&world, first);
    release(&world, second);
    for _ in 0..FENCE_S + 40 {
        world.tick();
        world.assert_invariants("a late attach");
        world.clock.advance(1);
    }
    assert!(!is_attached(&world, first));
    world.assert_all_ends("late attach");
}

#[test]
fn attachment_is_refused_when_the_preflight_fails() {
    let policy = |n: usize| AttachmentTarget::Managed {
        principal_arn: BATCH.to_owned(),
        policy_arn: format!("arn:aws:iam::000000000000:policy/own-{n}"),
    };
    let attach = |world: &World, target: &AttachmentTarget| {
        let AttachmentTarget::Managed { policy_arn, .. } = target else { panic!("not managed") };
        world.principals.tamper(target, Some(policy_arn));
    };
    let spoil: [(&str, Spoil); 4] = [
        ("another single holder", &|world, id| set_single_holder(world, id, "ci")),
        ("no boundary", &|world, _| world.principals.add(BATCH, None)),
        ("attached and unexplained", &|world, id| attach(world, &world.target(id).unwrap())),
        ("no room", &|world, _| (0..10).for_each(|n| attach(world, &policy(n)))),
    ];
    for (flaw, spoil) in spoil {
        let (world, id) = approved();
        spoil(&world, id);
        world.activate();
        assert!(!world.faults.calls().contains(&"attach"), "{flaw}");
        let State::Lapsed { cause, .. } = world.grant(id).state else { panic!("{flaw}: {:?}", world.grant(id).state) };
        assert_eq!(cause, LapseCause::PreflightFailed, "{flaw}");
        assert_eq!(world.store.snapshot().holders().count(), 0, "{flaw}: no holder is recorded");
    }
}

#[test]
fn foreign_detach_ends_every_holder_as_drift() {
    let (world, first, second) = overlapping();
    world.principals.tamper(&world.target(first).unwrap(), None);
    world.clock.advance(280);
    world.tick_for(90);
    for id in [first, second] {
        let State::Ended { cause, .. } = world.grant(id).state else { panic!("{id} has not ended") };
        assert!(matches!(cause, EndCause::Drift | EndCause::Deadline), "{cause:?}");
    }
    world.assert_all_ends("drift");
}

#[test]
fn expired_backstop_ends_a_grant_that_the_index_lost() {
    let (world, id) = active();
    assert_eq!(world.store.snapshot().backstops().collect::<Vec<_>>(), [id]);
    world.clock.advance(TERM_S);
    assert_eq!(world.store.expire_backstops(world.clock.now()), [], "a backstop expires after the deadline");
    world.clock.advance(301);
    // No tick. The deleted TTL backstop names the grant, and the stored grant says what to do.
    let expired = world.store.expire_backstops(world.clock.now());
    assert_eq!(expired, [id]);
    run(world.reaper.wake(&expired, FoundBy::Backstop)).unwrap();
    assert_eq!(state(&world, id), "Revoking");
    assert!(!world.can_act(id));
    world.assert_all_ends("backstop");
}

/// The values of `found_by` in the reaper's evidence of `id`.
fn found_by(world: &World, id: GrantId) -> BTreeSet<String> {
    let entries = world.store.snapshot().evidence_of(id);
    let of_reap = entries.iter().filter(|entry| entry.body.by == "reap");
    of_reap.map(|entry| entry.body.detail["with"]["found_by"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn evidence_names_what_found_the_due_grant() {
    let by_schedule = |world: &World, _: GrantId| {
        world.clock.advance(TERM_S);
        world.tick_for(60);
    };
    let by_stream = |world: &World, id: GrantId| {
        world.clock.advance(FENCE_S);
        release(world, id);
        for _ in 0..6 {
            run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
            world.clock.advance(10);
        }
    };
    let by_backstop = |world: &World, id: GrantId| {
        world.clock.advance(TERM_S + 301);
        assert_eq!(world.store.expire_backstops(world.clock.now()), [id]);
        for _ in 0..6 {
            run(world.reaper.wake(&[id], FoundBy::Backstop)).unwrap();
            world.clock.advance(10);
        }
    };
    type End = fn(&World, GrantId);
    let paths: [(&str, End); 3] = [("schedule", by_schedule), ("stream", by_stream), ("backstop", by_backstop)];
    for (path, end) in paths {
        let (world, id) = active();
        end(&world, id);
        assert_eq!(state(&world, id), "Ended", "{path}");
        assert_eq!(found_by(&world, id), [path.to_owned()].into(), "{path}");
    }
}

#[test]
fn expired_backstop_is_redelivered_when_its_grant_cannot_be_processed() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    // Only the backstop names the grant: a stream record that is reported as handled is never delivered again.
    for call in ["grant", "blocks", "commit"] {
        world.faults.plan_next(call, Fault::Throttled);
        assert!(!run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good, "{call}");
        assert_eq!(state(&world, id), "Active", "{call}");
    }
    assert!(run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good);
    assert_eq!((state(&world, id), world.faults.fired().len()), ("Revoking", 3));
    // A failed removal is stored with the grant, and the next tick finds it.
    assert!(run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good);
}

#[test]
fn ended_grant_deletes_its_backstop() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    assert_eq!(world.store.snapshot().backstops().count(), 0);
}

#[test]
fn early_backstop_expiry_ends_nothing() {
    let (world, id) = active();
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert_eq!(state(&world, id), "Active");
}

#[test]
fn concurrent_reapers_hand_over_or_detach_once() {
    let first = |world: &World| drop(world.tick());
    let other = |world: &World| drop(run(world.other_reaper.pass()));
    let start = || {
        let (world, first, second) = overlapping();
        world.clock.advance(FENCE_S);
        release(&world, first);
        release(&world, second);
        (world, first)
    };
    race("two reapers, two holders", start, first, other);
}

#[test]
fn managed_policy_survives_a_join_while_a_holder_leaves() {
    let start = || {
        let (world, first) = active();
        world.clock.advance(FENCE_S);
        release(&world, first);
        submit(&world, "other key");
        (world, first)
    };
    let leaves = |world: &World| drop(world.tick());
    let joins = |world: &World| assert!(run(world.other_activator.pass()).is_some());
    race("a join while a holder leaves", start, leaves, joins);
    let joins_first = |world: &World| assert!(world.activate().is_some());
    let leaves_beside = |world: &World| drop(run(world.other_reaper.pass()));
    race("a holder leaves during a join", start, joins_first, leaves_beside);
}

/// Two grants on one principal. The first is released while the second is active; the second runs to its deadline.
fn story(world: &World) {
    world.tick();
    let Some(first) = submit_for(world, "key", "sync") else { return };
    world.activate();
    world.clock.advance(FENCE_S);
    world.activate();
    world.tick();
    submit_for(world, "other key", "sync");
    world.activate();
    world.clock.advance(FENCE_S);
    world.activate();
    release(world, first);
    world.tick_for(2 * TICK_S);
    world.clock.advance(TERM_S);
    world.tick_for(3 * TICK_S);
}

#[test]
fn overlapping_managed_attachments_end_under_any_single_fault() {
    let clean = World::new();
    story(&clean);
    let n_calls = clean.faults.n_calls();
    clean.assert_all_ends("clean");
    let mut fired = 0_usize;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("call {number} with {fault:?}");
            let world = World::new();
            world.faults.plan(number, fault);
            story(&world);
            world.assert_invariants(&context);
            let n_fired = world.faults.fired().len();
            world.assert_all_ends(&context);
            fired += n_fired;
        }
    }
    assert!(fired >= 6 * usize::try_from(n_calls).unwrap(), "only {fired} faults fired at {n_calls} calls");
    println!("two overlapping: {n_calls} port calls, {fired} single-fault runs");
}
