//! One pass handles several grants concurrently, and each ends as it would alone.

use std::pin::pin;
use std::task::Poll;

use brevet_domain::deny::Denied;
use brevet_domain::grant::{EndedBy, State};

use super::attachments::{release, submit_for};
use super::managed::overlapping;
use super::world::{TERM_S, World, id_of};
use crate::fake::{Fault, poll_once, run};
use crate::port::PortResult;
use crate::reap::PassReport;

/// A world with `n` session grants that are due at once.
pub(super) fn due(n: usize) -> World {
    let world = World::new();
    world.tick();
    for n in 0..n {
        let id = id_of(world.submit("bot ask run-1", &format!("key-{n}")));
        world.vend("bot credentials run-1", id).unwrap().unwrap();
    }
    world.clock.advance(TERM_S + 3);
    world
}

/// Runs a pass in which concurrent grants take turns call by call. Returns its report and its calls.
fn pass_by_turns(world: &World) -> (PortResult<PassReport>, Vec<&'static str>) {
    let before = world.faults.calls().len();
    world.faults.step_by_step(true);
    let mut pass = pin!(world.reaper.pass());
    let report = loop {
        if let Poll::Ready(report) = poll_once(pass.as_mut()) {
            break report;
        }
    };
    world.faults.step_by_step(false);
    (report, world.faults.calls().split_off(before))
}

#[test]
fn pass_handles_at_most_sixteen_grants_concurrently() {
    let world = due(80);
    let (report, calls) = pass_by_turns(&world);
    let first_change = calls.iter().position(|call| *call == "commit").unwrap();
    assert_eq!(calls.iter().take(first_change).filter(|call| **call == "grant").count(), 16, "{calls:?}");
    let report = report.unwrap();
    assert_eq!((report.n_due, report.n_ended, report.n_failed, report.good), (80, 80, 0, true));
    world.assert_all_ends("together");
}

#[test]
fn pass_report_adds_up_whichever_grant_finishes_first() {
    let world = due(80);
    // The sweep makes the first of the two calls.
    world.faults.plan_next("read_deny", Fault::Refused);
    world.faults.plan_next("read_deny", Fault::Refused);
    world.faults.plan_next("grant", Fault::Throttled);
    let (report, _) = pass_by_turns(&world);
    let report = report.unwrap();
    assert_eq!((report.n_due, report.n_ended, report.n_failed, report.good), (80, 78, 3, true));
    assert_eq!(report.oldest_overdue_s, 3, "two grants did not end");
    world.assert_all_ends("but for two");
}

#[test]
fn two_holders_that_leave_in_one_pass_do_not_hand_over_to_each_other() {
    let (world, first, second) = overlapping();
    world.clock.advance(30);
    [first, second].iter().for_each(|id| release(&world, *id));
    let (report, calls) = pass_by_turns(&world);
    // The sweep reads holders too, before anything changes.
    let changes = calls.iter().skip_while(|call| **call != "commit");
    let counts: Vec<_> = changes.filter(|call| ["holders_of", "commit"].contains(*call)).take(4).collect();
    assert_eq!(counts, [&"commit", &"commit", &"holders_of", &"holders_of"], "the two ends must overlap: {calls:?}");
    assert_eq!(report.unwrap().n_failed, 0, "a lost race is not a failure");
    world.tick_for(90);
    let ended_by = [first, second].map(|id| {
        let State::Ended { ended_by, .. } = world.grant(id).state else { panic!("not ended") };
        ended_by
    });
    assert!(ended_by.contains(&EndedBy::HandOver) && ended_by.contains(&EndedBy::Removal), "{ended_by:?}");
    world.assert_all_ends("left together");
}

#[test]
fn due_grants_and_the_sweep_do_not_wait_for_each_other() {
    let world = due(5);
    (0..50).for_each(|n| world.principals.add(&format!("arn:aws:iam::000000000000:role/legacy/other-{n}"), None));
    let (report, calls) = pass_by_turns(&world);
    let report = report.unwrap();
    assert!(report.swept && report.n_ended == 5, "{report:?}");
    let swept = (calls.iter().position(|call| *call == "standing"), calls.iter().rposition(|call| *call == "standing"));
    let changed = calls.iter().position(|call| *call == "commit");
    assert!(swept.0 < changed && changed < swept.1, "{calls:?}");
}

#[test]
fn pass_proves_an_absence_whose_quiet_period_ends_during_it() {
    let world = World::new();
    world.tick();
    let submitted = (0..60).filter_map(|n| submit_for(&world, &format!("key-{n}"), "batch"));
    assert_eq!(submitted.count(), 60);
    world.activate();
    world.clock.advance(TERM_S);
    // One second passes at every eighth call.
    for number in (world.faults.n_calls() + 1..).step_by(8).take(100) {
        let clock = world.clock.clone();
        world.faults.meanwhile(number, move || clock.advance(1));
    }
    let report = world.tick().unwrap().unwrap();
    assert!(report.n_ended > 4, "{report:?}");
    world.assert_all_ends("in one pass");
}

#[test]
fn throttled_removal_is_retried_in_place_a_bounded_number_of_times() {
    for (n_throttled, is_removed) in [(4, true), (5, false)] {
        let world = World::new();
        world.tick();
        let id = submit_for(&world, "key", "batch").unwrap();
        world.activate();
        world.clock.advance(TERM_S);
        let target = world.target(id).unwrap();
        (0..n_throttled).for_each(|_| world.faults.plan_next("remove", Fault::Throttled));
        let report = world.tick().unwrap().unwrap();
        assert_eq!(world.faults.fired().len(), n_throttled);
        assert_eq!(
            (world.principals.standing(&target).is_none(), report.n_failed),
            (is_removed, u32::from(!is_removed))
        );
        world.assert_all_ends("throttled");
    }
}

#[test]
fn removal_with_a_lost_answer_is_read_back_before_a_retry() {
    let world = World::new();
    world.tick();
    let id = submit_for(&world, "key", "batch").unwrap();
    world.activate();
    world.clock.advance(TERM_S);
    world.faults.plan_next("remove", Fault::AnswerLost);
    let before = world.faults.calls().len();
    world.tick();
    let calls = world.faults.calls().split_off(before);
    assert_eq!(calls.iter().filter(|call| **call == "remove").count(), 1, "{calls:?}");
    assert!(world.principals.standing(&world.target(id).unwrap()).is_none());
}

#[test]
fn crashed_pass_makes_no_more_calls() {
    let world = due(5);
    world.faults.plan_next("commit", Fault::CrashAfter);
    assert!(run(world.reaper.pass()).is_none());
    assert_eq!(world.faults.calls().last(), Some(&"commit"));
    assert_eq!(world.store.snapshot().grants().filter(|grant| !matches!(grant.state, State::Active { .. })).count(), 1);
    world.assert_all_ends("after the crash");
}

#[test]
fn concurrent_role_passes_all_append_to_the_findings_chain() {
    let world = World::new();
    let name = world.deployment.deny_policy_name();
    let roles = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"].map(|target| {
        let role = world.deployment.session_role_arn(&target.parse().unwrap());
        let unknown = brevet_domain::deny::document(["dev.01ARZ3NDEKTSV4RRFFQ69G5FAV"]).unwrap();
        world.roles.tamper(&role, &name, unknown.as_deref());
        role
    });
    let (report, _) = pass_by_turns(&world);
    assert_eq!(report.unwrap().n_failed, 0);
    for role in &roles {
        let denied = Denied::read(&world.roles.standing(role, &name).unwrap());
        assert!(denied.names.is_empty() && denied.cut.is_some(), "{role}: {denied:?}");
    }
    assert_eq!(world.store.peek(|held| held.findings().len()), roles.len());
}
