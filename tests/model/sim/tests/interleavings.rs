//! The orders of the port calls of issue and reap, and of two reapers, on small cases: every one for two of them on one
//! grant, and drawn ones for the others.

use brevet_sim::interleave::{Case, Explored, all, cases, drawn, explore};

/// Schedules of one case that are drawn in a test.
const N_DRAWN: u64 = 60;

const SEED: u64 = 1;

fn hold(case: &Case, explored: &Explored) {
    assert!(explored.failures.is_empty(), "{}: {:#?}", case.name, explored.failures);
    assert!(explored.n_schedules > 1, "{}: nothing met: {}", case.name, explored.extent());
    assert_eq!(case.missing(explored), None);
}

#[test]
fn every_order_of_the_calls_of_two_leaves_every_invariant_standing() {
    for case in cases().into_iter().filter(|case| case.must_be_all) {
        hold(&case, &explore(&case, 0, SEED));
    }
}

#[test]
fn drawn_orders_of_calls_leave_every_invariant_standing() {
    for case in cases().into_iter().filter(|case| !case.must_be_all) {
        hold(&case, &drawn(&case, N_DRAWN, SEED));
    }
}

#[test]
fn a_case_that_was_left_before_its_end_is_noticed() {
    let case = cases().into_iter().find(|case| case.must_be_all).expect("a case that is played whole");
    assert!(case.missing(&all(&case, 10)).is_some());
}
