//! The orders of the port calls of issue and reap, and of two reapers, on small cases. These tests sample each case by
//! the seed of the run. `make test-long` plays every order in the cases where two functions meet on one grant.

use brevet_chance::seed_or;
use brevet_sim::interleave::{all, cases, drawn};

/// The number of schedules that a test draws for one case.
const N_DRAWN: u64 = 60;

const SEED: u64 = 1;

#[test]
fn sampled_call_orders_keep_every_invariant() {
    let seed = seed_or(SEED);
    for case in cases() {
        let explored = drawn(&case, N_DRAWN, seed);
        assert!(explored.failures.is_empty(), "{}: {:#?}", case.name, explored.failures);
        assert!(explored.n_schedules > 1, "{}: the functions never met: {}", case.name, explored.extent());
    }
}

#[test]
fn incompletely_played_case_is_reported() {
    let case = cases().into_iter().find(|case| case.must_be_all).expect("a case that must be complete");
    assert!(case.missing(&all(&case, 10)).is_some());
}
