//! Separation of duties: what the identities of one sponsor may hold together, and how much at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grant::{Grant, State};
use crate::id::{EntitlementId, GrantId, IdentityId};
use crate::time::Timestamp;

/// The longest that something held before can be in the way, in seconds: 30 days.
pub const MAX_AFTER_S: u32 = 30 * 86_400;

/// What must not be held together with, or soon after, something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// Conflicting entitlements: how long after their end they still conflict, in seconds; 0 while they are held only.
    pub conflicts: BTreeMap<EntitlementId, u32>,
    /// How long the end of what is asked for is to be remembered, in seconds: the longest of the conflicts with it.
    pub remember_s: u32,
    /// How many grants the requester may have at once, if there is a limit.
    pub max_live: Option<u32>,
}

/// One grant of one of the sponsor's identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The grant; from its decision on, so that two that await approval count already.
    pub grant: GrantId,
    /// Who holds it.
    pub identity: IdentityId,
    /// On what.
    pub entitlement: EntitlementId,
    /// When it was decided.
    pub taken_at: Timestamp,
    /// When it must be over at the latest, if nothing goes wrong: from then on it is worth a look.
    pub likely_over_at: Timestamp,
    /// How long its end is remembered, in seconds.
    pub remember_s: u32,
    /// The grant that it carries on: while both live, they count as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<GrantId>,
    /// When it ended, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// What all identities of one human hold. Every write is conditional on its version: two requests that race cannot
/// both find it free of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// The human who answers for them.
    pub sponsor: IdentityId,
    /// How often it was written; 0 where nothing is stored yet.
    pub version: u64,
    /// The grants, oldest first; at most [`Holdings::MAX`].
    pub held: Vec<Holding>,
}

/// Why a grant cannot be held beside the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DutiesError {
    /// Something that conflicts is held.
    #[error(
        "it conflicts with `{entitlement}`, which `{identity}` of the same sponsor holds: it can be asked for once grant \
         `{grant}` has ended"
    )]
    Held {
        /// By which grant.
        grant: GrantId,
        /// Whose.
        identity: IdentityId,
        /// On what.
        entitlement: EntitlementId,
    },
    /// Something that conflicts was held a short time ago.
    #[error(
        "it conflicts with `{entitlement}`, which `{identity}` of the same sponsor held until {ended_at}: it can be asked \
         for from {free_at} on"
    )]
    HeldBefore {
        /// Whose.
        identity: IdentityId,
        /// On what.
        entitlement: EntitlementId,
        /// Until when.
        ended_at: Timestamp,
        /// From when it conflicts no more.
        free_at: Timestamp,
    },
    /// The identity has as many grants as it may have.
    #[error("`{identity}` may have {max} grants at once, and has them: release one, or wait for one to end")]
    TooMany {
        /// Who.
        identity: IdentityId,
        /// How many at once.
        max: u32,
    },
    /// A third grant of one row would live beside two others.
    #[error(
        "of grants that renew each other two at most live at once: `{grant}` can be renewed once `{before}`, which it \
         renews itself, has ended"
    )]
    TooEarly {
        /// The grant that was to be renewed.
        grant: GrantId,
        /// The one before it.
        before: GrantId,
    },
    /// The sponsor's identities have as many grants as can be kept track of.
    #[error("the identities of `{sponsor}` have {max} grants at once, and no more can be kept track of")]
    Full {
        /// The sponsor.
        sponsor: IdentityId,
        /// How many.
        max: usize,
    },
}

impl Holdings {
    /// The most grants of one sponsor that are kept track of: the record stays under DynamoDB's 400 KB.
    pub const MAX: usize = 1_000;

    /// Nothing is held yet.
    #[must_use]
    pub fn none(sponsor: &IdentityId) -> Self {
        Self { sponsor: sponsor.clone(), version: 0, held: Vec::new() }
    }

    /// The grants that stand in the way of `new` as far as this record knows: each may have ended meanwhile.
    #[must_use]
    pub fn in_the_way(&self, new: &Holding, duties: &Duties) -> Vec<GrantId> {
        let live = self.held.iter().filter(|one| one.ended_at.is_none());
        let conflicts = |one: &Holding| duties.conflicts.contains_key(&one.entitlement);
        let mine = |one: &Holding| one.identity == new.identity;
        let at_cap = duties.max_live.is_some_and(|max| self.n_live(new) >= usize::try_from(max).unwrap_or(usize::MAX));
        let is_full = self.held.len() >= Self::MAX;
        let before = self.before_last(new);
        let wanted = |one: &&Holding| {
            conflicts(one) || (at_cap && mine(one)) || is_full || before.is_some_and(|before| before.grant == one.grant)
        };
        live.filter(wanted).map(|one| one.grant).collect()
    }

    /// How many grants the holder of `new` has at once beside it. One that another one carries on is counted with that.
    fn n_live(&self, new: &Holding) -> usize {
        let live = || self.held.iter().filter(|one| one.ended_at.is_none() && one.identity == new.identity);
        let is_renewed = |one: &Holding| live().chain([new]).any(|later| later.renews == Some(one.grant));
        live().filter(|one| !is_renewed(one)).count()
    }

    /// What the grant that `new` renews renews itself, while that still lives.
    fn before_last(&self, new: &Holding) -> Option<&Holding> {
        let live = |id: GrantId| self.held.iter().find(|one| one.grant == id && one.ended_at.is_none());
        live(live(new.renews?)?.renews?)
    }

    /// Up to `limit` grants that are probably over by `now`, oldest first: to be looked at when there is time.
    #[must_use]
    pub fn probably_over(&self, now: Timestamp, limit: usize) -> Vec<GrantId> {
        let over = self.held.iter().filter(|one| one.ended_at.is_none() && one.likely_over_at <= now);
        over.map(|one| one.grant).take(limit).collect()
    }

    /// Notes what became of `grant`, as it reads now. What never gave access is forgotten at once.
    pub fn note(&mut self, id: GrantId, grant: Option<&Grant>) {
        let (ended_at, forget) = match grant.map(|grant| &grant.state) {
            // Never created: the transaction that takes a holding creates its grant.
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
        self.held.retain(|one| one.grant != id || !forget);
        for one in self.held.iter_mut().filter(|one| one.grant == id) {
            one.ended_at = one.ended_at.or(ended_at);
        }
    }

    /// With `new` held too, and without what is remembered no longer.
    ///
    /// # Errors
    ///
    /// [`DutiesError`] if it must not be held beside the others.
    pub fn take(&self, new: Holding, duties: &Duties, now: Timestamp) -> Result<Self, DutiesError> {
        let remembered = |one: &&Holding| one.ended_at.is_none_or(|at| now < at.plus(one.remember_s));
        let mut held: Vec<_> = self.held.iter().filter(remembered).cloned().collect();
        for one in &held {
            let Some(within_s) = duties.conflicts.get(&one.entitlement) else { continue };
            let (identity, entitlement) = (one.identity.clone(), one.entitlement.clone());
            match one.ended_at {
                None => return Err(DutiesError::Held { grant: one.grant, identity, entitlement }),
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
        // Nothing is forgotten to make room: it may be what stands in the way next.
        if held.len() >= Self::MAX {
            return Err(DutiesError::Full { sponsor: self.sponsor.clone(), max: Self::MAX });
        }
        held.push(new);
        Ok(Self { sponsor: self.sponsor.clone(), version: self.version.saturating_add(1), held })
    }
}

#[cfg(test)]
mod tests;
