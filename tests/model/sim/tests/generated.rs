//! Generated lists of operations, by the seed of the run.

use brevet_chance::seed_or;
use brevet_sim::generate::{draw, generated};

const SEED: u64 = 20_261_122;

#[test]
fn generated_lists_keep_every_invariant() {
    let tally = generated(seed_or(SEED), 0, 250, 1);
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    println!("{} lists, {} port calls; not asserted: {:?}", tally.n_runs, tally.n_calls, tally.not_asserted);
    let n_fired: u64 = tally.table.values().flat_map(|by_fault| by_fault.values()).sum();
    assert!(tally.n_calls > 20_000 && n_fired > 100, "{} calls, {n_fired} faults", tally.n_calls);
}

#[test]
fn run_draws_the_same_list_each_time() {
    assert_eq!(draw(SEED, 7).ops, draw(SEED, 7).ops);
    assert_ne!(draw(SEED, 7).ops, draw(SEED, 8).ops);
}
