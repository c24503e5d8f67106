//! Identity classes as lanes: limits that hold for everybody of a class, whatever an entitlement or a policy says.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::identity::IdentityClass;
use crate::time::Term;

/// What nobody of a class can have more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The longest term.
    pub max_term: Term,
    /// How many grants one identity may have at once.
    pub max_live: NonZeroU32,
    /// How often in a row a grant may be renewed: each renewal is a grant of its own, decided afresh.
    pub max_renewals: u32,
    /// Whether a person must say yes to everything but break-glass, also where a policy waives it.
    pub people_always: bool,
}

impl Lane {
    /// The limits that are built in; a catalogue can only tighten them.
    ///
    /// A person's shift, the longest session that AWS gives, is 12 h; a job of a hosted pipeline ends after 6 h; an
    /// agent works on one task at a time and is watched by nobody, so it has an hour.
    ///
    /// An incident may outlast a shift and be handed over twice; a job that waits for a slow deployment renews once; a
    /// service has nobody who could ask anew at night, but is looked at every few days; what takes an agent longer than
    /// a term and its renewal is for a person to look at.
    ///
    /// Source of the 6 h: <https://docs.github.com/en/actions/reference/limits>
    #[must_use]
    pub fn built_in(class: IdentityClass) -> Self {
        let (max_term_s, max_live, max_renewals) = match class {
            IdentityClass::Human => (43_200, 20, 2),
            IdentityClass::Pipeline => (21_600, 50, 1),
            IdentityClass::Workload => (43_200, 20, 8),
            IdentityClass::Agent => (3_600, 10, 1),
        };
        Self {
            max_term: Term::from_seconds(max_term_s).unwrap_or(Term::SHORTEST),
            max_live: NonZeroU32::new(max_live).unwrap_or(NonZeroU32::MIN),
            max_renewals,
            people_always: false,
        }
    }

    /// The tighter of both in each respect.
    #[must_use]
    pub fn tightened(self, other: Self) -> Self {
        Self {
            max_term: self.max_term.min(other.max_term),
            max_live: self.max_live.min(other.max_live),
            max_renewals: self.max_renewals.min(other.max_renewals),
            people_always: self.people_always || other.people_always,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tightening_never_loosens() {
        let agent = Lane::built_in(IdentityClass::Agent);
        let loose =
            Lane { max_term: Term::from_seconds(43_200).unwrap(), max_live: NonZeroU32::MAX, max_renewals: 9, ..agent };
        assert_eq!(agent.tightened(loose), agent);
        let strict = Lane { max_term: Term::SHORTEST, max_live: NonZeroU32::MIN, max_renewals: 0, people_always: true };
        assert_eq!(agent.tightened(strict), strict);
    }
}
