//! Checks whether there are enough different people for several steps, if each person counts in only one step.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{IdentityId, StepName};

/// Steps that together need more different people than may approve in any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingApprovers {
    pub steps: Vec<StepName>,
    /// The number of different people that the steps need.
    pub needed: usize,
    /// The number of different people who may approve.
    pub n_people: usize,
}

/// The approvals that a step still needs.
#[derive(Clone, Debug)]
pub(super) struct OpenStep<'a> {
    pub(super) name: &'a StepName,
    pub(super) count: usize,
    pub(super) people: BTreeSet<&'a IdentityId>,
}

/// The step that each person is assigned to.
type Assignment<'a> = BTreeMap<&'a IdentityId, usize>;

/// The steps that cannot all get enough people, if there are any.
///
/// The function matches people to steps by augmenting paths. If no path remains, all visited people are assigned to the
/// steps on the search, and these steps need one person more. So they are the missing ones (Hall's theorem).
pub(super) fn missing_approvers(open_steps: &[OpenStep<'_>]) -> Option<MissingApprovers> {
    let mut assignment = Assignment::new();
    for (at, step) in open_steps.iter().enumerate() {
        for _ in 0..step.count {
            let mut visited = BTreeSet::new();
            if !assign(at, open_steps, &mut assignment, &mut visited) {
                let mut short: BTreeSet<usize> =
                    visited.iter().filter_map(|person| assignment.get(person)).copied().collect();
                short.insert(at);
                let short: Vec<_> = short.into_iter().filter_map(|at| open_steps.get(at)).collect();
                return Some(MissingApprovers {
                    steps: short.iter().map(|step| step.name.clone()).collect(),
                    needed: short.iter().map(|step| step.count).fold(0, usize::saturating_add),
                    n_people: visited.len(),
                });
            }
        }
    }
    None
}

/// Assigns a person to step `at`, and reassigns others if that helps.
fn assign<'a>(
    at: usize,
    open_steps: &[OpenStep<'a>],
    assignment: &mut Assignment<'a>,
    visited: &mut BTreeSet<&'a IdentityId>,
) -> bool {
    let people = open_steps.get(at).into_iter().flat_map(|step| step.people.iter().copied());
    for person in people {
        if !visited.insert(person) {
            continue;
        }
        let free = match assignment.get(person).copied() {
            None => true,
            Some(other) => assign(other, open_steps, assignment, visited),
        };
        if free {
            assignment.insert(person, at);
            return true;
        }
    }
    false
}
