//! Runs a target many times on every core: counts and times the runs, and reports the first failure.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use brevet_chance::Chance;

/// The result of a run: one of the target's outcomes, or an error text.
pub(crate) type Verdict = Result<&'static str, String>;

/// The part of a target that one thread runs. It builds its inputs once.
pub trait Worker {
    /// Makes one run.
    ///
    /// # Errors
    ///
    /// The failed property, with the input.
    fn run(&mut self, chance: &mut Chance) -> Verdict;
}

/// A fuzzed part of Brevet.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// The property, in one line.
    pub holds: &'static str,
    /// The number of runs at full length.
    pub full: u64,
    /// The number of runs in a test.
    pub short: u64,
    /// The outcomes that must occur. A target that never reaches one of them has tested nothing.
    pub reaches: &'static [&'static str],
    /// Builds the worker of one thread.
    pub start: fn() -> Result<Box<dyn Worker>, String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The selected runs.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The seed of every draw.
    pub seed: u64,
    pub from: u64,
    /// The number of runs.
    pub runs: u64,
    /// The number of threads.
    pub threads: u64,
}

/// The results of a target.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub runs: u64,
    /// The total duration, in seconds.
    pub seconds: f64,
    /// The duration of the slowest run.
    pub slowest: Duration,
    /// The slowest run.
    pub slowest_run: u64,
    /// The number of runs by outcome.
    pub tally: BTreeMap<&'static str, u64>,
}

/// A failed run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its number.
    pub run: u64,
    /// The failed property.
    pub why: String,
}

/// The longest that one run may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

/// The stack size of a thread in the functions' runtime, so that deep recursion fails here as it does there.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Stands for a thread without a run.
const IDLE: u64 = u64::MAX;

/// Makes the runs of `range`. A run longer than `LONGEST` ends the process, because a thread cannot be stopped.
///
/// # Errors
///
/// The first [`Failure`] that occurs.
pub fn run(target: &Target, range: Range) -> Result<Figures, Failure> {
    let began = Instant::now();
    let (stop, now_at) = (AtomicBool::new(false), (0..range.threads).map(|_| AtomicU64::new(IDLE)).collect::<Vec<_>>());
    let (sender, receiver) = mpsc::channel();
    let mut figures = thread::scope(|scope| {
        for (first, at) in (range.from..).zip(&now_at) {
            let (sender, stop) = (sender.clone(), &stop);
            let work = move || {
                let done = share(target, range, first, at, stop);
                if done.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                at.store(IDLE, Ordering::Relaxed);
                drop(sender.send(done));
            };
            let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            spawned.map_err(|error| Failure { run: first, why: format!("no thread could be started: {error}") })?;
        }
        drop(sender);
        let mut all = Figures::default();
        let mut seen: Vec<(u64, Instant)> = vec![(IDLE, began); now_at.len()];
        let mut failed = None;
        loop {
            match receiver.recv_timeout(Duration::from_secs(1)) {
                Ok(Ok(share)) => all.add(&share),
                Ok(Err(failure)) => failed = failed.or(Some(failure)),
                Err(RecvTimeoutError::Timeout) => watch(target, range, &now_at, &mut seen),
                Err(RecvTimeoutError::Disconnected) => return failed.map_or(Ok(all), Err),
            }
        }
    })?;
    figures.seconds = began.elapsed().as_secs_f64();
    Ok(figures)
}

/// Ends the process if a run takes too long.
fn watch(target: &Target, range: Range, now_at: &[AtomicU64], seen: &mut [(u64, Instant)]) {
    for (at, (run, since)) in now_at.iter().zip(seen) {
        let now = at.load(Ordering::Relaxed);
        if now != *run {
            (*run, *since) = (now, Instant::now());
        } else if now != IDLE && since.elapsed() > LONGEST {
            eprintln!("{}: run {now} of seed {} does not end within {LONGEST:?}", target.name, range.seed);
            std::process::exit(3);
        }
    }
}

/// Makes every `range.threads`-th run from `first` on.
fn share(target: &Target, range: Range, first: u64, at: &AtomicU64, stop: &AtomicBool) -> Result<Figures, Failure> {
    let mut worker = (target.start)().map_err(|why| Failure { run: first, why })?;
    let mut figures = Figures::default();
    let end = range.from.saturating_add(range.runs);
    let mut run = first;
    while run < end && !stop.load(Ordering::Relaxed) {
        at.store(run, Ordering::Relaxed);
        let began = Instant::now();
        let mut chance = Chance::named(range.seed, target.name, run);
        let verdict = catch_unwind(AssertUnwindSafe(|| worker.run(&mut chance)));
        let verdict = verdict.unwrap_or_else(|payload| Err(format!("panicked: {}", panic_text(payload.as_ref()))));
        let word = verdict.map_err(|why| Failure { run, why })?;
        let took = began.elapsed();
        figures.runs += 1;
        *figures.tally.entry(word).or_default() += 1;
        if took > figures.slowest {
            (figures.slowest, figures.slowest_run) = (took, run);
        }
        run += range.threads;
    }
    Ok(figures)
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (word, n) in &other.tally {
            *self.tally.entry(word).or_default() += n;
        }
        if other.slowest > self.slowest {
            (self.slowest, self.slowest_run) = (other.slowest, other.slowest_run);
        }
    }

    /// The expected outcomes that never occurred.
    #[must_use]
    pub fn unreached(&self, target: &Target) -> Vec<&'static str> {
        target.reaches.iter().filter(|word| !self.tally.contains_key(*word)).copied().collect()
    }
}
