//! Separation of duties: the grants that the identities of one sponsor may hold together, and their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grant::{Grant, State};
use crate::id::{EntitlementId, GrantId, IdentityId};
use crate::time::Timestamp;

/// The maximum time that an ended grant can still conflict, in seconds: 30 days.
pub const MAX_AFTER_S: u32 = 30 * 86_400;

/// The separation-of-duties rules of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// Conflicting entitlements, with the seconds that they still conflict after their end; 0 for only while held.
    pub conflicts: BTreeMap<EntitlementId, u32>,
    /// The time to remember the end of the requested grant, in seconds: the longest of its conflicts.
    pub remember_s: u32,
    /// The maximum number of grants that the requester may have at once, if there is one.
    pub max_live: Option<u32>,
}

/// One grant of one of the sponsor's identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The grant. It counts from its decision on, so two grants that await approval already conflict.
    pub grant: GrantId,
    /// The holder.
    pub identity: IdentityId,
    pub entitlement: EntitlementId,
    pub taken_at: Timestamp,
    /// The latest end if nothing goes wrong. From then on the evaluator reads the grant to see whether it has ended.
    pub likely_over_at: Timestamp,
    /// The time for which its end is remembered, in seconds.
    pub remember_s: u32,
    /// The grant that it renews. While both are live, they count as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<GrantId>,
    /// The instant of its end, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// The grants of all identities of one human. Every write is conditional on the version, so concurrent requests cannot
/// both miss each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// The human who is accountable for them.
    pub sponsor: IdentityId,
    /// The number of writes so far; 0 if nothing is stored yet.
    pub version: u64,
    /// The grants, oldest first; at most [`Holdings::MAX`].
    pub held: Vec<Holding>,
}

/// The reason why a grant cannot be held beside the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DutiesError {
    /// A conflicting grant is held.
    #[error(
        "the entitlement conflicts with `{entitlement}`, which `{identity}` of the same sponsor holds: request it \
         again after grant `{grant}` has ended"
    )]
    Held { grant: GrantId, identity: IdentityId, entitlement: EntitlementId },
    /// A conflicting grant ended a short time ago.
    #[error(
        "the entitlement conflicts with `{entitlement}`, which `{identity}` of the same sponsor held until {ended_at}: \
         request it again from {free_at} on"
    )]
    HeldBefore {
        identity: IdentityId,
        entitlement: EntitlementId,
        ended_at: Timestamp,
        /// The instant from which it no longer conflicts.
        free_at: Timestamp,
    },
    /// The identity has its maximum number of grants.
    #[error("`{identity}` may have {max} grants at once and already has them: release one, or wait for one to end")]
    TooMany {
        identity: IdentityId,
        /// The maximum number at once.
        max: u32,
    },
    /// A third grant in a chain of renewals would be live beside two others.
    #[error(
        "at most two grants in a chain of renewals can be live at once: renew `{grant}` after `{before}`, which it \
         renews, has ended"
    )]
    TooEarly {
        /// The grant that the request renews.
        grant: GrantId,
        /// The grant that it renews itself.
        before: GrantId,
    },
    /// The sponsor's identities have the maximum number of tracked grants.
    #[error("the identities of `{sponsor}` have {max} grants at once, which is the maximum: wait for one to end")]
    Full {
        sponsor: IdentityId,
        /// The maximum number.
        max: usize,
    },
}

impl Holdings {
    /// The maximum number of tracked grants per sponsor, so that the record stays under DynamoDB's 400 KB.
    pub const MAX: usize = 1_000;

    /// The record of a sponsor without grants.
    #[must_use]
    pub fn none(sponsor: &IdentityId) -> Self {
        Self { sponsor: sponsor.clone(), version: 0, held: Vec::new() }
    }

    /// The grants that block `new` by this record. Each may have ended meanwhile.
    #[must_use]
    pub fn in_the_way(&self, new: &Holding, duties: &Duties) -> Vec<GrantId> {
        let live = self.held.iter().filter(|held| held.ended_at.is_none());
        let conflicts = |held: &Holding| duties.conflicts.contains_key(&held.entitlement);
        let mine = |held: &Holding| held.identity == new.identity;
        let at_cap = duties.max_live.is_some_and(|max| self.n_live(new) >= usize::try_from(max).unwrap_or(usize::MAX));
        let is_full = self.held.len() >= Self::MAX;
        let before = self.before_last(new);
        let blocks = |held: &&Holding| {
            conflicts(held)
                || (at_cap && mine(held))
                || is_full
                || before.is_some_and(|before| before.grant == held.grant)
        };
        live.filter(blocks).map(|held| held.grant).collect()
    }

    /// The number of live grants of the holder of `new` beside it. A grant and its renewal count as one.
    fn n_live(&self, new: &Holding) -> usize {
        let live = || self.held.iter().filter(|held| held.ended_at.is_none() && held.identity == new.identity);
        let is_renewed = |held: &Holding| live().chain([new]).any(|later| later.renews == Some(held.grant));
        live().filter(|held| !is_renewed(held)).count()
    }

    /// The grant that is renewed by the grant that `new` renews, while both are live.
    fn before_last(&self, new: &Holding) -> Option<&Holding> {
        let live = |id: GrantId| self.held.iter().find(|held| held.grant == id && held.ended_at.is_none());
        live(live(new.renews?)?.renews?)
    }

    /// Up to `limit` grants that have probably ended by `now`, oldest first. The evaluator reads them when it has time.
    #[must_use]
    pub fn probably_over(&self, now: Timestamp, limit: usize) -> Vec<GrantId> {
        let over = self.held.iter().filter(|held| held.ended_at.is_none() && held.likely_over_at <= now);
        over.map(|held| held.grant).take(limit).collect()
    }

    /// Records the current state of `grant`. A grant that never gave access is removed at once.
    pub fn note(&mut self, id: GrantId, grant: Option<&Grant>) {
        let (ended_at, forget) = match grant.map(|grant| &grant.state) {
            // The grant was never created: one transaction adds the holding and creates the grant.
            None => (None, true),
            Some(State::Ended { verified_at, .. }) => (Some(*verified_at), false),
            Some(State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. }) => (None, true),
            Some(
                State::ApprovalAwaited { .. }
                | State::Approved { .. }
                | State::Activating { .. }
                | State::Active { .. }
                | State::Revoking(_),
            ) => (None, false),
        };
        self.held.retain(|held| held.grant != id || !forget);
        for held in self.held.iter_mut().filter(|held| held.grant == id) {
            held.ended_at = held.ended_at.or(ended_at);
        }
    }

    /// Adds `new`, and removes holdings that are no longer remembered.
    ///
    /// # Errors
    ///
    /// [`DutiesError`] if `new` must not be held beside the others.
    pub fn take(&self, new: Holding, duties: &Duties, now: Timestamp) -> Result<Self, DutiesError> {
        let remembered = |held: &&Holding| held.ended_at.is_none_or(|at| now < at.plus(held.remember_s));
        let mut held: Vec<_> = self.held.iter().filter(remembered).cloned().collect();
        for held in &held {
            let Some(within_s) = duties.conflicts.get(&held.entitlement) else { continue };
            let (identity, entitlement) = (held.identity.clone(), held.entitlement.clone());
            match held.ended_at {
                None => return Err(DutiesError::Held { grant: held.grant, identity, entitlement }),
                Some(ended_at) if now < ended_at.plus(*within_s) => {
                    let free_at = ended_at.plus(*within_s);
                    return Err(DutiesError::HeldBefore { identity, entitlement, ended_at, free_at });
                }
                Some(_) => {}
            }
        }
        if let (Some(grant), Some(before)) = (new.renews, self.before_last(&new)) {
            return Err(DutiesError::TooEarly { grant, before: before.grant });
        }
        let mine = self.n_live(&new);
        if let Some(max) = duties.max_live.filter(|max| mine >= usize::try_from(*max).unwrap_or(usize::MAX)) {
            return Err(DutiesError::TooMany { identity: new.identity, max });
        }
        // No holding is removed to make room: it may conflict with the next request.
        if held.len() >= Self::MAX {
            return Err(DutiesError::Full { sponsor: self.sponsor.clone(), max: Self::MAX });
        }
        held.push(new);
        Ok(Self { sponsor: self.sponsor.clone(), version: self.version.saturating_add(1), held })
    }
}

#[cfg(test)]
mod tests;
