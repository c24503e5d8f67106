//! Who holds a managed policy on a principal: several grants may, and the last one out detaches it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::GrantId;
use crate::time::Timestamp;

/// The holders of one managed policy on one principal. Every write is conditional on its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The role.
    pub principal_arn: String,
    /// The policy.
    pub policy_arn: String,
    /// How often it was written; 0 where nothing is stored yet.
    pub version: u64,
    /// The grants that hold it, at most [`Count::MAX_HOLDERS`].
    pub holders: BTreeSet<GrantId>,
    /// Set by the last holder before it detaches, until its end is proved: nobody joins meanwhile, since a detaching
    /// that lands late would take away what they attached.
    pub is_detaching: bool,
    /// Set by a sweep before it detaches what nobody holds: until then nobody joins, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_until: Option<Timestamp>,
}

/// Why holders cannot change in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// The last holder is detaching it.
    #[error("the policy is being detached from the principal: it can be attached anew once that is proved")]
    Detaching,
    /// There are as many holders as there can be.
    #[error("{max} grants hold the policy on this principal already, and no more can", max = Count::MAX_HOLDERS)]
    Full,
    /// Others hold it.
    #[error("{0} other grants hold the policy on this principal: only the last one detaches it")]
    Held(usize),
}

impl Count {
    /// The most grants that can hold one policy on one principal at a time: the record stays small.
    pub const MAX_HOLDERS: usize = 100;

    /// Nobody holds it yet.
    #[must_use]
    pub fn nobody(principal_arn: &str, policy_arn: &str) -> Self {
        Self {
            principal_arn: principal_arn.to_owned(),
            policy_arn: policy_arn.to_owned(),
            version: 0,
            holders: BTreeSet::new(),
            is_detaching: false,
            swept_until: None,
        }
    }

    /// Everybody who holds it but `grant`, in order.
    #[must_use]
    pub fn others(&self, grant: GrantId) -> Vec<GrantId> {
        self.holders.iter().copied().filter(|holder| *holder != grant).collect()
    }

    /// With `grant` among the holders at `now`.
    ///
    /// # Errors
    ///
    /// [`CountError::Detaching`] or [`CountError::Full`].
    pub fn join(&self, grant: GrantId, now: Timestamp) -> Result<Self, CountError> {
        if self.is_detaching || self.swept_until.is_some_and(|until| now < until) {
            return Err(CountError::Detaching);
        }
        if self.holders.len() >= Self::MAX_HOLDERS && !self.holders.contains(&grant) {
            return Err(CountError::Full);
        }
        let mut next = Self { swept_until: None, ..self.changed() };
        next.holders.insert(grant);
        Ok(next)
    }

    /// Without `grant`. Once nobody is left, it can be joined again.
    #[must_use]
    pub fn leave(&self, grant: GrantId) -> Self {
        let mut next = self.changed();
        next.holders.remove(&grant);
        next.is_detaching = self.is_detaching && !next.holders.is_empty();
        next
    }

    /// About to be detached by `grant`, its last holder.
    ///
    /// # Errors
    ///
    /// [`CountError::Held`] if others hold it.
    pub fn detach(&self, grant: GrantId) -> Result<Self, CountError> {
        match self.others(grant).len() {
            0 => Ok(Self { is_detaching: true, ..self.changed() }.with(grant)),
            n => Err(CountError::Held(n)),
        }
    }

    /// About to be detached by a sweep that found no live holder; no call of it lands after `until`.
    #[must_use]
    pub fn swept(&self, until: Timestamp) -> Self {
        Self { holders: BTreeSet::new(), is_detaching: false, swept_until: Some(until), ..self.changed() }
    }

    /// A lost record (a restored table) comes back with the one who detaches in it.
    fn with(mut self, grant: GrantId) -> Self {
        self.holders.insert(grant);
        self
    }

    fn changed(&self) -> Self {
        Self { version: self.version.saturating_add(1), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn grant(n: u8) -> GrantId {
        format!("grt_01ARZ3NDEKTSV4RRFFQ69G5FA{n}").parse().unwrap()
    }

    fn nobody() -> Count {
        Count::nobody("arn:aws:iam::000000000000:role/vendor", "arn:aws:iam::000000000000:policy/sync")
    }

    #[test]
    fn nobody_joins_what_is_being_detached_until_its_holder_left() {
        let detaching = nobody().join(grant(1), NOW).unwrap().detach(grant(1)).unwrap();
        assert_eq!(detaching.join(grant(2), NOW), Err(CountError::Detaching));
        let left = detaching.leave(grant(1));
        assert_eq!(left.join(grant(2), NOW).unwrap().others(grant(1)), [grant(2)]);
    }

    #[test]
    fn who_is_not_the_last_detaches_nothing() {
        let both = nobody().join(grant(1), NOW).unwrap().join(grant(2), NOW).unwrap();
        assert_eq!(both.detach(grant(1)), Err(CountError::Held(1)));
        assert!(both.leave(grant(2)).detach(grant(1)).unwrap().is_detaching);
    }

    #[test]
    fn a_lost_record_can_still_be_detached_by_whoever_holds() {
        let found = nobody().detach(grant(3)).unwrap();
        assert_eq!((found.version, found.others(grant(1))), (1, vec![grant(3)]));
    }

    #[test]
    fn there_is_a_last_place() {
        let id = |n: usize| format!("grt_01ARZ3NDEKTSV4RRFFQ69G5{n:03}").parse().unwrap();
        let full = (0..Count::MAX_HOLDERS).fold(nobody(), |count, n| count.join(id(n), NOW).unwrap());
        assert_eq!(full.join(id(999), NOW), Err(CountError::Full));
        assert_eq!(full.join(id(0), NOW).unwrap().holders.len(), Count::MAX_HOLDERS);
    }

    #[test]
    fn nobody_joins_what_a_sweep_detaches_until_its_call_cannot_land() {
        let until = NOW.plus(30);
        let swept = nobody().join(grant(1), NOW).unwrap().swept(until);
        assert_eq!((swept.version, swept.others(grant(2)).len()), (2, 0), "who held it did not live");
        assert_eq!(swept.join(grant(2), NOW.plus(29)), Err(CountError::Detaching));
        let joined = swept.join(grant(2), until).unwrap();
        assert_eq!((joined.swept_until, joined.others(grant(1))), (None, vec![grant(2)]));
    }

    proptest! {
        /// Whatever the order, it is detached by the last one alone, and never under somebody who joined.
        #[test]
        fn holders_are_whoever_joined_and_did_not_leave(steps in prop::collection::vec((0_u8..3, 0_u8..4), 0..60)) {
            let mut count = nobody();
            let mut expected = BTreeSet::new();
            for (what, who) in steps {
                let id = grant(who);
                let before = count.clone();
                match what {
                    0 => if let Ok(next) = count.join(id, NOW) { expected.insert(id); count = next; },
                    1 => { expected.remove(&id); count = count.leave(id); }
                    _ if expected.contains(&id) => if let Ok(next) = count.detach(id) { count = next; },
                    _ => {}
                }
                prop_assert_eq!(&count.holders, &expected);
                prop_assert!(!count.is_detaching || count.holders.len() == 1);
                prop_assert!(count == before || count.version > before.version);
            }
        }
    }
}
