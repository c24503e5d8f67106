//! `sim [--seed S] [--pairs N] [--runs N] [--from RUN] [WORD ...]`: every single fault at every port call of every use
//! case, sampled pairs, the call orders of small cases, and generated lists. A WORD selects use cases and cases by
//! name; then nothing else is played.
//!
//! Exit code 0 only if every claim held.

#![expect(clippy::print_stdout, reason = "the program prints its findings")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

use brevet_sim::generate::generated;
use brevet_sim::interleave::{cases, explore};
use brevet_sim::policy::locked;
use brevet_sim::single::{Failure, Tally, every_fault, pairs};
use brevet_sim::stories::stories;
use brevet_sim::table;

/// The most characters shown of a failure.
const SHOWN: usize = 2_000;

/// The most schedules of one small case, unless every one must be played. A case with more is sampled.
const MAX_SCHEDULES: u64 = 3_000;

/// The command line.
struct Asked {
    seed: u64,
    n_pairs: u64,
    from: u64,
    runs: u64,
    words: Vec<String>,
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked { seed: 1, n_pairs: 200, from: 0, runs: 4_000, words: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u64>().map_err(|_| format!("`{argument}` needs a whole number; you gave `{text}`"))
        };
        match argument.as_str() {
            "--seed" => asked.seed = number()?,
            "--pairs" => asked.n_pairs = number()?,
            "--runs" => asked.runs = number()?,
            "--from" => asked.from = number()?,
            word => asked.words.push(word.to_owned()),
        }
    }
    Ok(asked)
}

/// Does `work` for each of `n` items, on every core, in any order.
fn on_every_core(n: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let this = next.fetch_add(1, Ordering::Relaxed);
                    if this >= n {
                        return;
                    }
                    work(this);
                }
            });
        }
    });
}

fn show(failures: &[Failure]) {
    for failure in failures.iter().take(5) {
        println!("  WRONG: {}", failure.again);
        for finding in &failure.findings {
            let what: String = finding.what.chars().take(SHOWN).collect();
            println!("    {:?}: {what}", finding.claim);
        }
    }
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}", asked.seed);
    let is_selected =
        |name: &str| asked.words.is_empty() || asked.words.iter().any(|word| name.contains(word.as_str()));
    let stories: Vec<_> = stories().into_iter().filter(|story| is_selected(story.name)).collect();
    let all = Mutex::new(Tally::default());
    on_every_core(stories.len(), |n| {
        let Some(story) = stories.get(n) else { return };
        let single = every_fault(story, |_, _| true);
        let double = pairs(story, asked.n_pairs, asked.seed.wrapping_add(n as u64));
        let mut all = locked(&all);
        let n_failures = single.failures.len().saturating_add(double.failures.len());
        println!(
            "{:<62} {:>4} port calls {:>6} single faults ({:>5} not applicable) {:>5} pairs \
             {n_failures:>3} failures",
            story.name, single.n_calls, single.n_runs, single.n_not_applicable, double.n_runs
        );
        show(&single.failures);
        show(&double.failures);
        all.merge(single);
        all.merge(double);
    });
    println!("\norders of port calls: all, or a sample");
    let cases: Vec<_> = cases().into_iter().filter(|case| is_selected(case.name)).collect();
    let n_wrong = AtomicUsize::new(0);
    on_every_core(cases.len(), |n| {
        let Some(case) = cases.get(n) else { return };
        let explored = explore(case, MAX_SCHEDULES, asked.seed);
        let ends: Vec<_> = explored.ends.iter().map(String::as_str).collect();
        println!("{:<70} {}, {:>2} calls: {}", case.name, explored.extent(), explored.n_calls, ends.join(", "));
        if let Some(missing) = case.missing(&explored) {
            println!("  WRONG: {missing}");
            n_wrong.fetch_add(1, Ordering::Relaxed);
        }
        for (schedule, findings) in &explored.failures {
            println!("  WRONG: {schedule:?}: {findings:?}");
            n_wrong.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!();
    let shares: u64 = 40;
    if asked.words.is_empty() {
        on_every_core(usize::try_from(shares).unwrap_or(1), |share| {
            let first = asked.from.saturating_add(share as u64);
            let tally = generated(asked.seed, first, asked.runs.saturating_sub(share as u64), shares);
            show(&tally.failures);
            locked(&all).merge(tally);
        });
        println!("{} generated lists from number {}", asked.runs, asked.from);
    }
    let all = all.into_inner().unwrap_or_default();
    println!("\nfaults that fired, by port call (-: not applicable)");
    table::lines(&all.table).iter().for_each(|line| println!("{line}"));
    println!("\nchecks of each claim against AWS");
    all.held.iter().for_each(|(claim, n)| println!("{:<20} {n:>9}", format!("{claim:?}")));
    all.not_asserted.iter().for_each(|(what, n)| println!("not asserted: {what}: {n} times"));
    let n_wrong = all.failures.len().saturating_add(n_wrong.into_inner());
    println!("\n{} runs, {n_wrong} failures", all.n_runs);
    ExitCode::from(u8::from(n_wrong > 0))
}
