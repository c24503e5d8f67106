//! Each claim of the observer fails once its protection is removed or a bug is planted in the model.

use brevet_sim::controls::{Control, controls};
use brevet_sim::observer::Claim;
use brevet_sim::run::play;
use brevet_sim::world::Model;

fn red(control: &Control) -> Vec<Claim> {
    let mut claims: Vec<_> =
        play(&control.model(), &control.ops, control.plant).findings.iter().map(|f| f.claim).collect();
    claims.sort();
    claims.dedup();
    claims
}

#[test]
fn every_control_fails_its_claim_and_passes_without_its_bug() {
    for control in controls() {
        let without = play(&Model::default(), &control.ops, |_| {});
        assert_eq!(without.findings, [], "{}: without the bug", control.name);
        let red = red(&control);
        println!("{}: {red:?}", control.name);
        assert!(red.contains(&control.turns_red), "{}: {red:?}", control.name);
    }
}

#[test]
fn every_claim_has_a_control() {
    let controls = controls();
    let uncontrolled: Vec<_> =
        Claim::ALL.iter().filter(|claim| !controls.iter().any(|control| control.turns_red == **claim)).collect();
    assert!(uncontrolled.is_empty(), "no control shows that these claims can fail: {uncontrolled:?}");
}
