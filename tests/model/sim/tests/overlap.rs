//! Grants that overlap on one principal: in every order, the end of each removes exactly its own access.

use brevet_chance::{Chance, seed_or};
use brevet_domain::grant::{Proof, State};
use brevet_sim::observer::{Claim, Observer};
use brevet_sim::op::Op;
use brevet_sim::run::{play_ops, settle};
use brevet_sim::world::{Model, World};

const SEED: u64 = 20_261_122;
const RUNS: u64 = 150;

/// Up to four grants of the managed and the inline policy of one role: requested, attached, released and reaped in any
/// order, concurrently and in sequence.
fn drawn(chance: &mut Chance) -> Vec<Op> {
    let mut ops = vec![Op::Reap { other: false }];
    for _ in 0..*chance.pick(&[2, 3, 4]) {
        let who = *chance.pick(&["bot", "robot"]);
        ops.push(Op::Ask { who, what: chance.pick::<&str>(&["sync", "sync", "batch"]) });
        for _ in 0..*chance.pick(&[1, 2, 3, 4, 5]) {
            let nth = chance.below(4);
            ops.push(match chance.below(7) {
                0 => Op::Issue,
                1 => Op::Release { nth },
                2 => Op::Wake { nth },
                3 => Op::TwoReapers { order: chance.number() },
                4 => Op::IssueAndReap { order: chance.number() },
                5 => Op::Reap { other: true },
                _ => Op::Ticks { n: *chance.pick(&[1, 2]) },
            });
        }
    }
    ops
}

#[test]
fn overlapping_grants_end_only_their_own_access_in_any_order() {
    let seed = seed_or(SEED);
    let (mut n_handed, mut n_kept, mut n_ended) = (0, 0, 0);
    for run in 0..RUNS {
        let mut chance = Chance::new(seed, run);
        let ops = drawn(&mut chance);
        let mut world = World::new(Model::default());
        let mut observer = Observer::default();
        play_ops(&mut world, &mut observer, &ops);
        settle(&mut world, &mut observer);
        assert_eq!(observer.findings, [], "run {run}: {ops:#?}");
        n_kept += observer.held.get(&Claim::HolderKeeps).copied().unwrap_or_default();
        let snapshot = world.store.snapshot();
        for grant in snapshot.grants() {
            let State::Ended { proof, .. } = &grant.state else { continue };
            n_ended += 1;
            n_handed += u32::from(matches!(proof, Proof::HandedOver { .. }));
        }
    }
    println!("{RUNS} runs: {n_ended} ended, {n_handed} of them handed over; {n_kept} checks of a holder");
    assert!(n_ended > 200 && n_handed > 20 && n_kept > 500, "{n_ended} {n_handed} {n_kept}");
}
