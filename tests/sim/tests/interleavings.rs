//! Every order of the port calls of issue and reap, and of two reapers, on small cases.

use brevet_sim::interleave::{cases, explore};

/// Schedules of one case at the most, in a test.
const LIMIT: u64 = 150;

#[test]
fn every_order_of_calls_leaves_every_invariant_standing() {
    for case in cases() {
        let explored = explore(&case, LIMIT);
        println!(
            "{}: {} schedules of {} calls at the most, {} left{}: {:?}",
            case.name,
            explored.n_schedules,
            explored.n_calls,
            explored.n_left,
            if explored.is_all { ", all" } else { "" },
            explored.ends
        );
        assert!(explored.failures.is_empty(), "{}: {:#?}", case.name, explored.failures);
        assert!(explored.n_schedules > 1, "{}: nothing met", case.name);
    }
}
