//! One run: a list of operations, then ticks until quiet, with the observer's checks.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use brevet_domain::drill::Drilled;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{Fault, Fired, Snapshot};

use crate::observer::{Claim, Finding, Observer};
use crate::op::Op;
use crate::world::{Model, TICK_S, World};

/// The most ticks until everything must be quiet: far beyond the longest life and the slowest retry.
const MAX_TICKS: usize = 400;

/// The clock may skip idle time only after this many ticks: by then every full scan has run.
const EARLY_TICKS: usize = 8;

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The failed claims.
    pub findings: Vec<Finding>,
    /// The properties that were not asserted, with counts.
    pub not_asserted: BTreeMap<&'static str, u64>,
    /// The number of checks of each claim.
    pub held: BTreeMap<Claim, u64>,
    /// The faults that fired.
    pub fired: Vec<Fired>,
    /// The planned faults whose call was reached and does not allow them.
    pub not_applicable: Vec<(u64, Fault)>,
    /// The number of port calls of the list, without the ticks until quiet.
    pub n_calls: u64,
    /// The port calls of the list.
    pub calls: Vec<&'static str>,
    /// The final states of the grants, with how they got there.
    pub ends: Vec<String>,
    /// The events in evidence and the stages of drills.
    pub events: BTreeSet<String>,
}

/// Plays `ops` in a world like `model`, and lets it settle. A panic is a finding.
#[must_use]
pub fn play(model: &Model, ops: &[Op], prepare: impl FnOnce(&World)) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(model.clone());
        prepare(&world);
        let mut observer = Observer::default();
        let n_calls = play_ops(&mut world, &mut observer, ops);
        let calls = world.faults.calls();
        settle(&mut world, &mut observer);
        conclude(&world, observer, n_calls, calls)
    }));
    played.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Outcome {
            findings: vec![Finding { claim: Claim::NothingStuck, what: format!("the run panicked: {what}") }],
            ..Outcome::default()
        }
    })
}

/// Plays the operations. Returns the number of port calls that they made.
pub fn play_ops(world: &mut World, observer: &mut Observer, ops: &[Op]) -> u64 {
    for op in ops {
        if let Op::Ticks { n } = op {
            for n in 0..*n {
                world.play(&Op::Reap { other: n % 2 == 1 });
                world.play(&Op::Issue);
                observer.observe(world);
                world.clock.advance(TICK_S);
                observer.observe(world);
            }
        } else if let Op::StandbyTicks { seconds } = op {
            world.play(&Op::StandbyTicks { seconds: 0 });
            for _ in 0..*seconds {
                world.receive_standby_ticks();
                observer.observe(world);
            }
        } else {
            world.play(op);
            observer.observe(world);
        }
    }
    world.faults.n_calls()
}

/// Ticks until nothing is left to do. Skips time in which nothing is due.
pub fn settle(world: &mut World, observer: &mut Observer) {
    world.faults.clear();
    observer.audit(world);
    for n in 0..MAX_TICKS {
        world.play(&Op::Issue);
        world.play(&Op::Reap { other: n % 2 == 1 });
        observer.observe(world);
        if world.parked.is_empty() && world.store.peek(|held| is_quiet(world, held)) {
            break;
        }
        let is_early = n < EARLY_TICKS;
        let idle_s = if is_early { 0 } else { world.store.peek(|held| idle_s(held, world.now())) };
        // The due time is ticked through as by the schedule; idle time is skipped in whole ticks.
        for _ in 0..idle_s / TICK_S {
            world.clock.advance(TICK_S);
            world.last_pass_at = world.now();
            observer.observe(world);
        }
        world.clock.advance(if idle_s < TICK_S { TICK_S } else { idle_s % TICK_S });
        observer.observe(world);
    }
    // Late calls land now.
    for _ in 0..4 {
        world.clock.advance(TICK_S);
        observer.observe(world);
    }
    observer.finale(world);
}

#[must_use]
pub fn conclude(world: &World, observer: Observer, n_calls: u64, calls: Vec<&'static str>) -> Outcome {
    let ends = world.store.peek(|held| held.grants().map(|grant| format!("{:?}", grant.state)).collect());
    Outcome {
        findings: observer.findings,
        not_asserted: observer.not_asserted,
        held: observer.held,
        fired: world.faults.fired(),
        not_applicable: world.faults.not_applicable(),
        n_calls,
        calls,
        ends,
        events: world.store.peek(events),
    }
}

fn events(held: &Snapshot) -> BTreeSet<String> {
    let events = held.grants().flat_map(|grant| held.evidence_of(grant.id)).map(|entry| entry.body.event);
    let stages =
        |drilled: Drilled| held.drills(drilled).map(move |record| format!("{drilled} {}", record.stage.name()));
    events.chain(Drilled::ALL.into_iter().flat_map(stages)).collect()
}

fn is_quiet(world: &World, held: &Snapshot) -> bool {
    let principal = world.principals.whole(crate::catalogue::BATCH);
    held.grants().all(|grant| grant.state.is_terminal() && grant.due_at().is_none() && !held.has_mark(grant.id))
        && held.denies().count() == 0
        && world.sts.maybe_live(&world.roles, &world.deployment.deny_policy_name(), 0).is_empty()
        && principal.is_none_or(|principal| principal.inline.is_empty() && principal.attached.is_empty())
        && world.roles.denying().is_empty()
}

/// For how many seconds nothing is due, at most 300.
fn idle_s(held: &Snapshot, now: Timestamp) -> u32 {
    let due = held.grants().filter_map(brevet_domain::grant::Grant::due_at);
    let denies = held.denies().map(|entry| entry.leave_at);
    let next = due.chain(denies).min();
    let marked = held.grants().any(|grant| held.has_mark(grant.id));
    let idle = next.map_or(0, |next| next.seconds_since(now));
    if marked { 0 } else { u32::try_from(idle.min(300)).unwrap_or(0) }
}
