//! Each bug that the simulation found, as a list of operations.

use brevet_sim::catalogue::Leaver;
use brevet_sim::op::Op;
use brevet_sim::run::play;
use brevet_sim::world::{Model, SKEW_S, TICK_S};

#[track_caller]
fn holds(model: &Model, ops: &[Op]) {
    let outcome = play(model, ops, |_| {});
    assert_eq!(outcome.findings, [], "{:#?}", outcome.ends);
}

const REAP: Op = Op::Reap { other: false };

/// Bug: the quiet period between two absences was computed by two clocks. If the second reader's clock was ahead by
/// more than the period, both readings could be made at once, before AWS enforced what they showed.
#[test]
fn reapers_with_different_clocks_wait_between_absence_readings() {
    let behind = -i64::from(SKEW_S) * 1_000;
    let model = Model { ahead_ms: [0, 0, 0, behind, 0], ..Model::default() };
    let begin = [REAP, Op::Ask { who: "bot", what: "batch" }, Op::Issue, Op::Ticks { n: 3 }];
    let end = [Op::Release { nth: 0 }, Op::Wait { seconds: SKEW_S }, REAP, Op::Reap { other: true }];
    holds(&model, &[&begin[..], &end[..]].concat());
}

/// Bug: a session was read as denied, somebody removed the deny, and the reaper put it again. An immediate reading
/// then counted as the second one, though AWS might not enforce the deny yet.
#[test]
fn deny_that_was_put_again_does_not_count_as_the_second_reading() {
    let begin = [REAP, Op::Ask { who: "bot", what: "deploy" }, Op::Vend { nth: 0 }, Op::Release { nth: 0 }, REAP];
    let end = [Op::EditDeny { gone: true }, Op::Wait { seconds: 100 }, REAP];
    holds(&Model::default(), &[&begin[..], &end[..]].concat());
}

/// Bug: the full scan of live grants for leavers used an index that did not show the newest grants yet.
#[test]
fn leaver_is_found_when_the_index_lags() {
    let model = Model { index_lag_s: 5, ..Model::default() };
    let begin = [REAP, Op::Ask { who: "bot", what: "deploy" }, Op::Vend { nth: 0 }];
    let leave = [Op::Redeploy { without: Some(Leaver::Person("bot")) }];
    // Only one process ticks: another one would start with its own scan.
    let ticks = [REAP, Op::Wait { seconds: TICK_S }].repeat(12);
    holds(&model, &[&begin[..], &leave[..], &ticks[..]].concat());
}
