//! Passes that run out of their own time: what is left stays due, the report says so, and another pass does it.

use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use ulid::Ulid;

use super::attaching::submit_for;
use super::together::due;
use super::world::World;
use crate::fake::run;
use crate::port::{Clock, GrantReader, shard_of, shards_at};
use crate::reap::FoundBy;

/// How long a pass has, in seconds. A second more is short of a call's time: what is under way comes to its end.
const BUDGET_S: u32 = 5;

/// Enough for the reaper not to look at all of them together.
const N_DUE: usize = 30;

/// So many attachments that are yet to be made.
fn awaited() -> World {
    let world = World::new();
    world.tick();
    for n in 0..12 {
        submit_for(&world, &format!("key-{n}"), "batch").unwrap();
    }
    world
}

fn ids(world: &World) -> Vec<GrantId> {
    world.store.peek(|held| held.grants().map(|grant| grant.id).collect())
}

/// Lets the time of a pass go by right before its call `number`.
fn hold_up(world: &World, number: u64) {
    let clock = world.clock.clone();
    world.faults.meanwhile(world.faults.n_calls().saturating_add(number), move || clock.advance(BUDGET_S + 1));
}

/// Holds `pass` up before each seventh of its calls in turn. It answers how many grants it looked at, and whether it was
/// good; those that it did not look at are `waiting` as before.
fn hurry(start: impl Fn() -> World, waiting: &str, pass: impl Fn(&World) -> (u32, bool)) {
    let mut n_cut = 0_usize;
    for number in (1..).step_by(7) {
        let (world, context) = (start(), format!("before call {number}"));
        let left = || -> Vec<Grant> {
            let is_left = |grant: &&Grant| grant.state.name() == waiting;
            world.store.peek(|held| held.grants().filter(is_left).cloned().collect())
        };
        let (n_all, last) = (left().len(), world.faults.n_calls().saturating_add(number));
        hold_up(&world, number);
        let (n_looked, good) = pass(&world);
        let was_held_up = world.faults.n_calls() >= last;
        world.faults.clear();
        let n_left = left().len();
        assert_eq!(n_all.checked_sub(n_left), usize::try_from(n_looked).ok(), "{context}");
        assert!(left().iter().all(|grant| grant.due_at() <= Some(world.clock.now())), "{context}");
        assert!(n_left == 0 || !good, "{context}: {n_left} were left, and it says that none was");
        n_cut = n_cut.saturating_add(usize::from(0 < n_left && n_left < n_all));
        let n_again = u32::try_from(n_left).unwrap();
        let (n_looked, good) = pass(&world);
        assert!(good && n_looked >= n_again && left().is_empty(), "{context}: another one ends it");
        if !was_held_up {
            break;
        }
    }
    assert!(n_cut > 3, "{n_cut}");
}

#[test]
fn what_a_pass_of_the_reaper_has_no_time_for_is_left_to_the_next_and_its_heart_stands_still() {
    let heart_at = |world: &World| run(world.store.heart()).unwrap().unwrap().unwrap().read_up_to;
    hurry(
        || due(N_DUE),
        "Active",
        |world| {
            let (before, started) = (heart_at(world), world.clock.now());
            let report = run(world.reaper_for(BUDGET_S).pass()).unwrap().unwrap();
            assert_eq!((report.n_ended, report.n_failed), (report.n_due, 0));
            assert_eq!(heart_at(world), if report.good { started } else { before });
            (report.n_due, report.good)
        },
    );
}

#[test]
fn what_the_reaper_is_woken_for_and_has_no_time_for_is_named_again() {
    hurry(
        || due(N_DUE),
        "Active",
        |world| {
            let report = run(world.reaper_for(BUDGET_S).wake(&ids(world), FoundBy::Stream)).unwrap();
            let all_ended = world.store.peek(|held| held.grants().all(|grant| grant.state.is_terminal()));
            assert_eq!(report.good, all_ended, "they are named again just where one was not looked at");
            (report.n_due, report.good)
        },
    );
}

#[test]
fn what_a_pass_of_the_issuer_has_no_time_for_is_left_to_the_next() {
    hurry(awaited, "Approved", |world| {
        let report = run(world.activator_for(BUDGET_S).pass()).unwrap();
        (report.n_due, report.good)
    });
}

#[test]
fn what_the_issuer_is_woken_for_and_has_no_time_for_is_named_again() {
    hurry(awaited, "Approved", |world| {
        let report = run(world.activator_for(BUDGET_S).wake(&ids(world))).unwrap();
        (report.n_due, report.good)
    });
}

#[test]
fn a_page_that_the_issuer_has_no_time_to_read_is_left_too() {
    let world = World::new();
    // No heart: each is looked at and left as it is. All stand on the list that is read last, on two pages.
    let grant = world.grant(submit_for(&world, "key", "batch").unwrap());
    let last = shards_at(world.clock.now()).last().unwrap();
    let ids = (0..).map(|n| GrantId::from_ulid(Ulid::from_parts(1, n))).filter(|id| shard_of(*id) == last);
    ids.take(120).for_each(|id| world.store.overwrite(Grant { id, ..grant.clone() }));
    let pass = || run(world.activator_for(BUDGET_S).pass()).unwrap();
    let before = world.faults.calls().len();
    let whole = pass();
    assert_eq!((whole.n_due, whole.n_left, whole.good), (121, 121, true));
    let calls = world.faults.calls().split_off(before);
    let second_page = calls.iter().rposition(|call| *call == "due").unwrap();
    // The time is up with the last look at the first page.
    hold_up(&world, u64::try_from(second_page).unwrap());
    let cut = pass();
    assert!(cut.n_due < whole.n_due && !cut.good, "{cut:?}");
}
