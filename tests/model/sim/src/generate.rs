//! Generated lists of operations, and the shortest list that still fails.

use brevet_chance::Chance;

use crate::catalogue::{APPROVERS, ASKERS, ENTITLEMENTS, Leaver};
use crate::op::{Op, Scope};
use crate::run::{Outcome, play};
use crate::single::{Failure, Tally, faults};
use crate::world::{CALL_S, Function, Model, SKEW_S, TICK_S};

/// A run: a model, and the operations in it.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub model: Model,
    pub ops: Vec<Op>,
}

/// The kinds of operations that may occur beside the ordinary ones.
#[derive(Clone, Copy, Debug)]
struct Mix {
    faults: bool,
    tampering: bool,
    restores: bool,
    overlaps: bool,
    earliest_ms: i64,
}

/// Draws run `run` of `seed`.
#[must_use]
pub fn draw(seed: u64, run: u64) -> Drawn {
    let mut chance = Chance::new(seed, run);
    let skew_ms = i64::from(SKEW_S) * 1_000;
    // Any two clocks, including AWS's, differ by at most the skew.
    let earliest_ms = -(chance.below(13) as i64) * skew_ms / 12;
    let mut ahead = || earliest_ms + chance.below(13) as i64 * skew_ms / 12;
    let ahead_ms = [ahead(), ahead(), ahead(), ahead(), ahead()];
    let model = Model { ahead_ms, index_lag_s: *chance.pick(&[0, 1, 2, 3, 4, 5]), ..Model::default() };
    let mix = Mix {
        faults: chance.one_in(2),
        tampering: chance.one_in(3),
        restores: chance.one_in(5),
        overlaps: chance.one_in(3),
        earliest_ms,
    };
    let mut ops = vec![Op::Reap { other: false }];
    // Some grants are granted and used first, so that there is something to end.
    for nth in 0..1 + chance.below(3) {
        let who = name(&mut chance, &ASKERS);
        ops.push(Op::Ask { who, what: asked(&mut chance, mix) });
        ops.push(Op::Vote { nth, by: name(&mut chance, &APPROVERS), yes: true });
        ops.extend([Op::Vend { nth }, Op::Wake { nth }]);
        if chance.one_in(2) {
            ops.push(op(&mut chance, mix));
        }
    }
    for _ in 0..4 + chance.below(20) {
        ops.push(op(&mut chance, mix));
    }
    Drawn { model, ops }
}

fn op(chance: &mut Chance, mix: Mix) -> Op {
    let nth = chance.below(4);
    if mix.faults && chance.one_in(6) {
        return Op::Fail { ahead: 1 + chance.below(60) as u64, fault: *chance.pick(&faults()) };
    }
    if mix.tampering && chance.one_in(8) {
        return match chance.below(6) {
            0 | 1 => Op::EditPolicy { nth, gone: chance.one_in(2) },
            2 => Op::EditDeny { gone: chance.one_in(2) },
            3 => Op::Boundary { stands: false },
            4 => Op::Boundary { stands: true },
            _ => Op::Redeploy { without: leaver(chance) },
        };
    }
    if mix.restores && chance.one_in(8) {
        return *chance.pick(&[Op::BackUp, Op::BackUp, Op::Restore, Op::Restore, Op::Confirm, Op::Empty]);
    }
    match chance.below(26) {
        0..=3 => Op::Ask { who: name(chance, &ASKERS), what: asked(chance, mix) },
        4 | 5 => Op::Issue,
        6..=8 => Op::Vote { nth, by: name(chance, &APPROVERS), yes: !chance.one_in(5) },
        9..=11 => Op::Vend { nth },
        12 | 13 => Op::Release { nth },
        14 => Op::Revoke { nth },
        15 => {
            let scopes =
                [Scope::Identity, Scope::Sponsor, Scope::Class, Scope::Entitlement, Scope::Account, Scope::All];
            Op::Kill { nth, scope: *chance.pick(&scopes) }
        }
        16 => Op::Lift,
        17 | 18 => Op::Wake { nth },
        19 => Op::TwoReapers { order: chance.number() },
        20 => Op::IssueAndReap { order: chance.number() },
        21 => Op::AllAtOnce { nth, order: chance.number() },
        22 => Op::Expire,
        23 => {
            let functions =
                [Function::Intake, Function::Evaluate, Function::Issue, Function::Reap, Function::OtherReap];
            let ahead_ms = mix.earliest_ms + chance.below(13) as i64 * i64::from(SKEW_S) * 1_000 / 12;
            Op::Jump { function: *chance.pick(&functions), ahead_ms }
        }
        24 => Op::Wait { seconds: *chance.pick(&[1, CALL_S, TICK_S, 2 * TICK_S + 5, 100, 320]) },
        _ => Op::Ticks { n: *chance.pick(&[1, 2, 3, 4]) },
    }
}

/// Draws one of `names`.
fn name(chance: &mut Chance, names: &[&'static str]) -> &'static str {
    chance.pick::<&'static str>(names)
}

fn asked(chance: &mut Chance, mix: Mix) -> &'static str {
    name(chance, if mix.overlaps { &["sync", "sync", "batch"] } else { &ENTITLEMENTS })
}

fn leaver(chance: &mut Chance) -> Option<Leaver> {
    match chance.below(5) {
        0 => Some(Leaver::Person(name(chance, &ASKERS))),
        1 => Some(Leaver::Person("dana")),
        2 => Some(Leaver::Entitlement(name(chance, &ENTITLEMENTS))),
        _ => None,
    }
}

/// Plays `runs` runs of `seed` from number `from` on, in steps of `stride`.
#[must_use]
pub fn generated(seed: u64, from: u64, runs: u64, stride: u64) -> Tally {
    let mut tally = Tally::default();
    for run in (from..from + runs).step_by(usize::try_from(stride.max(1)).unwrap_or(1)) {
        let drawn = draw(seed, run);
        let outcome = play(&drawn.model, &drawn.ops, |_| {});
        tally.n_calls += outcome.n_calls;
        let wrong = !outcome.findings.is_empty();
        tally.add(outcome, || format!("run {run} of seed {seed}"));
        if wrong {
            let (shortest, outcome) = shortest(&drawn);
            tally.failures.push(Failure {
                again: format!(
                    "run {run} of seed {seed}, shortened: ahead {:?} ms, index lag {} s, {:#?}",
                    shortest.model.ahead_ms, shortest.model.index_lag_s, shortest.ops
                ),
                findings: outcome.findings,
            });
        }
    }
    tally
}

/// Leaves out every operation without which the run still fails in the same way.
fn shortest(drawn: &Drawn) -> (Drawn, Outcome) {
    let claims = |outcome: &Outcome| outcome.findings.iter().map(|finding| finding.claim).collect::<Vec<_>>();
    let mut last = play(&drawn.model, &drawn.ops, |_| {});
    let claim_of_run = claims(&last).first().copied();
    let mut shortest = drawn.clone();
    let goes_wrong = |drawn: &Drawn| {
        let outcome = play(&drawn.model, &drawn.ops, |_| {});
        claims(&outcome).iter().any(|claim| Some(*claim) == claim_of_run).then_some(outcome)
    };
    for plain in [Model { index_lag_s: 0, ..drawn.model.clone() }, Model::default()] {
        let simpler = Drawn { model: plain, ops: shortest.ops.clone() };
        if let Some(outcome) = goes_wrong(&simpler) {
            (shortest, last) = (simpler, outcome);
        }
    }
    let mut size = shortest.ops.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < shortest.ops.len() {
            let mut ops = shortest.ops.clone();
            drop(ops.drain(at..(at + size).min(ops.len())));
            let simpler = Drawn { model: shortest.model.clone(), ops };
            match goes_wrong(&simpler) {
                Some(outcome) => (shortest, last) = (simpler, outcome),
                None => at += size,
            }
        }
        size /= 2;
    }
    (shortest, last)
}
