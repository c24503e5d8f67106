//! Whether enough different people are there for several steps, each of whom counts in one of them only.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{IdentityId, StepName};

/// Steps that together want more different people than may say yes in any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The steps.
    pub steps: Vec<StepName>,
    /// How many people they want.
    pub needed: usize,
    /// How many there are.
    pub n_people: usize,
}

/// What a step still wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a StepName,
    pub(super) count: usize,
    pub(super) people: BTreeSet<&'a IdentityId>,
}

/// Who sits where: each person in one step.
type Seats<'a> = BTreeMap<&'a IdentityId, usize>;

/// Steps that cannot all have their people, if there are such.
///
/// A matching of people to steps by augmenting paths. Where one ends, everybody whom it has asked sits in the steps that it
/// has seen, and those want one more: so these are what is short (Hall's theorem).
pub(super) fn shortage(wanted: &[Wanted<'_>]) -> Option<Shortage> {
    let mut seats = Seats::new();
    for (at, step) in wanted.iter().enumerate() {
        for _ in 0..step.count {
            let mut asked = BTreeSet::new();
            if !seat(at, wanted, &mut seats, &mut asked) {
                let mut short: BTreeSet<usize> = asked.iter().filter_map(|person| seats.get(person)).copied().collect();
                short.insert(at);
                let short: Vec<_> = short.into_iter().filter_map(|at| wanted.get(at)).collect();
                return Some(Shortage {
                    steps: short.iter().map(|step| step.name.clone()).collect(),
                    needed: short.iter().map(|step| step.count).fold(0, usize::saturating_add),
                    n_people: asked.len(),
                });
            }
        }
    }
    None
}

/// Finds somebody for step `at`, having others change their seats where that helps.
fn seat<'a>(at: usize, wanted: &[Wanted<'a>], seats: &mut Seats<'a>, asked: &mut BTreeSet<&'a IdentityId>) -> bool {
    let people = wanted.get(at).into_iter().flat_map(|step| step.people.iter().copied());
    for person in people {
        if !asked.insert(person) {
            continue;
        }
        let free = match seats.get(person).copied() {
            None => true,
            Some(other) => seat(other, wanted, seats, asked),
        };
        if free {
            seats.insert(person, at);
            return true;
        }
    }
    false
}
