//! Managed policies: several grants hold one at a time, and the last one out detaches it.

use std::collections::BTreeSet;

use brevet_domain::grant::{Before, EffectiveAccess, EndCause, EndedBy, Event, LapseCause, Proof, State};
use brevet_domain::id::GrantId;

use super::attaching::{FENCE_S, Spoil, hold, race, release, state, submit_for};
use super::world::{BATCH, TERM_S, TICK_S, World};
use crate::fake::{Fault, run};
use crate::port::{Clock, Place};
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

/// Two grants on one principal, the second a little later; what the first called can land no more.
pub(super) fn overlapping() -> (World, GrantId, GrantId) {
    let (world, first) = active();
    world.clock.advance(FENCE_S);
    let second = submit(&world, "other key");
    world.activate();
    assert_eq!(state(&world, second), "Active");
    (world, first, second)
}

fn is_attached(world: &World, id: GrantId) -> bool {
    world.principals.standing(&world.place(id).unwrap()).is_some()
}

fn n_detached(world: &World) -> usize {
    world.principals.landed().iter().filter(|write| write.put.is_none()).count()
}

#[test]
fn a_managed_policy_runs_to_its_deadline_and_is_detached() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    assert!(world.can_act(id), "it carries no time limit of its own: the reaper ends it");
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
fn of_two_that_overlap_the_first_is_handed_over_and_the_last_detaches() {
    let (world, first, second) = overlapping();
    release(&world, first);
    world.tick();
    let State::Ended { cause, proof, ended_by, effective, .. } = world.grant(first).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Released, EndedBy::HandOver));
    let Proof::HandedOver { holders, .. } = proof else { panic!("{proof:?}") };
    assert_eq!(holders, [second]);
    // Another live grant is no residual access.
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
fn two_that_end_at_the_same_tick_leave_nothing_behind() {
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
fn what_stood_before_is_recorded() {
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
fn nobody_joins_what_is_being_detached_and_a_late_detach_takes_nothing_from_them() {
    let (world, first) = active();
    world.clock.advance(FENCE_S);
    release(&world, first);
    // As late as a call can land.
    world.faults.plan_next("remove", Fault::LandsLate(FENCE_S - 1));
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    let second = submit(&world, "other key");
    for _ in 0..20 {
        world.activate();
        world.tick();
        let (one, other) = (state(&world, first), state(&world, second));
        assert!(one == "Ended" || other == "Approved", "it waits until the end is proved: {one}, {other}");
        if other == "Active" {
            break;
        }
        world.clock.advance(TICK_S);
    }
    assert_eq!((state(&world, first), state(&world, second)), ("Ended", "Active"));
    world.clock.advance(FENCE_S);
    assert!(is_attached(&world, second), "no detaching of the first can land any more");
    world.assert_all_ends("late detach");
}

#[test]
fn an_attach_that_lands_late_is_never_left_behind_by_handing_over() {
    let (world, first, second) = {
        let (world, second) = active();
        let first = submit(&world, "other key");
        // It would land when everybody else is gone.
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
fn a_principal_that_is_not_fit_gets_nothing_attached() {
    let policy = |n: usize| Place::Managed {
        principal_arn: BATCH.to_owned(),
        policy_arn: format!("arn:aws:iam::000000000000:policy/own-{n}"),
    };
    let attach = |world: &World, place: &Place| {
        let Place::Managed { policy_arn, .. } = place else { panic!("not managed") };
        world.principals.tamper(place, Some(policy_arn));
    };
    let spoil: [(&str, Spoil); 4] = [
        ("somebody else's", &|world, id| hold(world, id, "ci")),
        ("no boundary", &|world, _| world.principals.add(BATCH, None)),
        ("attached and unexplained", &|world, id| attach(world, &world.place(id).unwrap())),
        ("no room", &|world, _| (0..10).for_each(|n| attach(world, &policy(n)))),
    ];
    for (what, spoil) in spoil {
        let (world, id) = approved();
        spoil(&world, id);
        world.activate();
        assert!(!world.faults.calls().contains(&"attach"), "{what}");
        let State::Lapsed { cause, .. } = world.grant(id).state else { panic!("{what}: {:?}", world.grant(id).state) };
        assert_eq!(cause, LapseCause::Unfit, "{what}");
        assert_eq!(world.store.snapshot().counts().count(), 0, "{what}: nobody is counted");
    }
}

#[test]
fn what_somebody_detached_ends_every_holder_as_drift() {
    let (world, first, second) = overlapping();
    world.principals.tamper(&world.place(first).unwrap(), None);
    world.clock.advance(280);
    world.tick_for(90);
    for id in [first, second] {
        let State::Ended { cause, .. } = world.grant(id).state else { panic!("{id} has not ended") };
        assert!(matches!(cause, EndCause::Drift | EndCause::Deadline), "{cause:?}");
    }
    world.assert_all_ends("drift");
}

#[test]
fn a_burnt_fuse_ends_what_the_to_do_list_has_lost() {
    let (world, id) = active();
    assert_eq!(world.store.snapshot().fuses().collect::<Vec<_>>(), [id]);
    world.clock.advance(TERM_S);
    assert_eq!(world.store.burn(world.clock.now()), [], "it burns past the deadline");
    world.clock.advance(301);
    // No tick: only what DynamoDB deleted names the grant, and the stored grant says what to do.
    let burnt = world.store.burn(world.clock.now());
    assert_eq!(burnt, [id]);
    run(world.reaper.wake(&burnt, FoundBy::Fuse)).unwrap();
    assert_eq!(state(&world, id), "Revoking");
    assert!(!world.can_act(id));
    world.assert_all_ends("fuse");
}

/// Which ways led to what the reaper did about `id`, as its evidence tells.
fn found_by(world: &World, id: GrantId) -> BTreeSet<String> {
    let entries = world.store.snapshot().evidence_of(id);
    let of_reap = entries.iter().filter(|entry| entry.body.by == "reap");
    of_reap.map(|entry| entry.body.detail["with"]["found_by"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_evidence_says_which_way_led_to_the_end() {
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
    let by_fuse = |world: &World, id: GrantId| {
        world.clock.advance(TERM_S + 301);
        assert_eq!(world.store.burn(world.clock.now()), [id]);
        for _ in 0..6 {
            run(world.reaper.wake(&[id], FoundBy::Fuse)).unwrap();
            world.clock.advance(10);
        }
    };
    type End = fn(&World, GrantId);
    let ways: [(&str, End); 3] = [("schedule", by_schedule), ("stream", by_stream), ("fuse", by_fuse)];
    for (way, end) in ways {
        let (world, id) = active();
        end(&world, id);
        assert_eq!(state(&world, id), "Ended", "{way}");
        assert_eq!(found_by(&world, id), [way.to_owned()].into(), "{way}");
    }
}

#[test]
fn a_burnt_fuse_whose_grant_could_not_be_looked_at_asks_to_be_named_again() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    // Nothing but the fuse knows of the grant: a record that the stream holds for done is never seen again.
    for call in ["grant", "blocks", "commit"] {
        world.faults.plan_next(call, Fault::Throttled);
        assert!(!run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good, "{call}");
        assert_eq!(state(&world, id), "Active", "{call}");
    }
    assert!(run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good);
    assert_eq!((state(&world, id), world.faults.fired().len()), ("Revoking", 3));
    // A removal that fails is stored with the grant, and the next tick finds it.
    assert!(run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap().good);
}

#[test]
fn a_grant_that_ends_puts_its_fuse_out() {
    let (world, id) = active();
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    assert_eq!(world.store.snapshot().fuses().count(), 0);
}

#[test]
fn a_fuse_that_burns_early_ends_nothing() {
    let (world, id) = active();
    run(world.reaper.wake(&[id], FoundBy::Stream)).unwrap();
    assert_eq!(state(&world, id), "Active");
}

#[test]
fn two_reapers_at_once_hand_over_or_detach_once() {
    let one = |world: &World| drop(world.tick());
    let other = |world: &World| drop(run(world.other_reaper.pass()));
    let start = || {
        let (world, first, second) = overlapping();
        world.clock.advance(FENCE_S);
        release(&world, first);
        release(&world, second);
        (world, first)
    };
    race("two reapers, two holders", start, one, other);
}

#[test]
fn one_joins_while_the_other_leaves() {
    let start = || {
        let (world, first) = active();
        world.clock.advance(FENCE_S);
        release(&world, first);
        submit(&world, "other key");
        (world, first)
    };
    let leaves = |world: &World| drop(world.tick());
    let joins = |world: &World| assert!(run(world.other_activator.pass()).is_some());
    race("a join within a leaving", start, leaves, joins);
    let joins_first = |world: &World| assert!(world.activate().is_some());
    let leaves_beside = |world: &World| drop(run(world.other_reaper.pass()));
    race("a leaving within a join", start, joins_first, leaves_beside);
}

/// Two grants on one principal: the first is released while the second still runs, and the second to its deadline.
fn tell(world: &World) {
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
fn every_single_fault_of_two_overlapping_managed_attachments() {
    let clean = World::new();
    tell(&clean);
    let n_calls = clean.faults.n_calls();
    clean.assert_all_ends("clean");
    let mut fired = 0_usize;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("call {number} with {fault:?}");
            let world = World::new();
            world.faults.plan(number, fault);
            tell(&world);
            world.assert_invariants(&context);
            let n_fired = world.faults.fired().len();
            world.assert_all_ends(&context);
            fired += n_fired;
        }
    }
    assert!(fired >= 6 * usize::try_from(n_calls).unwrap(), "only {fired} faults fired at {n_calls} calls");
    println!("two overlapping: {n_calls} port calls, {fired} single-fault runs");
}
