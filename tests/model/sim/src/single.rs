//! One fault at every port call of every use case, and sampled pairs.

use std::collections::BTreeMap;

use brevet_chance::Chance;
use brevet_engine::fake::{Fault, Fired};

use crate::observer::{Claim, Finding};
use crate::run::{Outcome, play};
use crate::stories::Story;
use crate::world::{CALL_S, Model, SKEW_S};

/// How late a call can land: until the time-out of a call that began at the last moment.
const LANDS_LATE: [Fault; 2] = [Fault::LandsLate(3), Fault::LandsLate(CALL_S)];

/// Every fault that is tried at every call.
#[must_use]
pub fn faults() -> Vec<Fault> {
    let ends_by_itself = Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::LandsLate(_)));
    ends_by_itself.chain(LANDS_LATE).chain(Fault::LATE).collect()
}

/// How often each fault fired, by port call.
pub type Table = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// A failure, and how to reproduce it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The use case and its faults.
    pub again: String,
    /// The failed claims.
    pub findings: Vec<Finding>,
}

/// The results of many runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Runs in which the fault fired.
    pub n_runs: u64,
    /// Runs in which the call was reached and does not allow the fault.
    pub n_not_applicable: u64,
    /// The number of port calls of the use cases.
    pub n_calls: u64,
    /// The faults that fired, by port call.
    pub table: Table,
    /// The properties that were not asserted, with counts.
    pub not_asserted: BTreeMap<&'static str, u64>,
    /// The number of checks of each claim.
    pub held: BTreeMap<crate::observer::Claim, u64>,
    pub failures: Vec<Failure>,
}

impl Tally {
    /// Adds the outcome of one run.
    pub fn add(&mut self, outcome: Outcome, again: impl FnOnce() -> String) {
        self.n_runs += 1;
        for fired in &outcome.fired {
            *self.table.entry(fired.call).or_default().entry(fired.fault.name()).or_default() += 1;
        }
        for (what, n) in outcome.not_asserted {
            *self.not_asserted.entry(what).or_default() += n;
        }
        for (claim, n) in outcome.held {
            *self.held.entry(claim).or_default() += n;
        }
        if !outcome.findings.is_empty() {
            self.failures.push(Failure { again: again(), findings: outcome.findings });
        }
    }

    /// Adds the results of other runs.
    pub fn merge(&mut self, other: Self) {
        self.n_runs += other.n_runs;
        self.n_not_applicable += other.n_not_applicable;
        self.n_calls += other.n_calls;
        for (call, by_fault) in other.table {
            for (fault, n) in by_fault {
                *self.table.entry(call).or_default().entry(fault).or_default() += n;
            }
        }
        for (what, n) in other.not_asserted {
            *self.not_asserted.entry(what).or_default() += n;
        }
        for (claim, n) in other.held {
            *self.held.entry(claim).or_default() += n;
        }
        self.failures.extend(other.failures);
    }
}

/// The number of combinations of clock differences and index lags.
const MODELS: u64 = 12;

/// The clock differences of a run, by the number of the call, so that every call is tested under several.
#[must_use]
pub fn model(number: u64) -> Model {
    let skew = i64::from(SKEW_S) * 1_000;
    // Any two clocks, including AWS's, differ by at most the skew.
    let ahead_ms = match number % 4 {
        0 => [0; 5],
        1 => [skew, 0, skew, 0, skew],
        2 => [0, 0, -skew, 0, -skew],
        _ => [-skew, -skew / 2, 0, -skew, -skew / 3],
    };
    Model { ahead_ms, index_lag_s: u32::try_from(number % 3).unwrap_or(0), ..Model::default() }
}

/// Plays `story` with each selected fault at each of its port calls.
///
/// # Panics
///
/// If a call was not reached, or if an applicable planned fault did not fire: then the runs prove nothing.
#[must_use]
pub fn every_fault(story: &Story, mut is_selected: impl FnMut(u64, Fault) -> bool) -> Tally {
    let mut tally = Tally::default();
    let clean = play(&Model::default(), &story.ops, |_| {});
    let missing = story.missing(&clean);
    assert!(
        missing.is_empty(),
        "{}: without a fault, {missing:?} did not occur: {:?} {:?}",
        story.name,
        clean.ends,
        clean.events
    );
    tally.n_calls = clean.n_calls;
    let reached: Vec<_> = (0..MODELS).map(|n| play(&model(n), &story.ops, |_| {}).n_calls).collect();
    for number in 1..=clean.n_calls {
        // Under other clocks a use case may make fewer calls. Calls beyond those are tested under the default model.
        let n_reached = reached[usize::try_from(number % MODELS).unwrap_or(0)];
        let model = if number <= n_reached { model(number) } else { Model::default() };
        for fault in faults() {
            if !is_selected(number, fault) {
                continue;
            }
            let mut outcome = play(&model, &story.ops, |world| world.faults.plan(number, fault));
            let missing = if story.always { story.missing(&outcome) } else { Vec::new() };
            if !missing.is_empty() {
                let what = format!("{missing:?} did not occur: {:?} {:?}", outcome.ends, outcome.events);
                outcome.findings.push(Finding { claim: Claim::NothingStuck, what });
            }
            let again = || format!("{}: call {number} with {fault:?}", story.name);
            match outcome.fired.first() {
                Some(Fired { number: n, fault: f, .. }) => {
                    assert_eq!((*n, *f), (number, fault), "{}: another fault fired", story.name);
                    tally.add(outcome, again);
                }
                None => {
                    assert!(
                        outcome.not_applicable.contains(&(number, fault)),
                        "{}: the fault is applicable and did not fire",
                        again()
                    );
                    tally.n_not_applicable += 1;
                }
            }
        }
    }
    tally
}

/// Whether the random sample includes this call and fault, once in `times`.
#[must_use]
pub fn is_sampled(seed: u64, number: u64, fault: Fault, times: usize) -> bool {
    let index = faults().iter().position(|one| *one == fault).unwrap_or_default();
    Chance::new(seed, number.wrapping_mul(64) + index as u64).one_in(times)
}

/// Plays `story` with `n` random pairs of faults.
#[must_use]
pub fn pairs(story: &Story, n: u64, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let clean = play(&Model::default(), &story.ops, |_| {});
    let faults = faults();
    for run in 0..n {
        let mut chance = Chance::new(seed, run);
        let mut draw = || {
            let number = 1 + chance.number() % clean.n_calls.max(1);
            (number, *chance.pick(&faults))
        };
        let (one, two) = (draw(), draw());
        let outcome = play(&model(one.0), &story.ops, |world| {
            world.faults.plan(one.0, one.1);
            world.faults.plan(two.0, two.1);
        });
        tally.add(outcome, || format!("{}: {one:?} and {two:?}", story.name));
    }
    tally
}
