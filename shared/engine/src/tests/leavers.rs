//! Leavers: when an identity, sponsor or entitlement leaves the catalogue, the next tick ends its grants.

use brevet_domain::grant::{EndCause, State};
use brevet_domain::id::GrantId;

use super::attachments::submit_for;
use super::world::{World, active, approved, entitlements, id_of, people, publish, publish_with, refused};
use crate::fake::Fault;

/// Publishes the catalogue without the identity `id`.
fn without(world: &World, id: &str) {
    let mut people = people();
    people.remove(id).unwrap();
    publish(&world.store, &people);
}

fn is_leaving(world: &World, id: GrantId) -> bool {
    matches!(&world.grant(id).state, State::Revoking(at) if at.cause == EndCause::Leaver)
}

#[test]
fn leaving_identity_loses_its_grants_at_the_next_tick() {
    let (world, id) = active();
    without(&world, "bot");
    assert!(world.can_act(id), "the session lives until the tick");
    world.tick();
    assert!(is_leaving(&world, id), "{:?}", world.grant(id).state);
    assert!(!world.can_act(id));
    world.assert_all_ends("identity left");
}

#[test]
fn leaving_sponsor_ends_the_grants_of_their_identities() {
    let (world, id) = active();
    let agents = id_of(world.submit("agent ask run-1", "key"));
    // The bots get another owner, but dana was their sponsor when their grants were decided.
    let mut people = people();
    people.remove("dana").unwrap();
    for bot in ["bot", "agent"] {
        people.get_mut(bot).unwrap().owner = "lea".parse().unwrap();
    }
    publish(&world.store, &people);
    world.tick();
    assert!(is_leaving(&world, id));
    let State::Withdrawn { cause, .. } = world.grant(agents).state else { panic!("{:?}", world.grant(agents).state) };
    assert_eq!(cause, EndCause::Leaver, "a grant that awaited approval is withdrawn");
    world.assert_all_ends("sponsor left");
}

#[test]
fn removed_entitlement_ends_its_grants() {
    let world = World::new();
    world.tick();
    let (session, batch) = (id_of(world.submit("bot ask run-1", "key")), submit_for(&world, "other", "batch").unwrap());
    world.vend("bot credentials run-1", session).unwrap().unwrap();
    world.activate();
    let left: Vec<_> = entitlements().into_iter().filter(|known| known.id.as_str() != "batch").collect();
    publish_with(&world.store, &people(), left);
    world.tick();
    assert!(is_leaving(&world, batch));
    assert!(!world.can_act(batch), "the reaper detaches the policy at once");
    assert!(world.can_act(session), "grants of other entitlements stay");
    world.assert_all_ends("entitlement left");
}

#[test]
fn left_identity_is_issued_nothing_before_the_tick() {
    let (world, id) = approved();
    let batch = submit_for(&world, "other", "batch").unwrap();
    publish_with(&world.store, &people(), Vec::new());
    let (_, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!(code, "left_catalogue");
    world.activate();
    assert_eq!(world.principals.landed(), [], "nothing is attached");
    world.tick();
    for id in [id, batch] {
        assert!(matches!(world.grant(id).state, State::Withdrawn { cause: EndCause::Leaver, .. }));
    }
}

#[test]
fn unreadable_bundle_ends_no_grant() {
    let (world, id) = active();
    without(&world, "bot");
    world.faults.plan_next("current", Fault::NotSent);
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(matches!(world.grant(id).state, State::Active { .. }));
    world.tick();
    assert!(is_leaving(&world, id), "the next tick reads the bundle");
    world.assert_all_ends("unread bundle");
}

#[test]
fn live_grants_are_checked_for_leavers_once_per_bundle() {
    let (world, _) = active();
    world.tick();
    let reads = |world: &World| {
        let before = world.faults.calls().len();
        world.tick();
        world.clock.advance(1);
        world.faults.calls().split_off(before).iter().filter(|call| **call == "grant").count()
    };
    assert_eq!(reads(&world), 0, "nothing is due, and the bundle is unchanged");
    publish(&world.store, &people());
    assert_eq!(reads(&world), 0, "the same bundle");
    without(&world, "lea");
    assert_eq!((reads(&world), reads(&world)), (1, 0));
}

#[test]
fn leaver_check_over_several_passes_keeps_the_heartbeat_and_reads_every_grant() {
    let world = World::new();
    world.tick();
    let n_grants = 60;
    for n in 0..n_grants {
        world.submit("bot ask run-1", &format!("key-{n}")).unwrap().unwrap();
    }
    without(&world, "lea");
    let mut reads = Vec::new();
    for n in 1..=20 {
        // Each port call takes one second of the pass's forty.
        let before = world.faults.n_calls();
        for number in before + 1..before + 100 {
            let clock = world.clock.clone();
            world.faults.meanwhile(number, move || clock.advance(1));
        }
        let report = world.tick().unwrap().unwrap();
        world.faults.clear();
        assert!(report.good, "pass {n}: every due grant was read: {report:?}");
        let calls = world.faults.calls().split_off(usize::try_from(before).unwrap());
        reads.push(calls.iter().filter(|call| **call == "grant").count());
        if reads.last() == Some(&0) {
            break;
        }
    }
    assert!(reads[0] > 5 && reads[0] < 50, "a grant that is begun when the budget is spent is finished: {reads:?}");
    assert_eq!(reads.last(), Some(&0), "{reads:?}");
    assert_eq!(reads.iter().sum::<usize>(), 2 * n_grants, "each grant is read twice: {reads:?}");
}

#[test]
fn leaver_with_an_unreadable_record_is_found_by_the_next_tick() {
    let (world, id) = active();
    without(&world, "bot");
    world.faults.plan_next("grant", Fault::Throttled);
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(matches!(world.grant(id).state, State::Active { .. }));
    world.tick();
    assert!(is_leaving(&world, id), "{:?}", world.grant(id).state);
}
