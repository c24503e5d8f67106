//! Leavers: who is in the catalogue no more holds nothing any longer, from the next tick on.

use brevet_domain::grant::{EndCause, State};
use brevet_domain::id::GrantId;

use super::attaching::submit_for;
use super::world::{World, active, approved, entitlements, id_of, people, publish, publish_with, refused};
use crate::fake::Fault;

/// Publishes the catalogue without `who`.
fn without(world: &World, who: &str) {
    let mut people = people();
    people.remove(who).unwrap();
    publish(&world.store, &people);
}

fn is_leaving(world: &World, id: GrantId) -> bool {
    matches!(&world.grant(id).state, State::Revoking(at) if at.cause == EndCause::Leaver)
}

#[test]
fn an_identity_that_leaves_holds_nothing_from_the_next_tick_on() {
    let (world, id) = active();
    without(&world, "bot");
    assert!(world.can_act(id), "its session lives until the tick");
    world.tick();
    assert!(is_leaving(&world, id), "{:?}", world.grant(id).state);
    assert!(!world.can_act(id));
    world.assert_all_ends("identity left");
}

#[test]
fn a_sponsor_who_leaves_takes_along_all_that_they_answer_for() {
    let (world, id) = active();
    let agents = id_of(world.submit("agent ask run-1", "key"));
    // The bots are handed to somebody else, but what they hold was granted under dana.
    let mut people = people();
    people.remove("dana").unwrap();
    for bot in ["bot", "agent"] {
        people.get_mut(bot).unwrap().owner = "lea".parse().unwrap();
    }
    publish(&world.store, &people);
    world.tick();
    assert!(is_leaving(&world, id));
    let State::Withdrawn { cause, .. } = world.grant(agents).state else { panic!("{:?}", world.grant(agents).state) };
    assert_eq!(cause, EndCause::Leaver, "what awaited approval is withdrawn");
    world.assert_all_ends("sponsor left");
}

#[test]
fn an_entitlement_that_leaves_is_held_by_nobody() {
    let world = World::new();
    world.tick();
    let (session, batch) = (id_of(world.submit("bot ask run-1", "key")), submit_for(&world, "other", "batch").unwrap());
    world.vend("bot credentials run-1", session).unwrap().unwrap();
    world.activate();
    let left: Vec<_> = entitlements().into_iter().filter(|one| one.id.as_str() != "batch").collect();
    publish_with(&world.store, &people(), left);
    world.tick();
    assert!(is_leaving(&world, batch));
    assert!(!world.can_act(batch), "what was attached is removed at once");
    assert!(world.can_act(session), "others keep what they hold");
    world.assert_all_ends("entitlement left");
}

#[test]
fn who_has_left_gets_nothing_before_the_tick_either() {
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
fn nobody_leaves_by_a_bundle_that_cannot_be_read() {
    let (world, id) = active();
    without(&world, "bot");
    world.faults.plan_next("current", Fault::NotSent);
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(matches!(world.grant(id).state, State::Active { .. }));
    world.tick();
    assert!(is_leaving(&world, id), "the next tick reads it");
    world.assert_all_ends("unread bundle");
}

#[test]
fn every_live_grant_is_looked_at_once_a_bundle() {
    let (world, _) = active();
    world.tick();
    let reads = |world: &World| {
        let before = world.faults.calls().len();
        world.tick();
        world.clock.advance(1);
        world.faults.calls().split_off(before).iter().filter(|call| **call == "grant").count()
    };
    assert_eq!(reads(&world), 0, "nothing is due, and nobody has left");
    publish(&world.store, &people());
    assert_eq!(reads(&world), 0, "the same bundle");
    without(&world, "lea");
    assert_eq!((reads(&world), reads(&world)), (1, 0));
}

#[test]
fn more_live_grants_than_one_pass_can_look_at_stop_no_heart_and_are_all_looked_at() {
    let world = World::new();
    world.tick();
    let n_grants = 60;
    for n in 0..n_grants {
        world.submit("bot ask run-1", &format!("key-{n}")).unwrap().unwrap();
    }
    without(&world, "lea");
    let mut looks = Vec::new();
    for n in 1..=20 {
        // Each port call takes a second of the forty that a pass has.
        let before = world.faults.n_calls();
        for number in before + 1..before + 100 {
            let clock = world.clock.clone();
            world.faults.meanwhile(number, move || clock.advance(1));
        }
        let report = world.tick().unwrap().unwrap();
        world.faults.clear();
        assert!(report.good, "pass {n}: all that was due was read: {report:?}");
        let calls = world.faults.calls().split_off(usize::try_from(before).unwrap());
        looks.push(calls.iter().filter(|call| **call == "grant").count());
        if looks.last() == Some(&0) {
            break;
        }
    }
    assert!(looks[0] > 5 && looks[0] < 50, "what is begun when the time is up is brought to its end: {looks:?}");
    assert_eq!(looks.last(), Some(&0), "{looks:?}");
    assert_eq!(looks.iter().sum::<usize>(), 2 * n_grants, "each was looked at, and once more: {looks:?}");
}

#[test]
fn a_leaver_whose_record_could_not_be_read_is_found_by_the_next_tick() {
    let (world, id) = active();
    without(&world, "bot");
    world.faults.plan_next("grant", Fault::Throttled);
    world.tick();
    assert_eq!(world.faults.fired().len(), 1);
    assert!(matches!(world.grant(id).state, State::Active { .. }));
    world.tick();
    assert!(is_leaving(&world, id), "{:?}", world.grant(id).state);
}
