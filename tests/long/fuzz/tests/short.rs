//! A short run of every target, on a fixed seed. `fuzz` makes the long runs.

use brevet_fuzz::{Range, TARGETS, run};

#[test]
fn every_target_passes_a_short_run_and_reaches_its_outcomes() {
    for target in &TARGETS {
        let range = Range { seed: 20_261_122, from: 0, runs: target.short, threads: 2 };
        let figures = run(target, range).unwrap_or_else(|failure| panic!("{}: {failure:?}", target.name));
        assert_eq!(figures.runs, target.short, "{}", target.name);
        assert!(figures.unreached(target).is_empty(), "{}: {figures:?}", target.name);
        println!("{}: {figures:?}", target.name);
    }
}

#[test]
fn full_length_is_at_least_ten_million_runs() {
    assert!(TARGETS.iter().map(|target| target.full).sum::<u64>() >= 10_000_000);
}

#[test]
fn run_outcome_does_not_depend_on_its_thread() {
    for target in TARGETS.iter().filter(|target| target.name != "tokens") {
        let tally = |threads| {
            let runs = target.short / 10;
            run(target, Range { seed: 7, from: 0, runs, threads }).map(|figures| figures.tally).unwrap_or_default()
        };
        assert_eq!(tally(1), tally(3), "{}", target.name);
    }
}
