//! Hundreds of early ends on one session role: all of them end, and live holders are unaffected or fetch new
//! credentials.

#![expect(clippy::arithmetic_side_effects, reason = "test code: an overflow fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::entitlement::Delivery;
use brevet_domain::grant::{EndCause, Proof, State};
use brevet_domain::id::GrantId;
use brevet_domain::request::Ask;
use brevet_domain::time::{Term, Timestamp};

use super::world::{World, ask, id_of};
use crate::fake::is_denied;
use crate::port::Clock;

/// The number of released grants, one every `EVERY_MS` milliseconds: all within an hour.
const N: i64 = 1_000;
const EVERY_MS: i64 = 3_500;
/// The number of grants that hold the role all the time.
const HOLDERS: usize = 5;
const HOUR_S: u32 = 3_600;

/// The measurements of an hour of early ends.
#[derive(Debug, Default)]
struct Hour {
    /// The largest number of session names in the deny at once.
    most_names: usize,
    /// The largest reported number of early ends that were denied by time of issue.
    most_by_time: u32,
    /// The number of fetches by holders whose credentials were issued before a cut.
    n_fetched_again: usize,
}

/// Simulates an hour of early ends on a role whose credentials last `credential_s` seconds.
fn hour_of_early_ends(credential_s: u32) -> Hour {
    let world = World::new();
    for entitlement in &mut world.rules.lock().unwrap().entitlements {
        if let Delivery::Session { credential_s: lasts, .. } = &mut entitlement.delivery {
            *lasts = credential_s;
        }
    }
    let mut hour = Hour::default();
    let began = world.clock.now();
    world.tick();
    let ask_for_an_hour = |key: String| {
        let ask = Ask { term_s: Term::from_seconds(i64::from(HOUR_S)).unwrap(), ..ask() };
        let id = id_of(world.submit_ask("bot ask run-1", &key, ask));
        world.vend("bot credentials run-1", id).unwrap().unwrap();
        id
    };
    let holders: Vec<GrantId> = (0..HOLDERS).map(|n| ask_for_an_hour(format!("holder-{n}"))).collect();
    let mut fetched_at: BTreeMap<GrantId, Timestamp> = holders.iter().map(|id| (*id, began)).collect();
    let mut released = BTreeSet::new();
    let mut ticked_at = began;
    for n in 1..=N {
        let id = ask_for_an_hour(format!("key-{n}"));
        world.clock.set(Timestamp::from_millis(began.as_millis() + EVERY_MS * n));
        world.release("bot ask run-1", id).unwrap().unwrap();
        released.insert(id);
        let now = world.clock.now();
        let is_tick = now >= ticked_at.plus(60);
        if is_tick {
            // Observes what the last tick left in AWS: nothing changes it in between.
            observe(&world, &released, &mut fetched_at, &mut hour);
            ticked_at = now;
            let report = world.tick().unwrap().unwrap();
            assert!(report.good && report.n_failed == 0, "{report:?}");
            hour.most_by_time = hour.most_by_time.max(report.n_denied_by_time);
        }
        // Holders replace their credentials before they expire.
        for (id, at) in &mut fetched_at {
            if now >= at.plus(credential_s - 60) && now < began.plus(HOUR_S - 60) {
                world.vend("bot credentials run-1", *id).unwrap().unwrap();
                *at = now;
            }
        }
        if is_tick {
            observe(&world, &released, &mut fetched_at, &mut hour);
        }
    }
    for _ in 0..4 {
        world.clock.advance(60);
        world.tick().unwrap().unwrap();
        observe(&world, &released, &mut fetched_at, &mut hour);
    }
    world.store.peek(|held| {
        for grant in held.grants().filter(|grant| released.contains(&grant.id)) {
            let State::Ended { cause, proof, .. } = &grant.state else { panic!("not ended: {:?}", grant.state) };
            assert_eq!(*cause, EndCause::Released);
            assert!(matches!(proof, Proof::Observed { .. }), "{proof:?}");
        }
    });
    hour
}

/// Asserts what the model of AWS denies now: every ended session that has not expired, and of the holders only those
/// with credentials from before a cut. Such holders then fetch new credentials, which must work.
fn observe(
    world: &World,
    released: &BTreeSet<GrantId>,
    fetched_at: &mut BTreeMap<GrantId, Timestamp>,
    hour: &mut Hour,
) {
    let now = world.clock.now();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let deny = world.roles.standing(&role, &world.deployment.deny_policy_name()).unwrap_or_default();
    let denied = brevet_domain::deny::Denied::read(&deny);
    hour.most_names = hour.most_names.max(denied.names.len());
    let ended: BTreeSet<String> = world.store.peek(|held| {
        let ended = held.grants().filter(|grant| matches!(grant.state, State::Ended { .. }));
        ended
            .filter(|grant| released.contains(&grant.id))
            .map(|grant| world.deployment.session_name(grant.id))
            .collect()
    });
    let holders: BTreeMap<String, GrantId> =
        fetched_at.keys().map(|id| (world.deployment.session_name(*id), *id)).collect();
    let mut newest = BTreeMap::new();
    for session in world.sts.vended().into_iter().filter(|session| now < session.expires_at) {
        let is_denied = is_denied(&deny, &session.plan.session_name, session.vended_at);
        if ended.contains(&session.plan.session_name) {
            assert!(is_denied, "{} has ended, but can still act", session.plan.session_name);
        } else if let Some(id) = holders.get(&session.plan.session_name) {
            let is_cut = denied.cut.is_some_and(|cut| session.vended_at.floor() < cut);
            assert_eq!(
                is_denied, is_cut,
                "{} is live, but denied by the end of another grant",
                session.plan.session_name
            );
            newest.insert(*id, is_denied);
        }
    }
    for (id, _) in newest.into_iter().filter(|(_, is_denied)| *is_denied) {
        world.vend("bot credentials run-1", id).unwrap().unwrap();
        hour.n_fetched_again += 1;
        fetched_at.insert(id, now);
        assert!(world.can_act(id), "credentials fetched after a cut are not denied by it");
    }
}

#[test]
fn thousand_early_ends_in_an_hour_all_end_without_affecting_holders() {
    let hour = hour_of_early_ends(900);
    assert!(hour.most_names > 200, "the early ends must overlap: {hour:?}");
    assert_eq!((hour.most_by_time, hour.n_fetched_again), (0, 0));
}

#[test]
fn early_ends_beyond_the_quota_end_by_time_of_issue_and_holders_fetch_again() {
    let hour = hour_of_early_ends(HOUR_S);
    assert!(hour.most_by_time > 200, "the denials by time of issue must be reported: {hour:?}");
    // Each cut covers half of the named sessions: about one cut for every 140 ends.
    let n_cuts = hour.n_fetched_again / HOLDERS;
    assert!((4..=8).contains(&n_cuts) && hour.n_fetched_again.is_multiple_of(HOLDERS), "{hour:?}");
}
