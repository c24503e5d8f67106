//! Passes that exceed their budget: the rest stays due, the report says so, and a later pass does it.

use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use ulid::Ulid;

use super::attachments::submit_for;
use super::concurrent_pass::due;
use super::world::World;
use crate::fake::run;
use crate::port::{Clock, GrantReader, shard_of, shards_at};
use crate::reap::FoundBy;

/// The budget of a pass in seconds. Exceeding it by one second lets a call that is under way finish.
const BUDGET_S: u32 = 5;

/// More grants than the reaper handles concurrently.
const N_DUE: usize = 30;

/// A world with 12 approved attachments that are not yet made.
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

/// Advances the clock past the budget right before the pass's call `number`.
fn delay(world: &World, number: u64) {
    let clock = world.clock.clone();
    world.faults.meanwhile(world.faults.n_calls().saturating_add(number), move || clock.advance(BUDGET_S + 1));
}

/// Delays `pass` before every seventh of its calls in turn. `pass` returns the number of grants that it handled and
/// whether it was good. Grants that it did not handle stay in the state `waiting`.
fn hurry(start: impl Fn() -> World, waiting: &str, pass: impl Fn(&World) -> (u32, bool)) {
    let mut n_cut = 0_usize;
    for number in (1..).step_by(7) {
        let (world, context) = (start(), format!("before call {number}"));
        let left = || -> Vec<Grant> {
            let is_left = |grant: &&Grant| grant.state.name() == waiting;
            world.store.peek(|held| held.grants().filter(is_left).cloned().collect())
        };
        let (n_all, last) = (left().len(), world.faults.n_calls().saturating_add(number));
        delay(&world, number);
        let (n_handled, good) = pass(&world);
        let was_delayed = world.faults.n_calls() >= last;
        world.faults.clear();
        let n_left = left().len();
        assert_eq!(n_all.checked_sub(n_left), usize::try_from(n_handled).ok(), "{context}");
        assert!(left().iter().all(|grant| grant.due_at() <= Some(world.clock.now())), "{context}");
        assert!(n_left == 0 || !good, "{context}: {n_left} grants were left, but the pass was good");
        n_cut = n_cut.saturating_add(usize::from(0 < n_left && n_left < n_all));
        let n_again = u32::try_from(n_left).unwrap();
        let (n_handled, good) = pass(&world);
        assert!(good && n_handled >= n_again && left().is_empty(), "{context}: the next pass handles the rest");
        if !was_delayed {
            break;
        }
    }
    assert!(n_cut > 3, "{n_cut}");
}

#[test]
fn reaper_pass_over_budget_leaves_the_rest_and_records_no_heartbeat() {
    let heartbeat_at = |world: &World| run(world.store.reaper_health()).unwrap().unwrap().unwrap().read_up_to;
    hurry(
        || due(N_DUE),
        "Active",
        |world| {
            let (before, started) = (heartbeat_at(world), world.clock.now());
            let report = run(world.reaper_for(BUDGET_S).pass()).unwrap().unwrap();
            assert_eq!((report.n_ended, report.n_failed), (report.n_due, 0));
            assert_eq!(heartbeat_at(world), if report.good { started } else { before });
            (report.n_due, report.good)
        },
    );
}

#[test]
fn reaper_wake_over_budget_asks_for_redelivery() {
    hurry(
        || due(N_DUE),
        "Active",
        |world| {
            let report = run(world.reaper_for(BUDGET_S).wake(&ids(world), FoundBy::Stream)).unwrap();
            let all_ended = world.store.peek(|held| held.grants().all(|grant| grant.state.is_terminal()));
            assert_eq!(report.good, all_ended, "the stream redelivers exactly if a grant was not handled");
            (report.n_due, report.good)
        },
    );
}

#[test]
fn issue_pass_over_budget_leaves_the_rest() {
    hurry(awaited, "Approved", |world| {
        let report = run(world.activator_for(BUDGET_S).pass()).unwrap();
        (report.n_due, report.good)
    });
}

#[test]
fn issue_wake_over_budget_asks_for_redelivery() {
    hurry(awaited, "Approved", |world| {
        let report = run(world.activator_for(BUDGET_S).wake(&ids(world))).unwrap();
        (report.n_due, report.good)
    });
}

#[test]
fn issue_pass_over_budget_leaves_an_unread_page() {
    let world = World::new();
    // Without a heartbeat, each grant is read and left as it is. All are in the shard that is read last, on two pages.
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
    // The budget runs out with the last grant of the first page.
    delay(&world, u64::try_from(second_page).unwrap());
    let cut = pass();
    assert!(cut.n_due < whole.n_due && !cut.good, "{cut:?}");
}
