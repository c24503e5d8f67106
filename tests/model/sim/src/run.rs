//! One run: a list of what happens, then ticks until quiet, under the observer's eyes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use brevet_domain::drill::Drilled;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{Fault, Fired, Snapshot};

use crate::observer::{Claim, Finding, Observer};
use crate::op::Op;
use crate::world::{Model, TICK_S, World};

/// How often the schedule ticks until everything must be quiet: far beyond the longest life and the slowest retry.
const MAX_TICKS: usize = 400;

/// After so many of them the clock may be moved on where nothing is due: what looks at everything has come by.
const EARLY_TICKS: usize = 8;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What did not hold.
    pub findings: Vec<Finding>,
    /// What was not asserted, and how often.
    pub not_asserted: BTreeMap<&'static str, u64>,
    /// How often each claim was held against something.
    pub held: BTreeMap<Claim, u64>,
    /// The faults that fired.
    pub fired: Vec<Fired>,
    /// The planned faults whose call was reached and cannot have them.
    pub unfit: Vec<(u64, Fault)>,
    /// How many port calls the list made, before the ticks until quiet.
    pub n_calls: u64,
    /// The port calls of the list.
    pub calls: Vec<&'static str>,
    /// The states in which grants ended up, and how they got there.
    pub ends: Vec<String>,
    /// What evidence and drills tell happened.
    pub told: BTreeSet<String>,
}

/// Plays `ops` in a world like `model`, and lets it come to rest. A panic is a finding.
#[must_use]
pub fn play(model: &Model, ops: &[Op], prepare: impl FnOnce(&World)) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(model.clone());
        prepare(&world);
        let mut observer = Observer::default();
        let n_calls = tell(&mut world, &mut observer, ops);
        let calls = world.faults.calls();
        settle(&mut world, &mut observer);
        conclude(&world, observer, n_calls, calls)
    }));
    played.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Outcome {
            findings: vec![Finding { claim: Claim::NothingStuck, what: format!("it panicked: {what}") }],
            ..Outcome::default()
        }
    })
}

/// Plays the list. Answers how many port calls it made.
pub fn tell(world: &mut World, observer: &mut Observer, ops: &[Op]) -> u64 {
    for op in ops {
        if let Op::Ticks { n } = op {
            for n in 0..*n {
                world.play(&Op::Reap { other: n % 2 == 1 });
                world.play(&Op::Issue);
                observer.look(world);
                world.clock.advance(TICK_S);
                observer.look(world);
            }
        } else if let Op::Echoes { seconds } = op {
            world.play(&Op::Echoes { seconds: 0 });
            for _ in 0..*seconds {
                world.hear_echoes();
                observer.look(world);
            }
        } else {
            world.play(op);
            observer.look(world);
        }
    }
    world.faults.n_calls()
}

/// Ticks until nothing is left to do. Where nothing is due for long, the clock is moved on.
pub fn settle(world: &mut World, observer: &mut Observer) {
    world.faults.clear();
    observer.audit(world);
    for n in 0..MAX_TICKS {
        world.play(&Op::Issue);
        world.play(&Op::Reap { other: n % 2 == 1 });
        observer.look(world);
        if world.parked.is_empty() && world.store.peek(|held| is_quiet(world, held)) {
            break;
        }
        let is_early = n < EARLY_TICKS;
        let idle_s = if is_early { 0 } else { world.store.peek(|held| idle_s(held, world.now())) };
        // What is due is looked at as a schedule would; what is not can be slept through, ticking all the while in vain.
        for _ in 0..idle_s / TICK_S {
            world.clock.advance(TICK_S);
            world.last_pass_at = world.now();
            observer.look(world);
        }
        world.clock.advance(if idle_s < TICK_S { TICK_S } else { idle_s % TICK_S });
        observer.look(world);
    }
    // What was still on its way lands.
    for _ in 0..4 {
        world.clock.advance(TICK_S);
        observer.look(world);
    }
    observer.finale(world);
}

/// What a run came to.
#[must_use]
pub fn conclude(world: &World, observer: Observer, n_calls: u64, calls: Vec<&'static str>) -> Outcome {
    let ends = world.store.peek(|held| held.grants().map(|grant| format!("{:?}", grant.state)).collect());
    Outcome {
        findings: observer.findings,
        not_asserted: observer.not_asserted,
        held: observer.held,
        fired: world.faults.fired(),
        unfit: world.faults.unfit(),
        n_calls,
        calls,
        ends,
        told: world.store.peek(told),
    }
}

fn told(held: &Snapshot) -> BTreeSet<String> {
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

/// For how long nothing is due, in seconds, 300 at most.
fn idle_s(held: &Snapshot, now: Timestamp) -> u32 {
    let due = held.grants().filter_map(brevet_domain::grant::Grant::due_at);
    let denies = held.denies().map(|entry| entry.leave_at);
    let next = due.chain(denies).min();
    let marked = held.grants().any(|grant| held.has_mark(grant.id));
    let idle = next.map_or(0, |next| next.seconds_since(now));
    if marked { 0 } else { u32::try_from(idle.min(300)).unwrap_or(0) }
}
