//! The limits of each identity class. They hold whatever an entitlement or a policy says.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::identity::IdentityClass;
use crate::time::Term;

/// The limits of one identity class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLimits {
    /// The maximum term.
    pub max_term: Term,
    /// The maximum number of live grants per identity.
    pub max_live: NonZeroU32,
    /// The maximum number of consecutive renewals. Each renewal is a new grant with its own decision.
    pub max_renewals: u32,
    /// Whether a person must approve everything but break-glass, even if a policy waives it.
    pub people_always: bool,
}

impl ClassLimits {
    /// The built-in limits. A catalogue can only tighten them.
    ///
    /// A person's shift, and AWS's longest session, is 12 h. A job of a hosted pipeline ends after 6 h. An agent works
    /// on one task at a time without supervision, so it has an hour.
    ///
    /// A human may renew twice, because an incident may outlast a shift and be handed over twice. A pipeline renews
    /// once, when its job waits for a slow deployment. A service renews 8 times: nobody could request again at night,
    /// but people check it every few days. An agent renews once; a person must look at any longer task.
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

    /// The stricter of both values for each limit.
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
    fn tightened_limits_are_never_looser() {
        let agent = ClassLimits::built_in(IdentityClass::Agent);
        let loose = ClassLimits {
            max_term: Term::from_seconds(43_200).unwrap(),
            max_live: NonZeroU32::MAX,
            max_renewals: 9,
            ..agent
        };
        assert_eq!(agent.tightened(loose), agent);
        let strict =
            ClassLimits { max_term: Term::SHORTEST, max_live: NonZeroU32::MIN, max_renewals: 0, people_always: true };
        assert_eq!(agent.tightened(strict), strict);
    }
}
