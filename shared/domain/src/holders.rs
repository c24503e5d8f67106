//! The holders of a managed policy on a principal. Several grants may hold it; the last one to leave detaches it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::GrantId;
use crate::time::Timestamp;

/// The holders of one managed policy on one principal. Every write is conditional on the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentHolders {
    /// The role that the policy is attached to.
    pub principal_arn: String,
    pub policy_arn: String,
    /// The number of writes so far; 0 if nothing is stored yet.
    pub version: u64,
    /// The grants that hold it, at most [`AttachmentHolders::MAX_HOLDERS`].
    pub holders: BTreeSet<GrantId>,
    /// Set by the last holder before it detaches, until its end is proved. No grant joins meanwhile, because a late
    /// detach would remove its attachment.
    pub is_detaching: bool,
    /// Set by a sweep before it detaches a policy without holders. No grant joins until then, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_until: Option<Timestamp>,
}

/// The reason why the holders cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldersError {
    /// The last holder is detaching the policy.
    #[error("the policy is being detached from the principal: it can be attached again after the detach is proved")]
    Detaching,
    /// The policy has the maximum number of holders.
    #[error(
        "{max} grants already hold the policy on this principal, which is the maximum: retry after one has ended",
        max = AttachmentHolders::MAX_HOLDERS
    )]
    Full,
    /// Other grants hold the policy.
    #[error("{0} other grants hold the policy on this principal: only the last holder detaches it")]
    Held(usize),
}

impl AttachmentHolders {
    /// The maximum number of grants that hold one policy on one principal, so that the record stays small.
    pub const MAX_HOLDERS: usize = 100;

    /// The record of a policy without holders.
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

    /// All holders but `grant`, in order.
    #[must_use]
    pub fn others(&self, grant: GrantId) -> Vec<GrantId> {
        self.holders.iter().copied().filter(|holder| *holder != grant).collect()
    }

    /// Adds `grant` to the holders at `now`.
    ///
    /// # Errors
    ///
    /// [`HoldersError::Detaching`] or [`HoldersError::Full`].
    pub fn join(&self, grant: GrantId, now: Timestamp) -> Result<Self, HoldersError> {
        if self.is_detaching || self.swept_until.is_some_and(|until| now < until) {
            return Err(HoldersError::Detaching);
        }
        if self.holders.len() >= Self::MAX_HOLDERS && !self.holders.contains(&grant) {
            return Err(HoldersError::Full);
        }
        let mut next = Self { swept_until: None, ..self.changed() };
        next.holders.insert(grant);
        Ok(next)
    }

    /// Removes `grant`. After the last holder has left, grants can join again.
    #[must_use]
    pub fn leave(&self, grant: GrantId) -> Self {
        let mut next = self.changed();
        next.holders.remove(&grant);
        next.is_detaching = self.is_detaching && !next.holders.is_empty();
        next
    }

    /// Records that `grant`, the last holder, is about to detach.
    ///
    /// # Errors
    ///
    /// [`HoldersError::Held`] if other grants hold the policy.
    pub fn detach(&self, grant: GrantId) -> Result<Self, HoldersError> {
        match self.others(grant).len() {
            0 => Ok(Self { is_detaching: true, ..self.changed() }.with(grant)),
            n => Err(HoldersError::Held(n)),
        }
    }

    /// Records that a sweep without a live holder is about to detach. Its call takes effect by `until` or never.
    #[must_use]
    pub fn swept(&self, until: Timestamp) -> Self {
        Self { holders: BTreeSet::new(), is_detaching: false, swept_until: Some(until), ..self.changed() }
    }

    /// A record that was lost with a restored table comes back with the detaching grant as its holder.
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

    fn nobody() -> AttachmentHolders {
        AttachmentHolders::nobody("arn:aws:iam::000000000000:role/vendor", "arn:aws:iam::000000000000:policy/sync")
    }

    #[test]
    fn join_is_refused_while_the_last_holder_detaches() {
        let detaching = nobody().join(grant(1), NOW).unwrap().detach(grant(1)).unwrap();
        assert_eq!(detaching.join(grant(2), NOW), Err(HoldersError::Detaching));
        let left = detaching.leave(grant(1));
        assert_eq!(left.join(grant(2), NOW).unwrap().others(grant(1)), [grant(2)]);
    }

    #[test]
    fn detach_is_refused_while_other_grants_hold_the_policy() {
        let both = nobody().join(grant(1), NOW).unwrap().join(grant(2), NOW).unwrap();
        assert_eq!(both.detach(grant(1)), Err(HoldersError::Held(1)));
        assert!(both.leave(grant(2)).detach(grant(1)).unwrap().is_detaching);
    }

    #[test]
    fn lost_record_can_still_be_detached_by_its_holder() {
        let found = nobody().detach(grant(3)).unwrap();
        assert_eq!((found.version, found.others(grant(1))), (1, vec![grant(3)]));
    }

    #[test]
    fn join_is_refused_when_the_holders_are_full() {
        let id = |n: usize| format!("grt_01ARZ3NDEKTSV4RRFFQ69G5{n:03}").parse().unwrap();
        let full = (0..AttachmentHolders::MAX_HOLDERS).fold(nobody(), |holders, n| holders.join(id(n), NOW).unwrap());
        assert_eq!(full.join(id(999), NOW), Err(HoldersError::Full));
        assert_eq!(full.join(id(0), NOW).unwrap().holders.len(), AttachmentHolders::MAX_HOLDERS);
    }

    #[test]
    fn join_is_refused_while_a_swept_detach_may_take_effect() {
        let until = NOW.plus(30);
        let swept = nobody().join(grant(1), NOW).unwrap().swept(until);
        assert_eq!((swept.version, swept.others(grant(2)).len()), (2, 0), "the holder was not live");
        assert_eq!(swept.join(grant(2), NOW.plus(29)), Err(HoldersError::Detaching));
        let joined = swept.join(grant(2), until).unwrap();
        assert_eq!((joined.swept_until, joined.others(grant(1))), (None, vec![grant(2)]));
    }

    proptest! {
        /// In any order of steps, only the last holder detaches, and never while another grant has joined.
        #[test]
        fn holders_are_the_grants_that_joined_and_did_not_leave(
            steps in prop::collection::vec((0_u8..3, 0_u8..4), 0..60),
        ) {
            let mut record = nobody();
            let mut expected = BTreeSet::new();
            for (step, n) in steps {
                let id = grant(n);
                let before = record.clone();
                match step {
                    0 => if let Ok(next) = record.join(id, NOW) { expected.insert(id); record = next; },
                    1 => { expected.remove(&id); record = record.leave(id); }
                    _ if expected.contains(&id) => if let Ok(next) = record.detach(id) { record = next; },
                    _ => {}
                }
                prop_assert_eq!(&record.holders, &expected);
                prop_assert!(!record.is_detaching || record.holders.len() == 1);
                prop_assert!(record == before || record.version > before.version);
            }
        }
    }
}
