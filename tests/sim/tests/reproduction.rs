//! Each bug that the simulation found, as the list of what happened.

use brevet_sim::op::Op;
use brevet_sim::run::play;
use brevet_sim::world::{Model, SKEW_S};

#[track_caller]
fn holds(model: &Model, ops: &[Op]) {
    let outcome = play(model, ops, |_| {});
    assert_eq!(outcome.findings, [], "{:#?}", outcome.ends);
}

const REAP: Op = Op::Reap { other: false };

/// The quiet period between two absences was reckoned by two clocks: where the second reader's was ahead of the first's
/// by more than it, both readings could be made at once, before AWS enforced what they showed.
#[test]
fn two_reapers_whose_clocks_are_apart_read_an_absence_twice_at_once() {
    let behind = -i64::from(SKEW_S) * 1_000;
    let model = Model { ahead_ms: [0, 0, 0, behind, 0], ..Model::default() };
    let begin = [REAP, Op::Ask { who: "bot", what: "batch" }, Op::Issue, Op::Ticks { n: 3 }];
    let end = [Op::Release { nth: 0 }, Op::Wait { seconds: SKEW_S }, REAP, Op::Reap { other: true }];
    holds(&model, &[&begin[..], &end[..]].concat());
}
