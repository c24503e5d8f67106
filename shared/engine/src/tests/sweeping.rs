//! The sweep: what stands in AWS under this installation's names, and no live grant explains.

use brevet_domain::deny::Denied;
use brevet_domain::finding::{Act, Finding, Why};
use brevet_domain::grant::{EndCause, State};
use brevet_domain::id::GrantId;
use brevet_domain::place::Place;

use super::attaching::{FENCE_S, release, state, submit_for};
use super::world::{BATCH, TERM_S, TICK_S, World, active, people, publish};
use crate::fake::{Fault, Faults, Snapshot};
use crate::port::Clock;
use crate::reap::LISTED_WITHIN_S;

const OTHER: &str = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-other";
const STRANGER: &str = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A world whose reaper has made a pass.
fn world() -> World {
    let world = World::new();
    world.tick();
    world
}

fn inline(world: &World, id: GrantId) -> Place {
    Place::Inline { principal_arn: BATCH.to_owned(), policy_name: world.deployment.inline_policy_name(id) }
}

fn managed(world: &World) -> Place {
    let policy_arn = world.deployment.managed_policy_arn(&"sync".parse().unwrap());
    Place::Managed { principal_arn: BATCH.to_owned(), policy_arn }
}

/// An inline policy of a grant that nobody knows.
fn stray(world: &World) -> Place {
    let place = inline(world, STRANGER.parse().unwrap());
    world.principals.tamper(&place, Some(ALLOW));
    place
}

const ALLOW: &str = r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

fn attached(world: &World, entitlement: &str) -> GrantId {
    let id = submit_for(world, entitlement, entitlement).unwrap();
    world.activate();
    assert_eq!(state(world, id), "Active");
    id
}

fn stands(world: &World, place: &Place) -> bool {
    world.principals.standing(place).is_some()
}

fn findings(world: &World) -> Vec<Finding> {
    world.store.peek(|held| held.findings().to_vec())
}

fn acts(world: &World) -> Vec<Act> {
    findings(world).iter().map(|finding| finding.act).collect()
}

/// The table as it would be if somebody emptied it: the deploying role has put the catalogue back.
fn lose_everything(world: &World) {
    world.store.restore(Snapshot::default());
    publish(&world.store, &people());
}

#[test]
fn an_inline_policy_that_no_record_explains_is_removed_and_told() {
    let world = world();
    let place = stray(&world);
    let report = world.tick().unwrap().unwrap();
    assert!(!stands(&world, &place));
    assert_eq!((report.n_swept, report.swept, report.good), (1, true, true));
    assert_eq!(acts(&world), [Act::RemovalRecorded, Act::GoneObserved]);
    let told = &findings(&world)[0];
    assert_eq!((&told.place, &told.why), (&place, &Why::NoRecord { grant: STRANGER.parse().unwrap() }));
    // INVARIANT: recorded first.
    let removed = world.principals.landed().into_iter().find_map(|write| write.number.filter(|_| write.put.is_none()));
    assert!(world.store.written_at(told.id) < removed, "it was told before the call");
    assert_eq!(world.tick().unwrap().unwrap().n_swept, 0);
}

#[test]
fn what_carries_another_name_is_never_touched() {
    let world = world();
    let names = [
        "standing",
        "brevet-dev-input",
        "brevet-dev-2-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "brevet-prod-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "x-brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FA",
    ];
    let inline = |name: &str| Place::Inline { principal_arn: BATCH.to_owned(), policy_name: name.to_owned() };
    let managed = |arn: &str| Place::Managed { principal_arn: BATCH.to_owned(), policy_arn: arn.to_owned() };
    let mut places: Vec<_> = names.into_iter().map(inline).collect();
    places.extend(
        ["policy/brevet/prod/managed/brevet-prod-sync", "policy/brevet/dev/base/x", "policy/ReadOnly"]
            .map(|name| managed(&format!("arn:aws:iam::000000000000:{name}"))),
    );
    for place in &places {
        world.principals.tamper(place, Some(ALLOW));
    }
    world.tick_for(60);
    assert!(places.iter().all(|place| stands(&world, place)));
    assert_eq!(acts(&world), []);
}

#[test]
fn what_lives_is_never_swept() {
    let world = world();
    let (one, other) = (attached(&world, "batch"), attached(&world, "sync"));
    world.tick_for(60);
    assert_eq!((state(&world, one), state(&world, other)), ("Active", "Active"));
    world.clock.advance(TERM_S);
    world.assert_all_ends("swept while they lived and ended");
    assert_eq!(acts(&world), [], "each was ended by its own grant's end");
}

#[test]
fn what_no_list_names_any_more_is_ended_by_the_sweep_that_sees_it_stand() {
    for entitlement in ["batch", "sync"] {
        let world = world();
        let id = attached(&world, entitlement);
        world.store.unlist(id);
        world.clock.advance(TERM_S + LISTED_WITHIN_S);
        let place = world.place(id).unwrap();
        assert!(stands(&world, &place), "{entitlement}");
        let report = world.tick().unwrap().unwrap();
        assert_eq!(
            (state(&world, id), stands(&world, &place), report.good),
            ("Revoking", false, true),
            "{entitlement}"
        );
        let entries = world.store.snapshot().evidence_of(id);
        let began = entries.iter().find(|entry| entry.body.event == "DeadlinePassed").unwrap();
        assert_eq!(began.body.detail["with"]["found_by"], "sweep", "{entitlement}");
        assert_eq!(acts(&world), [], "{entitlement}: it ends as the grant's end, not as what nothing explains");
        world.assert_all_ends("on no list");
    }
}

#[test]
fn what_is_being_attached_is_never_swept() {
    for entitlement in ["batch", "sync"] {
        let world = world();
        let id = submit_for(&world, "key", entitlement).unwrap();
        world.faults.plan_next("attach", Fault::CrashAfter);
        world.activate();
        assert_eq!((world.faults.fired().len(), state(&world, id)), (1, "Activating"), "{entitlement}");
        assert!(world.can_act(id), "{entitlement}: it was put, and nobody has recorded that it stands");
        assert!(world.tick().unwrap().unwrap().swept);
        assert_eq!((acts(&world), world.can_act(id)), (vec![], true), "{entitlement}");
        world.clock.advance(FENCE_S);
        world.activate();
        assert_eq!(state(&world, id), "Active", "{entitlement}");
    }
}

#[test]
fn a_policy_put_while_the_sweep_lists_is_explained_by_the_later_reading() {
    let mut n_tried = 0;
    for number in 1..40 {
        let world = std::sync::Arc::new(world());
        let id = submit_for(&world, "key", "batch").unwrap();
        let (number, meanwhile) = (world.faults.n_calls() + number, std::sync::Arc::clone(&world));
        world.faults.meanwhile(number, move || {
            meanwhile.activate();
        });
        world.tick();
        n_tried += usize::from(world.faults.n_calls() > number && state(&world, id) == "Active");
        assert_eq!(acts(&world), [], "call {number}");
    }
    assert!(n_tried > 10, "{n_tried}");
}

#[test]
fn a_policy_that_is_put_back_after_the_end_of_its_grant_is_removed() {
    let world = world();
    let id = attached(&world, "batch");
    let document = world.principals.standing(&inline(&world, id)).unwrap();
    release(&world, id);
    world.clock.advance(FENCE_S);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    world.principals.tamper(&inline(&world, id), Some(&document));
    assert!(world.can_act(id));
    world.tick();
    assert!(!world.can_act(id));
    assert_eq!(findings(&world)[0].why, Why::NotHeld { grant: id, state: "Ended".to_owned() });
}

#[test]
fn a_managed_policy_that_nobody_holds_is_detached_and_can_be_held_again_once_no_call_can_land() {
    let world = world();
    world.principals.tamper(&managed(&world), Some("attached"));
    world.tick();
    assert!(!stands(&world, &managed(&world)));
    assert_eq!(findings(&world)[0].why, Why::NoHolder);
    let id = submit_for(&world, "key", "sync").unwrap();
    world.activate();
    assert_eq!(state(&world, id), "Approved", "a detaching that lands late would take it away");
    world.tick_for(60);
    assert_eq!(state(&world, id), "Active");
    assert!(world.can_act(id));
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert_eq!((state(&world, id), stands(&world, &managed(&world))), ("Ended", false));
}

#[test]
fn who_joins_while_a_sweep_reads_keeps_what_it_attached() {
    let mut n_joined = 0;
    for number in 1..40 {
        let world = std::sync::Arc::new(world());
        world.principals.tamper(&managed(&world), Some("attached"));
        let id = submit_for(&world, "key", "sync").unwrap();
        let (number, meanwhile) = (world.faults.n_calls() + number, std::sync::Arc::clone(&world));
        world.faults.meanwhile(number, move || {
            // The stray one is gone a moment before, so that nothing keeps it from joining.
            meanwhile.principals.tamper(&managed(&meanwhile), None);
            meanwhile.activate();
        });
        world.tick();
        world.tick_for(60);
        n_joined += usize::from(state(&world, id) == "Active");
        let keeps = state(&world, id) != "Active" || world.can_act(id);
        assert!(keeps, "call {number}: it is held, and was detached");
    }
    assert!(n_joined > 5, "{n_joined}");
}

#[test]
fn an_emptied_table_leaves_no_access_that_somebody_must_take_away() {
    let world = world();
    let batch = attached(&world, "batch");
    attached(&world, "sync");
    let session = super::world::id_of(world.submit("bot ask run-1", "key"));
    world.vend("bot credentials run-1", session);
    world.release("bot ask run-1", session);
    world.tick();
    let acts = |world: &World, id| {
        let name = world.deployment.session_name(id);
        let live = world.sts.live(&world.roles, &world.deployment.deny_policy_name());
        stands(world, &inline(world, id)) || live.iter().any(|one| one.plan.session_name == name)
    };
    assert!(!acts(&world, session) && acts(&world, batch) && stands(&world, &managed(&world)));
    lose_everything(&world);
    world.tick();
    assert!(!stands(&world, &inline(&world, batch)) && !stands(&world, &managed(&world)));
    assert!(!acts(&world, session), "it stays ended, by its time of issue");
    for _ in 0..2 * 3_900 / TICK_S {
        world.clock.advance(TICK_S);
        world.tick();
        assert!(!acts(&world, session));
    }
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let reserved = world.roles.standing(&role, &world.deployment.deny_policy_name());
    assert_eq!(reserved, None, "taken off once nothing that it denies can live");
}

#[test]
fn a_grant_that_an_older_table_brings_back_to_life_ends_once_more() {
    let (world, id) = active();
    let backup = world.store.snapshot();
    world.release("bot ask run-1", id);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    world.store.restore(backup);
    assert_eq!(state(&world, id), "Active", "by the older table");
    world.tick();
    assert!(!world.can_act(id));
    let State::Revoking(revoking) = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
    assert_eq!(revoking.cause, EndCause::Drift);
    let entries = world.store.snapshot().evidence_of(id);
    let stopped = entries.iter().find(|entry| entry.body.event == "Stopped").unwrap();
    assert_eq!(stopped.body.detail["with"]["found_by"], "sweep");
    world.assert_all_ends("ended twice");
}

#[test]
fn sessions_that_only_the_deny_knows_stay_denied_by_time_of_issue() {
    let (world, id) = active();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let unknown = brevet_domain::deny::document(["dev.01ARZ3NDEKTSV4RRFFQ69G5FAV"]).unwrap().unwrap();
    world.roles.tamper(&role, &name, Some(&unknown));
    let before = world.clock.now();
    world.tick();
    let denied = Denied::read(&world.roles.standing(&role, &name).unwrap());
    assert!(denied.names.is_empty() && denied.denies("dev.01ARZ3NDEKTSV4RRFFQ69G5FAV", before));
    assert!(denied.cut <= Some(before.plus(1)), "who fetches from now on is not denied");
    assert_eq!(findings(&world)[0].why, Why::NoEntry { n_sessions: 1 });
    assert!(!world.can_act(id), "a live holder of the role");
    world.clock.advance(2);
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    assert!(world.can_act(id), "fetches again, and goes on");
    world.tick();
    assert!(world.can_act(id), "it is cut once, and not at every tick");
}

/// Every port call of a tick that sweeps, with every fault it can have.
#[test]
fn whatever_fails_once_a_stray_policy_is_gone_soon_and_was_told_before() {
    let mut fired = 0;
    for number in 1..60 {
        for fault in Fault::ALL {
            let world = world();
            let places = [stray(&world), managed(&world)];
            world.principals.tamper(&places[1], Some("attached"));
            world.faults.plan(world.faults.n_calls() + number, fault);
            world.tick();
            fired += world.faults.fired().len();
            world.faults.clear();
            world.clock.advance(5);
            for _ in 0..3 {
                world.tick();
                world.clock.advance(TICK_S);
            }
            assert!(!places.iter().any(|place| stands(&world, place)), "call {number}, {fault:?}");
            assert_told_first(&world, &format!("call {number}, {fault:?}"));
        }
    }
    assert!(fired > 100, "{fired}");
}

fn assert_told_first(world: &World, context: &str) {
    for write in world.principals.landed() {
        let (Some(number), None) = (write.number, &write.put) else { continue };
        let told = findings(world).into_iter().filter(|one| one.place == write.place);
        let first = told.filter(|one| one.act == Act::RemovalRecorded).filter_map(|one| world.store.written_at(one.id));
        assert!(
            first.min().is_some_and(|at| at < number),
            "{context}: {:?} was removed before it was told",
            write.place
        );
    }
}

#[test]
fn what_a_sweep_has_no_time_for_is_the_first_of_the_next() {
    let world = world();
    world.principals.add(OTHER, None);
    let place = stray(&world);
    let Place::Inline { policy_name, .. } = place.clone() else { panic!() };
    let far = Place::Inline { principal_arn: OTHER.to_owned(), policy_name };
    world.principals.tamper(&far, Some(ALLOW));
    let slow = |faults: &Faults| {
        for number in faults.n_calls() + 1..faults.n_calls() + 100 {
            let clock = world.clock.clone();
            faults.meanwhile(number, move || clock.advance(1));
        }
    };
    slow(&world.faults);
    let report = world.tick().unwrap().unwrap();
    assert!(!report.swept && stands(&world, &far) != stands(&world, &place), "one was swept: {report:?}");
    // Whoever puts that one back again and again keeps the sweep from no other.
    let (swept, next) = if stands(&world, &far) { (&place, &far) } else { (&far, &place) };
    world.principals.tamper(swept, Some(ALLOW));
    world.faults.clear();
    slow(&world.faults);
    let report = world.tick().unwrap().unwrap();
    assert!(!report.swept && stands(&world, swept) && !stands(&world, next), "{report:?}");
}

#[test]
fn a_sweep_that_sees_nothing_is_told_from_one_that_finds_nothing() {
    let world = world();
    for call in ["roles", "standing"] {
        world.faults.plan_next(call, Fault::Throttled);
        let report = world.tick().unwrap().unwrap();
        assert_eq!((report.swept, report.n_failed), (false, 1), "{call}: {report:?}");
        assert!(report.good, "what is due ended all the same");
        assert!(world.tick().unwrap().unwrap().swept);
    }
}
