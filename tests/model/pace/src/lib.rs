//! How fast the reaper ends many grants: the real engine in virtual time, against the model of AWS with AWS's limits.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    reason = "test equipment: a panic here is a test failure"
)]

pub mod aws;
pub mod crowd;
pub mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{Snapshot, run};
use brevet_engine::reap::PASS_BUDGET_S;

use crate::aws::{AwsPace, WRITES_PER_S};
use crate::crowd::Pattern;
use crate::time::VirtualTime;

/// The time between ticks of the schedule, in milliseconds.
const TICK_MS: i64 = 60_000;
/// The delay after the end of a pass before a tick that met it is retried, in milliseconds.
const RETRY_MS: i64 = 2_000;

/// The memory in use, in bytes, if it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// The memory in use now.
    pub now: fn() -> usize,
    /// The largest memory in use since the last reset.
    pub peak: fn() -> usize,
    /// Resets the peak.
    pub reset: fn(),
}

/// The result of ending many grants.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The number of grants due at once.
    pub n: u64,
    /// The number that ended with a proof.
    pub n_ended: usize,
    /// The number of passes that this took.
    pub n_passes: usize,
    /// The number of removals by AWS in each minute.
    pub removed_by_minute: Vec<usize>,
    /// The number of proofs of ending in each minute.
    pub proved_by_minute: Vec<usize>,
    /// The time from the deadline to the last removal, in seconds.
    pub removed_after_s: f64,
    /// The time from the deadline to the last proof, in seconds.
    pub proved_after_s: f64,
    /// The used share of IAM's write limit until the last removal, from 0 to 1.
    pub share: f64,
    /// The number of writes that IAM throttled.
    pub n_throttled: u64,
    /// The largest additional memory of a pass, in bytes, including the model's records. `None` if it is not measured.
    pub heap: Option<usize>,
}

impl Pace {
    /// Whether no grant starved: the last removal and proof came at most two ticks after the time that the limit
    /// itself requires.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "the error is far below a second")]
        let least_s = self.n as f64 / f64::from(WRITES_PER_S);
        self.proved_after_s <= least_s + 120.0
    }
}

/// Ends `n` inline attachments that are due at once, pass after pass.
///
/// # Panics
///
/// If they do not end within four times the time that the limit requires.
#[must_use]
pub fn end_at_once(n: u64, heap: Option<Heap>) -> Pace {
    let pattern = Pattern::new();
    let world = &pattern.world;
    let due_at = world.now().plus(60).floor();
    let ids: BTreeSet<GrantId> = (0..n).map(|n| pattern.attach(n, due_at)).collect();
    world.clock.set(due_at);
    let time = Arc::new(VirtualTime::shown_by(Arc::clone(&world.clock)));
    let pace = Arc::new(AwsPace::new(Arc::clone(&time)));
    world.faults.at_pace(pace.clone());
    let reaper = world.reaper_of("pace", PASS_BUDGET_S);
    let (mut n_passes, mut peak) = (0, None);
    loop {
        let began_with = heap.map(|heap| {
            (heap.reset)();
            (heap.now)()
        });
        drop(time.run(reaper.pass()).expect("a pass that only waits for time"));
        n_passes += 1;
        peak = heap.zip(began_with).map(|(heap, before)| (heap.peak)().saturating_sub(before)).max(peak);
        if world.store.peek(|held| n_ended(held, &ids)) == ids.len() {
            break;
        }
        assert!(
            n_passes < 8 + 4 * usize::try_from(n / u64::from(60 * WRITES_PER_S)).unwrap_or(0),
            "the grants did not all end after {n_passes} passes"
        );
        let now = time.now().as_millis();
        let next_tick = due_at.as_millis() + i64::try_from(n_passes).unwrap_or(i64::MAX) * TICK_MS;
        let next = if now > next_tick { now + RETRY_MS } else { next_tick };
        world.clock.set(Timestamp::from_millis(next));
    }
    let removed: Vec<Timestamp> = {
        let landed = world.principals.landed().into_iter();
        landed.filter(|write| write.put.is_none() && write.at >= due_at).map(|write| write.at).collect()
    };
    let proved: Vec<Timestamp> = world.store.peek(|held| {
        let ours = held.grants().filter(|grant| ids.contains(&grant.id));
        ours.filter_map(|grant| verified_at(&grant.state)).collect()
    });
    let removed_after_s = last_s(&removed, due_at);
    Pace {
        n,
        n_ended: proved.len(),
        n_passes,
        removed_by_minute: by_minute(&removed, due_at),
        proved_by_minute: by_minute(&proved, due_at),
        removed_after_s,
        proved_after_s: last_s(&proved, due_at),
        share: ratio(removed.len(), removed_after_s * f64::from(WRITES_PER_S)),
        n_throttled: pace.n_throttled(),
        heap: peak,
    }
}

/// The port calls of a pass over `n_due` attachments, by kind, with `n_gone` ended grants in the table.
///
/// # Panics
///
/// If the pass is not successful.
#[must_use]
pub fn calls_beside(n_gone: u64, n_due: u64) -> BTreeMap<&'static str, usize> {
    let pattern = Pattern::new();
    let world = &pattern.world;
    (0..n_gone).for_each(|n| pattern.end(n));
    let due_at = world.now().plus(60).floor();
    for n in 0..n_due {
        pattern.attach(n, due_at);
    }
    world.clock.set(due_at);
    let reaper = world.reaper_of("pace", PASS_BUDGET_S);
    let before = world.faults.calls().len();
    let report = run(reaper.pass()).expect("a pass").expect("a report");
    assert!(report.good && u64::from(report.n_due) == n_due, "{report:?}");
    let mut calls = BTreeMap::new();
    for call in world.faults.calls().split_off(before) {
        *calls.entry(call).or_default() += 1;
    }
    calls
}

fn verified_at(state: &State) -> Option<Timestamp> {
    let State::Ended { verified_at, .. } = state else { return None };
    Some(*verified_at)
}

fn n_ended(held: &Snapshot, ids: &BTreeSet<GrantId>) -> usize {
    held.grants().filter(|grant| ids.contains(&grant.id) && verified_at(&grant.state).is_some()).count()
}

fn by_minute(instants: &[Timestamp], from: Timestamp) -> Vec<usize> {
    let minute = |at: &Timestamp| usize::try_from(at.seconds_since(from) / 60).unwrap_or(usize::MAX);
    let n_minutes = instants.iter().map(minute).max().map_or(0, |last| last + 1);
    (0..n_minutes).map(|nth| instants.iter().filter(|at| minute(at) == nth).count()).collect()
}

fn last_s(instants: &[Timestamp], from: Timestamp) -> f64 {
    instants.iter().max().map_or(0.0, |last| seconds(last.as_millis() - from.as_millis()))
}

#[expect(clippy::cast_precision_loss, reason = "shown to the tenth")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "shown to the tenth of a percent")]
fn ratio(n: usize, of: f64) -> f64 {
    n as f64 / of.max(f64::MIN_POSITIVE)
}
