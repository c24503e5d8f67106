//! Every order in which several functions can make their port calls, for small cases.
//!
//! Each schedule is played from the start in a world of its own. Of orders that differ only in the order of calls that
//! cannot touch each other (two readings, or different things), one is played: sleep sets, as in P. Godefroid,
//! *Partial-Order Methods for the Verification of Concurrent Systems*, 1996.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_engine::port::RawProof;

use crate::observer::{Finding, Observer};
use crate::op::{Op, Scope};
use crate::policy::locked;
use crate::run;
use crate::world::{CALL_S, Fate, Function, Model, Work, World};
use brevet_engine::reap::FoundBy;

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
}

/// What playing a case came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Schedules that were played to their end.
    pub n_schedules: u64,
    /// Schedules that were left since another one is the same but for the order of what cannot meet.
    pub n_left: u64,
    /// Port calls in the longest.
    pub n_calls: usize,
    /// Whether there is no other schedule.
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

/// Plays every schedule of `case`, up to `limit` of them.
#[must_use]
pub fn explore(case: &Case, limit: u64) -> Explored {
    let mut explored = Explored::default();
    let mut stack: Vec<Choice> = Vec::new();
    while explored.n_schedules + explored.n_left < limit.saturating_mul(4) && explored.n_schedules < limit {
        play(case, &mut stack, &mut explored);
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

fn play(case: &Case, stack: &mut Vec<Choice>, explored: &mut Explored) {
    let mut world = World::new(Model::default());
    let mut observer = Observer::default();
    run::tell(&mut world, &mut observer, &case.before);
    world.faults.step_by_step(true);
    let mut works: Vec<Option<Work>> = case.runners.iter().map(|runner| Some(work(&world, *runner))).collect();
    let mut next: Vec<Option<Touches>> = (0..works.len()).map(|n| step(&mut works, n, &world)).collect();
    let mut depth = 0;
    let is_whole = loop {
        if depth == stack.len() {
            let asleep = stack.last().map(Choice::asleep_after).unwrap_or_default();
            let mut choice = Choice { next: next.clone(), asleep, tried: BTreeSet::new(), chosen: 0 };
            match choice.open() {
                Some(chosen) => choice.chosen = chosen,
                None => break next.iter().all(Option::is_none),
            }
            stack.push(choice);
        }
        let chosen = stack[depth].chosen;
        next[chosen] = step(&mut works, chosen, &world);
        depth += 1;
    };
    world.faults.step_by_step(false);
    drop(works);
    explored.n_calls = explored.n_calls.max(depth);
    if !is_whole {
        explored.n_left += 1;
        return;
    }
    explored.n_schedules += 1;
    observer.look(&world);
    run::settle(&mut world, &mut observer);
    world.store.peek(|held| explored.ends.extend(held.grants().map(|grant| end_of(&grant.state))));
    if !observer.findings.is_empty() && explored.failures.len() < 5 {
        explored.failures.push((stack.iter().map(|choice| choice.chosen).collect(), observer.findings));
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

/// Every small case.
#[must_use]
pub fn cases() -> Vec<Case> {
    use Runner::{Issue, OtherReap, Reap, Release, Time, Vend};
    const REAP: Op = Op::Reap { other: false };
    let ask = |who, what| Op::Ask { who, what };
    let case = |name, before: Vec<Op>, runners: Vec<Runner>| Case { name, before, runners };
    let release = |nth| Op::Release { nth };
    let ticks = Op::Ticks { n: 3 };
    let on = |what: &'static str| vec![REAP, ask("bot", what), Op::Issue, ticks];
    let and = |mut ops: Vec<Op>, more: &[Op]| {
        ops.extend_from_slice(more);
        ops
    };
    let vended = || vec![REAP, ask("bot", "deploy"), Op::Vend { nth: 0 }];
    let two_holders = || {
        let wait = |seconds| Op::Wait { seconds };
        let second = [ask("robot", "sync"), Op::Issue, wait(14), REAP, wait(15), REAP];
        and(and(on("sync"), &second), &[release(0), release(1)])
    };
    vec![
        case(
            "issue puts an inline policy while it is released and reaped",
            vec![REAP, ask("bot", "batch")],
            vec![Issue(0), Reap(0), Release(0)],
        ),
        case(
            "issue attaches a managed policy while it is released and reaped",
            vec![REAP, ask("bot", "sync")],
            vec![Issue(0), Reap(0), Release(0)],
        ),
        case(
            "issue puts an inline policy that was killed, and time goes by",
            vec![REAP, ask("bot", "batch"), Op::Kill { nth: 0, scope: Scope::All }],
            vec![Issue(0), Reap(0), Time(CALL_S + 1)],
        ),
        case("two of issue attach one grant", vec![REAP, ask("bot", "batch")], vec![Issue(0), Issue(0)]),
        case(
            "a first vend while it is released and reaped",
            vec![REAP, ask("bot", "deploy")],
            vec![Vend(0), Reap(0), Release(0)],
        ),
        case("two first vends", vec![REAP, ask("bot", "deploy")], vec![Vend(0), Vend(0)]),
        case(
            "another vend of what is released, while it is reaped",
            and(vended(), &[release(0)]),
            vec![Vend(0), Reap(0)],
        ),
        case("two reapers end an inline policy", and(on("batch"), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case("two reapers end a managed policy", and(on("sync"), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case("two reapers end a session early", and(vended(), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case(
            "two reapers end two sessions of one role",
            and(vended(), &[ask("robot", "deploy"), Op::Vend { nth: 1 }, release(0), release(1)]),
            vec![Reap(0), OtherReap(1)],
        ),
        case(
            "a second holder joins a managed policy as the first leaves",
            and(on("sync"), &[ask("robot", "sync"), release(0)]),
            vec![Issue(1), Reap(0)],
        ),
        case("two holders of a managed policy leave at once", two_holders(), vec![Reap(0), OtherReap(1)]),
        case("one pass looks at two holders of a managed policy together", two_holders(), vec![Reap(0), Reap(1)]),
        case(
            "two reapers end a managed policy, and time goes by",
            and(on("sync"), &[release(0)]),
            vec![Reap(0), OtherReap(0), Time(CALL_S + 1)],
        ),
    ]
}
