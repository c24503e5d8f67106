//! The orders in which several functions can make their port calls, for small cases: every one where they are few
//! enough, and otherwise some that chance draws.
//!
//! Each schedule is played from the start in a world of its own. Where every one is played, of orders that differ only in
//! the order of calls that cannot touch each other (two readings, or different things), one is: sleep sets, as in
//! P. Godefroid, *Partial-Order Methods for the Verification of Concurrent Systems*, 1996.

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

/// What runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// Issue looks at the nth grant.
    Issue(usize),
    /// Reap looks at the nth grant.
    Reap(usize),
    /// Reap's other process does.
    OtherReap(usize),
    /// The holder of the nth grant fetches credentials.
    Vend(usize),
    /// The holder of the nth grant gives it back.
    Release(usize),
    /// So many seconds go by, at one moment or another.
    Time(u32),
}

/// A small case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What happens first.
    pub before: Vec<Op>,
    /// What then runs at once.
    pub runners: Vec<Runner>,
    /// By how many seconds issue's clock is slow: then reap sees a deadline that issue does not see yet.
    pub apart_s: u32,
    /// Whether every schedule has to be played: then no limit holds for it but [`ALL_AT_MOST`].
    pub must_be_all: bool,
}

/// Schedules of a case that has to be played whole, at the most: beyond that it has grown too large, which is a failure.
pub const ALL_AT_MOST: u64 = 5_000;

/// The longest that one goes on before another may, on average, in a schedule that is drawn; in port calls.
const MAX_STRETCH: usize = 8;

/// What playing a case came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Different schedules that were played to their end.
    pub n_schedules: u64,
    /// Schedules that were left since another one is the same but for the order of what cannot meet.
    pub n_left: u64,
    /// Port calls in the longest.
    pub n_calls: usize,
    /// Whether there is no other schedule. Otherwise these were drawn, or the limit was met.
    pub is_all: bool,
    /// The states that the grants came to.
    pub ends: BTreeSet<String>,
    /// What went wrong, with the schedule.
    pub failures: Vec<(Vec<usize>, Vec<Finding>)>,
}

/// What a call reads and writes, one bit a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touches {
    reads: u16,
    writes: u16,
}

const GRANTS: u16 = 1;
const DECISIONS: u16 = 1 << 1;
const ACTIVATIONS: u16 = 1 << 2;
const BLOCKS: u16 = 1 << 3;
const HEART: u16 = 1 << 4;
const INDEX: u16 = 1 << 5;
const COUNTS: u16 = 1 << 6;
const DENIES: u16 = 1 << 7;
const LEASES: u16 = 1 << 8;
const PRINCIPALS: u16 = 1 << 9;
const ROLES: u16 = 1 << 10;
const STS: u16 = 1 << 11;
const ALL: u16 = u16::MAX;

/// What is not known touches everything.
fn touches(call: &str) -> Touches {
    let reads = |reads| Touches { reads, writes: 0 };
    let writes = |writes| Touches { reads: 0, writes };
    match call {
        "commit" | "create" => writes(GRANTS | DECISIONS | ACTIVATIONS | INDEX | COUNTS | DENIES),
        "grant" => reads(GRANTS),
        "decision" => reads(DECISIONS),
        "activation" => reads(ACTIVATIONS),
        "blocks" => reads(BLOCKS),
        "put_mark" => writes(BLOCKS | INDEX),
        "clear_mark" => writes(INDEX),
        "heart" => reads(HEART),
        "beat" => writes(HEART),
        "due" | "denied_roles" | "grants_of" => reads(INDEX),
        "entries" => reads(DENIES),
        "drop_entry" => writes(DENIES | INDEX),
        "lease" | "end_lease" => writes(LEASES),
        "count" => reads(COUNTS),
        // Bundles and requests do not change meanwhile.
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

/// A point at which somebody is chosen to go on.
struct Choice {
    /// What each would do next; nothing where it is over.
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

    /// Who need not go first after the one chosen here: whose next step cannot meet that one's was tried already.
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
    /// What is missing if it had to be played whole and was not.
    #[must_use]
    pub fn missing(&self, explored: &Explored) -> Option<String> {
        let is_missing = self.must_be_all && !explored.is_all;
        is_missing.then(|| format!("{}: not every schedule was played, but {}", self.name, explored.n_schedules))
    }
}

impl Explored {
    /// How many schedules, and which.
    #[must_use]
    pub fn extent(&self) -> String {
        format!("{:>4} schedules ({})", self.n_schedules, if self.is_all { "all" } else { "drawn" })
    }
}

/// Plays every schedule of `case` where it has to be, or where there are no more than `limit`; otherwise `limit` of them
/// that chance draws.
#[must_use]
pub fn explore(case: &Case, limit: u64, seed: u64) -> Explored {
    let whole = all(case, if case.must_be_all { ALL_AT_MOST } else { limit });
    if whole.is_all || case.must_be_all || !whole.failures.is_empty() { whole } else { drawn(case, limit, seed) }
}

/// Plays every schedule of `case`, up to `limit` of them, from the deepest choice on.
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

/// Draws `n` schedules of `case`, and plays those that differ. Who goes on is drawn before every call: who just did, or,
/// once in so many calls, anybody. In how many is drawn for each schedule, so that there are finely mixed ones and ones in
/// which somebody is away for long.
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
            at.go_on(chosen);
            schedule.push(chosen);
        }
        if played.insert(schedule.clone()) {
            at.finish(schedule, &mut explored);
        }
    }
    explored
}

/// Plays what `stack` says, and on from there.
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
        at.go_on(stack[depth].chosen);
        depth += 1;
    };
    if is_whole {
        at.finish(stack.iter().map(|choice| choice.chosen).collect(), explored);
    } else {
        explored.n_left += 1;
    }
}

/// A schedule that is being played.
struct Playing {
    world: World,
    observer: Observer,
    works: Vec<Option<Work>>,
    /// What each would do next; nothing where it is over.
    next: Vec<Option<Touches>>,
}

impl Playing {
    fn start(case: &Case) -> Self {
        let slow_ms = -i64::from(case.apart_s) * 1_000;
        let mut world = World::new(Model { ahead_ms: [0, 0, slow_ms, 0, 0], ..Model::default() });
        let mut observer = Observer::default();
        run::tell(&mut world, &mut observer, &case.before);
        world.faults.step_by_step(true);
        let mut works: Vec<Option<Work>> = case.runners.iter().map(|runner| Some(work(&world, *runner))).collect();
        let next = (0..works.len()).map(|n| step(&mut works, n, &world)).collect();
        Self { world, observer, works, next }
    }

    fn go_on(&mut self, chosen: usize) {
        self.next[chosen] = step(&mut self.works, chosen, &self.world);
    }

    /// Everybody is done: lets the world come to rest.
    fn finish(self, schedule: Vec<usize>, explored: &mut Explored) {
        let Self { mut world, mut observer, works, .. } = self;
        world.faults.step_by_step(false);
        drop(works);
        explored.n_calls = explored.n_calls.max(schedule.len());
        explored.n_schedules += 1;
        observer.look(&world);
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

/// Lets one go on for one call. What it would do next; nothing where it is over.
fn step(works: &mut [Option<Work>], n: usize, world: &World) -> Option<Touches> {
    let work = works[n].as_mut()?;
    if world.poll(work) != Fate::Waiting {
        works[n] = None;
        return None;
    }
    // Time is no port call, and everything goes by it.
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
