//! The orders in which several functions can make their port calls, for small cases. Every order is played if there
//! are few enough; otherwise a random sample is.
//!
//! Each schedule is played from the start in its own world. Orders that differ only in independent calls (two reads,
//! or calls on different state) are played once: sleep sets, as in P. Godefroid, *Partial-Order Methods for the
//! Verification of Concurrent Systems*, 1996.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use brevet_chance::Chance;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_engine::port::RawProof;
use brevet_engine::reap::FoundBy;

use crate::observer::{Finding, Observer};
use crate::op::Op;
use crate::policy::locked;
use crate::run;
use crate::world::{Fate, Function, Model, Work, World};

pub use self::cases::cases;

mod cases;

/// One of the concurrent runners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// Issue reconciles the nth grant.
    Issue(usize),
    /// Reap reconciles the nth grant.
    Reap(usize),
    /// Reap's other process reconciles the nth grant.
    OtherReap(usize),
    /// The holder of the nth grant fetches credentials.
    Vend(usize),
    /// The holder of the nth grant releases it.
    Release(usize),
    /// This many seconds pass at some point.
    Time(u32),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    /// The operations that happen first.
    pub before: Vec<Op>,
    /// The runners that then run concurrently.
    pub runners: Vec<Runner>,
    /// By how many seconds issue's clock is slow. Reap then sees a deadline before issue does.
    pub apart_s: u32,
    /// Whether every schedule must be played. Then only the limit [`ALL_AT_MOST`] applies.
    pub must_be_all: bool,
}

/// The most schedules of a case that must be played completely. Beyond that the case has grown too large, which is a
/// failure.
pub const ALL_AT_MOST: u64 = 5_000;

/// The longest average stretch of port calls by one runner before another may run, in a drawn schedule.
const MAX_STRETCH: usize = 8;

/// The result of playing a case.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// The number of different schedules that were played to their end.
    pub n_schedules: u64,
    /// The number of schedules that were skipped because another one differs only in the order of independent calls.
    pub n_left: u64,
    /// The number of port calls in the longest schedule.
    pub n_calls: usize,
    /// Whether every schedule was played. Otherwise they were sampled, or the limit was reached.
    pub is_all: bool,
    /// The final states of the grants.
    pub ends: BTreeSet<String>,
    /// The findings, each with its schedule.
    pub failures: Vec<(Vec<usize>, Vec<Finding>)>,
}

/// The state that a call reads and writes, one bit for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touches {
    reads: u16,
    writes: u16,
}

const GRANTS: u16 = 1;
const DECISIONS: u16 = 1 << 1;
const ACTIVATIONS: u16 = 1 << 2;
const BLOCKS: u16 = 1 << 3;
const HEARTBEAT: u16 = 1 << 4;
const INDEX: u16 = 1 << 5;
const HOLDERS: u16 = 1 << 6;
const DENIES: u16 = 1 << 7;
const LEASES: u16 = 1 << 8;
const PRINCIPALS: u16 = 1 << 9;
const ROLES: u16 = 1 << 10;
const STS: u16 = 1 << 11;
const ALL: u16 = u16::MAX;

/// An unknown call touches everything.
fn touches(call: &str) -> Touches {
    let reads = |reads| Touches { reads, writes: 0 };
    let writes = |writes| Touches { reads: 0, writes };
    match call {
        "commit" | "create" => writes(GRANTS | DECISIONS | ACTIVATIONS | INDEX | HOLDERS | DENIES),
        "grant" => reads(GRANTS),
        "decision" => reads(DECISIONS),
        "activation" => reads(ACTIVATIONS),
        "blocks" => reads(BLOCKS),
        "put_mark" => writes(BLOCKS | INDEX),
        "clear_mark" => writes(INDEX),
        "reaper_health" => reads(HEARTBEAT),
        "record_heartbeat" => writes(HEARTBEAT),
        "due" | "denied_roles" | "grants_of" => reads(INDEX),
        "entries" => reads(DENIES),
        "drop_entry" => writes(DENIES | INDEX),
        "lease" | "end_lease" => writes(LEASES),
        "holders_of" => reads(HOLDERS),
        // Bundles and requests do not change while the runners run.
        "current" | "bundle" | "request" => reads(0),
        "principal" | "read" | "effective" => reads(PRINCIPALS),
        "attach" | "remove" => writes(PRINCIPALS),
        "read_deny" => reads(ROLES),
        "put_deny" | "delete_deny" => writes(ROLES),
        "vend" => writes(STS),
        _ => writes(ALL),
    }
}

fn can_meet(one: Touches, other: Touches) -> bool {
    one.writes & (other.reads | other.writes) != 0 || other.writes & (one.reads | one.writes) != 0
}

/// A point at which the next runner is chosen.
struct Choice {
    /// The next call of each runner; `None` once it is done.
    next: Vec<Option<Touches>>,
    asleep: BTreeSet<usize>,
    tried: BTreeSet<usize>,
    chosen: usize,
}

impl Choice {
    fn open(&self) -> Option<usize> {
        let can = |n: &usize| self.next[*n].is_some() && !self.asleep.contains(n) && !self.tried.contains(n);
        (0..self.next.len()).find(can)
    }

    /// The runners that need not go first after the chosen one: those whose next call was tried and is independent of
    /// its call.
    fn asleep_after(&self) -> BTreeSet<usize> {
        let chosen = self.next[self.chosen];
        let meets = |n: &usize| match (self.next[*n], chosen) {
            (Some(one), Some(other)) => can_meet(one, other),
            _ => true,
        };
        self.asleep.union(&self.tried).copied().filter(|n| *n != self.chosen && !meets(n)).collect()
    }
}

impl Case {
    /// The failure to report if a case that must be complete was not.
    #[must_use]
    pub fn missing(&self, explored: &Explored) -> Option<String> {
        let is_missing = self.must_be_all && !explored.is_all;
        is_missing
            .then(|| format!("{}: only {} schedules were played; every one must be", self.name, explored.n_schedules))
    }
}

impl Explored {
    /// The number of schedules, and whether they are all.
    #[must_use]
    pub fn extent(&self) -> String {
        format!("{:>4} schedules ({})", self.n_schedules, if self.is_all { "all" } else { "drawn" })
    }
}

/// Plays every schedule of `case` if it must be complete or has at most `limit` schedules; otherwise plays a random
/// sample of `limit`.
#[must_use]
pub fn explore(case: &Case, limit: u64, seed: u64) -> Explored {
    let whole = all(case, if case.must_be_all { ALL_AT_MOST } else { limit });
    if whole.is_all || case.must_be_all || !whole.failures.is_empty() { whole } else { drawn(case, limit, seed) }
}

/// Plays up to `limit` schedules of `case`, depth first.
#[must_use]
pub fn all(case: &Case, limit: u64) -> Explored {
    let mut explored = Explored::default();
    let mut stack: Vec<Choice> = Vec::new();
    while explored.n_schedules + explored.n_left < limit.saturating_mul(4) && explored.n_schedules < limit {
        play_next(case, &mut stack, &mut explored);
        loop {
            let Some(last) = stack.last_mut() else {
                explored.is_all = true;
                return explored;
            };
            last.tried.insert(last.chosen);
            if let Some(next) = last.open() {
                last.chosen = next;
                break;
            }
            stack.pop();
        }
    }
    explored
}

/// Draws `n` schedules of `case` and plays the different ones. Before every call the last runner continues, or, once
/// in so many calls, a random one runs. That frequency is drawn for each schedule: some are finely mixed, and in
/// others a runner pauses for long.
#[must_use]
pub fn drawn(case: &Case, n: u64, seed: u64) -> Explored {
    let mut explored = Explored::default();
    let mut played = BTreeSet::new();
    for run in 0..n {
        let mut chance = Chance::named(seed, case.name, run);
        let stretch = 1 + chance.below(MAX_STRETCH);
        let mut at = Playing::start(case);
        let mut schedule: Vec<usize> = Vec::new();
        loop {
            let open: Vec<usize> = (0..at.next.len()).filter(|n| at.next[*n].is_some()).collect();
            if open.is_empty() {
                break;
            }
            let last = schedule.last().copied().filter(|last| open.contains(last));
            let chosen = last.filter(|_| !chance.one_in(stretch)).unwrap_or_else(|| *chance.pick(&open));
            at.advance(chosen);
            schedule.push(chosen);
        }
        if played.insert(schedule.clone()) {
            at.finish(schedule, &mut explored);
        }
    }
    explored
}

/// Plays the choices in `stack`, and continues from there.
fn play_next(case: &Case, stack: &mut Vec<Choice>, explored: &mut Explored) {
    let mut at = Playing::start(case);
    let mut depth = 0;
    let is_whole = loop {
        if depth == stack.len() {
            let asleep = stack.last().map(Choice::asleep_after).unwrap_or_default();
            let mut choice = Choice { next: at.next.clone(), asleep, tried: BTreeSet::new(), chosen: 0 };
            match choice.open() {
                Some(chosen) => choice.chosen = chosen,
                None => break at.next.iter().all(Option::is_none),
            }
            stack.push(choice);
        }
        at.advance(stack[depth].chosen);
        depth += 1;
    };
    if is_whole {
        at.finish(stack.iter().map(|choice| choice.chosen).collect(), explored);
    } else {
        explored.n_left += 1;
    }
}

/// A schedule in progress.
struct Playing {
    world: World,
    observer: Observer,
    works: Vec<Option<Work>>,
    /// The next call of each runner; `None` once it is done.
    next: Vec<Option<Touches>>,
}

impl Playing {
    fn start(case: &Case) -> Self {
        let slow_ms = -i64::from(case.apart_s) * 1_000;
        let mut world = World::new(Model { ahead_ms: [0, 0, slow_ms, 0, 0], ..Model::default() });
        let mut observer = Observer::default();
        run::play_ops(&mut world, &mut observer, &case.before);
        world.faults.step_by_step(true);
        let mut works: Vec<Option<Work>> = case.runners.iter().map(|runner| Some(work(&world, *runner))).collect();
        let next = (0..works.len()).map(|n| step(&mut works, n, &world)).collect();
        Self { world, observer, works, next }
    }

    fn advance(&mut self, chosen: usize) {
        self.next[chosen] = step(&mut self.works, chosen, &self.world);
    }

    /// Every runner is done. Lets the world settle.
    fn finish(self, schedule: Vec<usize>, explored: &mut Explored) {
        let Self { mut world, mut observer, works, .. } = self;
        world.faults.step_by_step(false);
        drop(works);
        explored.n_calls = explored.n_calls.max(schedule.len());
        explored.n_schedules += 1;
        observer.observe(&world);
        run::settle(&mut world, &mut observer);
        world.store.peek(|held| explored.ends.extend(held.grants().map(|grant| end_of(&grant.state))));
        if !observer.findings.is_empty() && explored.failures.len() < 5 {
            explored.failures.push((schedule, observer.findings));
        }
    }
}

fn end_of(state: &State) -> String {
    let State::Ended { cause, proof, .. } = state else { return state.name().to_owned() };
    let proof = format!("{proof:?}");
    format!("Ended {cause:?} {}", proof.split(' ').next().unwrap_or_default())
}

/// Lets one runner make one call. Returns its next call; `None` once it is done.
fn step(works: &mut [Option<Work>], n: usize, world: &World) -> Option<Touches> {
    let work = works[n].as_mut()?;
    if world.poll(work) != Fate::Waiting {
        works[n] = None;
        return None;
    }
    // Passing time is no port call, and every call depends on it.
    Some(world.faults.take_upcoming().map_or(Touches { reads: 0, writes: ALL }, |(call, _)| touches(call)))
}

fn work(world: &World, runner: Runner) -> Work {
    let id = |nth| world.nth(nth).expect("a grant");
    let proof = |nth: usize, audience: &str| {
        let ledger = locked(&world.ledger);
        let (id, asked): (GrantId, _) = ledger.nth(nth).expect("a grant");
        (id, RawProof::new(format!("{} {audience}", asked.identity.id)))
    };
    match runner {
        Runner::Issue(nth) => {
            let (activator, id) = (Arc::clone(&world.activator), id(nth));
            Box::pin(async move {
                activator.wake(&[id]).await;
            })
        }
        Runner::Reap(nth) | Runner::OtherReap(nth) => {
            let which = usize::from(matches!(runner, Runner::OtherReap(_)));
            let (reaper, id) = (Arc::clone(&world.reapers[which]), id(nth));
            Box::pin(async move {
                reaper.wake(&[id], FoundBy::Stream).await;
            })
        }
        Runner::Vend(nth) => {
            let (issuer, (id, proof)) = (Arc::clone(&world.issuer), proof(nth, "credentials"));
            Box::pin(async move { drop(issuer.vend(&proof, id).await) })
        }
        Runner::Release(nth) => {
            let (intake, (id, proof)) = (Arc::clone(&world.intake), proof(nth, "ask"));
            let now = world.now_of(Function::Intake);
            Box::pin(async move { drop(intake.release(&proof, id, now).await) })
        }
        Runner::Time(seconds) => {
            let clock = Arc::clone(&world.clock);
            let mut has_waited = false;
            Box::pin(async move {
                poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending })
                    .await;
                clock.advance(seconds);
            })
        }
    }
}
