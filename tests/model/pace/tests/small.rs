//! The bounds of `make pace`, for a smaller crowd.

use brevet_pace::{calls_beside, end_at_once};

#[test]
fn a_crowd_that_is_due_at_once_is_ended_at_the_pace_that_iam_allows() {
    let pace = end_at_once(1_200, None);
    println!("{pace:?}");
    assert_eq!(pace.n_ended, 1_200);
    assert!(pace.n_throttled > 0, "the limit was reached");
    assert!(pace.share >= 0.9 && pace.is_fair(), "{pace:?}");
    // An absence lasts for 22 s until it is proved: of 56 s there are 34 left, with twenty removals in each.
    assert!(pace.proved_by_minute[0] > 600, "what is quiet for long enough is proved by the same pass: {pace:?}");
}

#[test]
fn ended_grants_cost_a_pass_no_call() {
    let alone = calls_beside(0, 50);
    assert!(alone["grant"] >= 50 && alone["remove"] == 50, "{alone:?}");
    assert_eq!(alone, calls_beside(5_000, 50));
}
