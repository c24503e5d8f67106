//! A sample of faults, by the seed of the run. `make test-long` plays every fault.

use brevet_chance::seed_or;
use brevet_sim::observer::Claim;
use brevet_sim::single::{Tally, every_fault, is_sampled, pairs};
use brevet_sim::stories::stories;

const SEED: u64 = 20_261_122;

#[test]
fn single_faults_of_every_use_case_keep_every_invariant() {
    let seed = seed_or(SEED);
    let mut all = Tally::default();
    for (n, story) in stories().iter().enumerate() {
        let tally = every_fault(story, |number, fault| is_sampled(seed.wrapping_add(n as u64), number, fault, 80));
        all.merge(tally);
    }
    assert!(all.failures.is_empty(), "{:#?}", all.failures);
    println!("{} port calls, {} single-fault runs", all.n_calls, all.n_runs);
    assert!(all.n_runs > 600, "only {} faults fired", all.n_runs);
    let unheld: Vec<_> = Claim::ALL.iter().filter(|claim| !all.held.contains_key(claim)).collect();
    // Only a failing run checks `StaysEnded`: a correct one has no access after an end.
    assert!(unheld.iter().all(|claim| **claim == Claim::StaysEnded), "claims without any check: {unheld:?}");
}

#[test]
fn pairs_of_faults_keep_every_invariant() {
    let seed = seed_or(SEED);
    let mut all = Tally::default();
    for (n, story) in stories().iter().enumerate() {
        all.merge(pairs(story, 12, seed.wrapping_add(n as u64)));
    }
    assert!(all.failures.is_empty(), "{:#?}", all.failures);
    println!("{} runs with two faults", all.n_runs);
}
