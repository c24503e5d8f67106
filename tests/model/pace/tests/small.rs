//! The bounds of `make pace`, for fewer grants.

use brevet_pace::{calls_beside, end_at_once};

#[test]
fn grants_due_at_once_end_at_the_rate_that_iam_allows() {
    let pace = end_at_once(1_200, None);
    println!("{pace:?}");
    assert_eq!(pace.n_ended, 1_200);
    assert!(pace.n_throttled > 0, "the run must reach the limit");
    assert!(pace.share >= 0.9 && pace.is_fair(), "{pace:?}");
    // A proof follows the absence after 22 s: of 56 s, 34 remain, with twenty removals in each.
    assert!(pace.proved_by_minute[0] > 600, "a pass proves the absences that lasted long enough during it: {pace:?}");
}

#[test]
fn ended_grants_add_no_call_to_a_pass() {
    let alone = calls_beside(0, 50);
    assert!(alone["grant"] >= 50 && alone["remove"] == 50, "{alone:?}");
    assert_eq!(alone, calls_beside(5_000, 50));
}
