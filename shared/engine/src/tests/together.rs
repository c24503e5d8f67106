//! One pass looks at several grants together, and each ends as if it had been alone.

use std::pin::pin;
use std::task::Poll;

use brevet_domain::deny::Denied;
use brevet_domain::grant::{EndedBy, State};

use super::attaching::release;
use super::managed::overlapping;
use super::world::{TERM_S, World, id_of};
use crate::fake::{Fault, poll_once, run};
use crate::port::PortResult;
use crate::reap::PassReport;

/// So many sessions that are due at once.
fn due(n: usize) -> World {
    let world = World::new();
    world.tick();
    for n in 0..n {
        let id = id_of(world.submit("bot ask run-1", &format!("key-{n}")));
        world.vend("bot credentials run-1", id).unwrap().unwrap();
    }
    world.clock.advance(TERM_S + 3);
    world
}

/// A pass whose calls come one by one, those of grants that it looks at together by turns; and these calls.
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
fn a_pass_looks_at_thirty_two_grants_together_and_at_no_more() {
    let world = due(80);
    let (report, calls) = pass_by_turns(&world);
    let first_change = calls.iter().position(|call| *call == "commit").unwrap();
    assert_eq!(calls.iter().take(first_change).filter(|call| **call == "grant").count(), 32, "{calls:?}");
    let report = report.unwrap();
    assert_eq!((report.n_due, report.n_ended, report.n_failed, report.good), (80, 80, 0, true));
    world.assert_all_ends("together");
}

#[test]
fn what_grants_of_one_pass_came_to_adds_up_whichever_is_done_first() {
    let world = due(80);
    // Of the two, the sweep meets the first.
    world.faults.plan_next("read_deny", Fault::Refused);
    world.faults.plan_next("read_deny", Fault::Refused);
    world.faults.plan_next("grant", Fault::Throttled);
    let (report, _) = pass_by_turns(&world);
    let report = report.unwrap();
    assert_eq!((report.n_due, report.n_ended, report.n_failed, report.good), (80, 78, 3, true));
    assert_eq!(report.oldest_overdue_s, 3, "the two that did not end");
    world.assert_all_ends("but for two");
}

#[test]
fn two_holders_of_a_managed_policy_that_leave_in_one_pass_do_not_hand_it_over_to_each_other() {
    let (world, first, second) = overlapping();
    world.clock.advance(30);
    [first, second].iter().for_each(|id| release(&world, *id));
    let (report, calls) = pass_by_turns(&world);
    // The sweep counts too, before anything is due.
    let due = calls.iter().skip_while(|call| **call != "due");
    let counts: Vec<_> = due.filter(|call| ["count", "commit"].contains(*call)).take(4).collect();
    assert_eq!(counts, [&"commit", &"commit", &"count", &"count"], "they met: {calls:?}");
    assert_eq!(report.unwrap().n_failed, 0, "a lost race is no failure");
    world.tick_for(90);
    let ended_by = [first, second].map(|id| {
        let State::Ended { ended_by, .. } = world.grant(id).state else { panic!("not ended") };
        ended_by
    });
    assert!(ended_by.contains(&EndedBy::HandOver) && ended_by.contains(&EndedBy::Removal), "{ended_by:?}");
    world.assert_all_ends("left together");
}

#[test]
fn a_process_that_dies_over_one_grant_does_nothing_more_about_the_others() {
    let world = due(5);
    world.faults.plan_next("commit", Fault::CrashAfter);
    assert!(run(world.reaper.pass()).is_none());
    assert_eq!(world.faults.calls().last(), Some(&"commit"));
    assert_eq!(world.store.snapshot().grants().filter(|grant| !matches!(grant.state, State::Active { .. })).count(), 1);
    world.assert_all_ends("after the crash");
}

#[test]
fn roles_that_are_settled_together_and_tell_of_the_same_chain_all_get_through() {
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
