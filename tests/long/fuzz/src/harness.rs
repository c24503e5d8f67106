//! Runs a target, many times, on every core: counts, times, and tells the first run that went wrong.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use brevet_chance::Chance;

/// What a run came to, in a word; or what it should never have come to.
pub(crate) type Verdict = Result<&'static str, String>;

/// One thread's share of a target: what it needs is built once.
pub trait Worker {
    /// One run.
    ///
    /// # Errors
    ///
    /// What went wrong, with the input that it went wrong on.
    fn run(&mut self, chance: &mut Chance) -> Verdict;
}

/// One thing that is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What holds, in one line.
    pub holds: &'static str,
    /// Runs at full length.
    pub full: u64,
    /// Runs in a test.
    pub short: u64,
    /// What runs must come to now and then, or the target has looked at nothing.
    pub reaches: &'static [&'static str],
    /// Builds one thread's share.
    pub start: fn() -> Result<Box<dyn Worker>, String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Which runs are made.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// What chance follows from.
    pub seed: u64,
    /// The first run.
    pub from: u64,
    /// How many.
    pub runs: u64,
    /// On how many threads.
    pub threads: u64,
}

/// What a target came to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Runs made.
    pub runs: u64,
    /// Seconds that they took together.
    pub seconds: f64,
    /// How long the slowest took.
    pub slowest: Duration,
    /// The slowest run.
    pub slowest_run: u64,
    /// Runs by what they came to.
    pub tally: BTreeMap<&'static str, u64>,
}

/// A run that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub run: u64,
    /// What went wrong.
    pub why: String,
}

/// The longest that one run may take, on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

/// As much as a thread of the functions' runtime has, so that what goes too deep there goes too deep here.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// A run that is not under way.
const IDLE: u64 = u64::MAX;

/// Makes the runs of `range`. A run that does not end within `LONGEST` ends the process: nothing else could.
///
/// # Errors
///
/// The first [`Failure`] that is seen.
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
            spawned.map_err(|error| Failure { run: first, why: format!("no thread: {error}") })?;
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
            eprintln!("{}: run {now} of seed {} does not end", target.name, range.seed);
            std::process::exit(3);
        }
    }
}

/// Every `range.threads`-th run from `first` on.
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
        let verdict = verdict.unwrap_or_else(|payload| Err(format!("panicked: {}", told(payload.as_ref()))));
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

fn told(payload: &(dyn Any + Send)) -> String {
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

    /// What the target says that runs come to, and these never did.
    #[must_use]
    pub fn unreached(&self, target: &Target) -> Vec<&'static str> {
        target.reaches.iter().filter(|word| !self.tally.contains_key(*word)).copied().collect()
    }
}
