//! The orders of the port calls of issue and reap, and of two reapers, on small cases. Here a sample is drawn of each case,
//! by the seed of the run. `make test-long` plays every order where two functions meet on one grant.

use brevet_chance::seed_or;
use brevet_sim::interleave::{all, cases, drawn};

/// Schedules of one case that are drawn in a test.
const N_DRAWN: u64 = 60;

const SEED: u64 = 1;

#[test]
fn drawn_orders_of_calls_leave_every_invariant_standing() {
    let seed = seed_or(SEED);
    for case in cases() {
        let explored = drawn(&case, N_DRAWN, seed);
        assert!(explored.failures.is_empty(), "{}: {:#?}", case.name, explored.failures);
        assert!(explored.n_schedules > 1, "{}: the functions never met: {}", case.name, explored.extent());
    }
}

#[test]
fn a_case_that_was_left_before_its_end_is_noticed() {
    let case = cases().into_iter().find(|case| case.must_be_all).expect("a case that is played whole");
    assert!(case.missing(&all(&case, 10)).is_some());
}
