//! How fast the reaper ends a crowd: the real engine, in virtual time, against the model of AWS at AWS's pace.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    reason = "test equipment: what goes wrong here is seen as a failure"
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

/// How far apart the ticks of the schedule are, in milliseconds.
const TICK_MS: i64 = 60_000;
/// A tick that meets a pass under way is tried again so long after it was over, in milliseconds.
const RETRY_MS: i64 = 2_000;

/// How much memory is in use, where that is counted: bytes.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Now.
    pub now: fn() -> usize,
    /// At the most since it was last reset.
    pub peak: fn() -> usize,
    /// Resets the peak.
    pub reset: fn(),
}

/// What ending a crowd came to.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How many grants were due at once.
    pub n: u64,
    /// How many of them ended with a proof.
    pub n_ended: usize,
    /// How many passes that took.
    pub n_passes: usize,
    /// How many AWS removed in each minute.
    pub removed_by_minute: Vec<usize>,
    /// And how many were proved to have ended.
    pub proved_by_minute: Vec<usize>,
    /// From when they were due until AWS had removed the last, in seconds.
    pub removed_after_s: f64,
    /// And until the end of the last was proved.
    pub proved_after_s: f64,
    /// How much of IAM's limit was used until the last removal, as a part of one.
    pub share: f64,
    /// How often IAM answered that there were too many writes.
    pub n_throttled: u64,
    /// The most memory that a pass had in use beyond what was in use when it began, in bytes: with what the model wrote
    /// down meanwhile. Nothing where it is not counted.
    pub heap: Option<usize>,
}

impl Pace {
    /// Whether none was starved: the last one to be removed and proved waited no more than two ticks longer than the limit
    /// makes somebody wait.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "far from where it shows")]
        let least_s = self.n as f64 / f64::from(WRITES_PER_S);
        self.proved_after_s <= least_s + 120.0
    }
}

/// Ends `n` inline attachments that are due at once, tick after tick.
///
/// # Panics
///
/// If they do not end within four times what the limit allows.
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
        drop(time.run(reaper.pass()).expect("a pass that waits for time alone"));
        n_passes += 1;
        peak = heap.zip(began_with).map(|(heap, before)| (heap.peak)().saturating_sub(before)).max(peak);
        if world.store.peek(|held| n_ended(held, &ids)) == ids.len() {
            break;
        }
        assert!(n_passes < 8 + 4 * usize::try_from(n / u64::from(60 * WRITES_PER_S)).unwrap_or(0), "it does not end");
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

/// The port calls of a pass over `n_due` attachments, in a table that holds `n_gone` ended grants besides: how many of each.
///
/// # Panics
///
/// If the pass does not go well.
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
    let report = run(reaper.pass()).expect("a pass").expect("a heart");
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
    (0..n_minutes).map(|wanted| instants.iter().filter(|at| minute(at) == wanted).count()).collect()
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
