//! Delegations: what a human lets another identity ask for on their behalf.
//!
//! A human stores one beforehand, with a proof of their own that the other identity never sees. Each change is a new
//! version, put where none is and never written again, so the versions are their own history; each names the one before
//! by its digest. A decision that rests on a version names it, and is stored only while no later one is there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest};
use crate::grant::{Grant, RETENTION_S};
use crate::id::{EntitlementId, IdentityId};
use crate::identity::ProofSummary;
use crate::time::{Term, Timestamp};

/// The longest that a delegation lasts before it has to be given anew, in seconds: 30 days.
pub const MAX_DELEGATION_S: u32 = 30 * 86_400;

/// The most entitlements of one delegation.
pub const MAX_ENTITLEMENTS: usize = 50;

/// The most identities that one human can have delegations for, past ones included.
pub const MAX_DELEGATES: usize = 50;

/// One version of what `by` lets `to` ask for on their behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The human.
    pub by: IdentityId,
    /// The other identity; never a human.
    pub to: IdentityId,
    /// Its number, from 1 on.
    pub version: u64,
    /// The digest of the version before; zero for the first.
    pub prev: Digest,
    /// What it is about.
    pub scope: Scope,
    /// When it was written.
    pub at: Timestamp,
    /// What the human showed.
    pub proof: ProofSummary,
}

/// What a delegation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// These may be asked for.
    Given {
        /// On which entitlements, 1 to [`MAX_ENTITLEMENTS`].
        entitlements: BTreeSet<EntitlementId>,
        /// The longest term of a grant; absent where the human's own limits are enough.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_term_s: Option<Term>,
        /// Until when. No grant that rests on it lasts longer.
        until: Timestamp,
    },
    /// Nothing any more.
    Ended,
}

/// The version of a delegation that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegated {
    /// The human who gave it.
    pub by: IdentityId,
    /// Its number.
    pub version: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Why a delegation cannot be given like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It is about nothing, or too much.
    #[error("a delegation names 1 to {MAX_ENTITLEMENTS} entitlements; this one names {0}")]
    Entitlements(usize),
    /// It ends before it begins, or too late.
    #[error("a delegation ends at most {} days ahead, and after now ({now}); this one ends at {until}", MAX_DELEGATION_S / 86_400)]
    Until {
        /// Now.
        now: Timestamp,
        /// Its end.
        until: Timestamp,
    },
}

/// Why a request cannot rest on a delegation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// There is none, or it was ended.
    #[error("`{by}` lets `{to}` ask for nothing on their behalf: they have to store a delegation beforehand")]
    None {
        /// The human.
        by: IdentityId,
        /// Who asked.
        to: IdentityId,
    },
    /// It is about other entitlements.
    #[error("the delegation of `{by}` to `{to}` is not about `{entitlement}`")]
    OtherEntitlement {
        /// The human.
        by: IdentityId,
        /// Who asked.
        to: IdentityId,
        /// For what.
        entitlement: EntitlementId,
    },
    /// It is over.
    #[error("the delegation of `{by}` to `{to}` ended at {until}")]
    Over {
        /// The human.
        by: IdentityId,
        /// Who asked.
        to: IdentityId,
        /// When.
        until: Timestamp,
    },
    /// It allows less time.
    #[error("the delegation of `{by}` to `{to}` is for terms of at most {max} s; {asked} s were asked for")]
    Term {
        /// The human.
        by: IdentityId,
        /// Who asked.
        to: IdentityId,
        /// What it allows, in seconds.
        max: u32,
        /// What was asked, in seconds.
        asked: u32,
    },
    /// The grant could outlast it.
    #[error(
        "the delegation of `{by}` to `{to}` ends at {until}, and the grant could last longer: ask for a shorter term, or \
         have the delegation given anew"
    )]
    Outlasts {
        /// The human.
        by: IdentityId,
        /// Who asked.
        to: IdentityId,
        /// When it ends.
        until: Timestamp,
    },
}

/// What is asked for under a delegation.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// On what.
    pub entitlement: &'a EntitlementId,
    /// For how long.
    pub term: Term,
    /// For how long people may take to say yes, in seconds.
    pub waits_s: u32,
    /// For how long after that it could be started, in seconds.
    pub start_within_s: u32,
}

/// The shortest time to start that a delegation may leave, in seconds.
const SHORTEST_START_S: u32 = 60;

impl Scope {
    /// Whether it can be given at `now`.
    ///
    /// # Errors
    ///
    /// [`ScopeError`] if not.
    pub fn check(&self, now: Timestamp) -> Result<(), ScopeError> {
        let Self::Given { entitlements, until, .. } = self else { return Ok(()) };
        if !(1..=MAX_ENTITLEMENTS).contains(&entitlements.len()) {
            return Err(ScopeError::Entitlements(entitlements.len()));
        }
        if *until <= now || *until > now.plus(MAX_DELEGATION_S) {
            return Err(ScopeError::Until { now, until: *until });
        }
        Ok(())
    }
}

impl Delegation {
    /// The digest that decisions and the next version name.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if it has no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(self)
    }

    /// How the decision on a request names it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if it has no JSON form.
    pub fn named(&self) -> Result<Delegated, CanonicalError> {
        Ok(Delegated { by: self.by.clone(), version: self.version, digest: self.digest()? })
    }

    /// Within how many seconds after its approval a grant has to be started at the latest, so that it cannot outlast
    /// this delegation.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] if what is asked for is not delegated at `now`.
    pub fn covers(&self, asked: Use<'_>, now: Timestamp) -> Result<u32, DelegationError> {
        let (by, to) = (self.by.clone(), self.to.clone());
        let Scope::Given { entitlements, max_term_s, until } = &self.scope else {
            return Err(DelegationError::None { by, to });
        };
        let until = *until;
        if now >= until {
            return Err(DelegationError::Over { by, to, until });
        }
        if !entitlements.contains(asked.entitlement) {
            return Err(DelegationError::OtherEntitlement { by, to, entitlement: asked.entitlement.clone() });
        }
        if let Some(max) = max_term_s.filter(|max| asked.term > *max) {
            let (max, asked) = (max.as_seconds(), asked.term.as_seconds());
            return Err(DelegationError::Term { by, to, max, asked });
        }
        // INVARIANT: what rests on it ends before it does, whenever people say yes and whenever it is started.
        let used = u64::from(asked.waits_s).saturating_add(u64::from(asked.term.as_seconds()));
        let Some(left) = until.seconds_since(now).checked_sub(used) else {
            return Err(DelegationError::Outlasts { by, to, until });
        };
        let start_within_s = asked.start_within_s.min(u32::try_from(left).unwrap_or(u32::MAX));
        if start_within_s < asked.start_within_s.min(SHORTEST_START_S) {
            return Err(DelegationError::Outlasts { by, to, until });
        }
        Ok(start_within_s)
    }

    /// Whether a live grant that rests on an earlier version may go on under this one.
    #[must_use]
    pub fn keeps(&self, grant: &Grant) -> bool {
        match &self.scope {
            Scope::Given { entitlements, max_term_s, until } => {
                entitlements.contains(&grant.entitlement)
                    && max_term_s.is_none_or(|max| grant.term <= max)
                    && grant.over_by().is_none_or(|at| at <= *until)
            }
            Scope::Ended => false,
        }
    }

    /// When its record may be dropped: never before one of an earlier version, or that would count again.
    #[must_use]
    pub fn drop_at(&self) -> Timestamp {
        self.at.plus(MAX_DELEGATION_S).plus(RETENTION_S)
    }
}

#[cfg(test)]
mod tests;
