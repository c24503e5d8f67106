//! Each bug that the simulation found, as the list of what happened.

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

/// A session was read denied, somebody took the deny away, and the reaper put it again: reading that at once was counted
/// as the second time, though AWS may not have enforced it yet.
#[test]
fn a_deny_that_had_to_be_put_again_is_not_read_as_the_second_absence() {
    let begin = [REAP, Op::Ask { who: "bot", what: "deploy" }, Op::Vend { nth: 0 }, Op::Release { nth: 0 }, REAP];
    let end = [Op::EditDeny { gone: true }, Op::Wait { seconds: 100 }, REAP];
    holds(&Model::default(), &[&begin[..], &end[..]].concat());
}

/// The one walk over every live grant that looks for leavers went by an index that did not show the newest yet.
#[test]
fn a_leaver_whose_grant_the_index_does_not_show_yet_is_found() {
    let model = Model { index_lag_s: 5, ..Model::default() };
    let begin = [REAP, Op::Ask { who: "bot", what: "deploy" }, Op::Vend { nth: 0 }];
    let leave = [Op::Redeploy { without: Some(Leaver::Person("bot")) }];
    // One process alone ticks: another one would begin with a walk of its own.
    let ticks = [REAP, Op::Wait { seconds: TICK_S }].repeat(12);
    holds(&model, &[&begin[..], &leave[..], &ticks[..]].concat());
}
