//! `fuzz [TARGET ...] [--runs N] [--seed S] [--from N] [--threads N]`: runs at full length unless `--runs` is given.
//!
//! Exit code 0 only if every run passed and every target reached each of its outcomes.

#![expect(clippy::print_stdout, reason = "the program prints its findings")]

use std::process::ExitCode;
use std::thread::available_parallelism;

use brevet_fuzz::{Figures, Range, TARGETS, Target, run};

/// The most characters shown of a failure.
const SHOWN: usize = 8_000;

/// The command line.
struct Asked {
    targets: Vec<&'static Target>,
    runs: Option<u64>,
    range: Range,
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let threads = available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1));
    let mut asked = Asked { targets: Vec::new(), runs: None, range: Range { seed: 1, from: 0, runs: 0, threads } };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u64>().map_err(|_| format!("`{argument}` needs a whole number; you gave `{text}`"))
        };
        match argument.as_str() {
            "--runs" => asked.runs = Some(number()?),
            "--seed" => asked.range.seed = number()?,
            "--from" => asked.range.from = number()?,
            "--threads" => asked.range.threads = number()?.max(1),
            name => asked.targets.push(TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
                let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                format!("there is no target `{name}`; use one of {}", names.join(", "))
            })?),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.iter().collect();
    }
    Ok(asked)
}

fn line(name: &str, runs: u64, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown to the whole number")]
    let rate = runs as f64 / seconds.max(0.001);
    format!("{name:<12} {runs:>11} runs {seconds:>8.1} s {rate:>10.0} a second")
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let Range { seed, threads, .. } = asked.range;
    println!("seed {seed}, {threads} threads");
    let (mut all, mut failed) = (Figures::default(), false);
    for target in asked.targets {
        let range = Range { runs: asked.runs.unwrap_or(target.full), ..asked.range };
        match run(target, range) {
            Ok(figures) => {
                let slowest = (figures.slowest.as_millis(), figures.slowest_run);
                let tally: Vec<_> = figures.tally.iter().map(|(word, n)| format!("{n} {word}")).collect();
                println!(
                    "{}; slowest {} ms (run {})",
                    line(target.name, figures.runs, figures.seconds),
                    slowest.0,
                    slowest.1
                );
                println!("{:<12} {}", "", tally.join(", "));
                let unreached = figures.unreached(target);
                if range.runs >= target.short && !unreached.is_empty() {
                    println!("{:<12} never reached: {}", "", unreached.join(", "));
                    failed = true;
                }
                all.runs = all.runs.saturating_add(figures.runs);
                all.seconds += figures.seconds;
            }
            Err(failure) => {
                let why: String = failure.why.chars().take(SHOWN).collect();
                println!("{}: run {} of seed {seed} failed: {why}", target.name, failure.run);
                println!("to reproduce: fuzz {} --seed {seed} --from {} --runs 1", target.name, failure.run);
                failed = true;
            }
        }
    }
    println!("{}", line("all", all.runs, all.seconds));
    ExitCode::from(u8::from(failed))
}
