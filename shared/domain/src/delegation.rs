//! Delegations: the requests that a human lets another identity make on their behalf.
//!
//! The human stores a delegation beforehand, with a proof of their own that the other identity never sees. Each change
//! is a new version, put only if absent and never changed. So the versions are their own history; each names the
//! previous one by its digest. A decision that uses a version names it, and is stored only while that version is the
//! latest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest};
use crate::grant::{Grant, RETENTION_S};
use crate::id::{EntitlementId, IdentityId};
use crate::identity::ProofSummary;
use crate::time::{Term, Timestamp};

/// The maximum duration of a delegation before it must be given again, in seconds: 30 days.
pub const MAX_DELEGATION_S: u32 = 30 * 86_400;

/// The maximum number of entitlements in one delegation.
pub const MAX_ENTITLEMENTS: usize = 50;

/// The maximum number of identities that one human has delegations for, including past ones.
pub const MAX_DELEGATES: usize = 50;

/// One version of the delegation from `by` to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    pub by: IdentityId,
    /// The delegate; never a human.
    pub to: IdentityId,
    /// The number of the version, from 1.
    pub version: u64,
    /// The digest of the previous version; zero for the first.
    pub prev: Digest,
    pub scope: Scope,
    pub at: Timestamp,
    /// The human's proof of identity.
    pub proof: ProofSummary,
}

/// The extent of a delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// The delegate may request these entitlements.
    Given {
        /// The entitlements, 1 to [`MAX_ENTITLEMENTS`].
        entitlements: BTreeSet<EntitlementId>,
        /// The maximum term of a grant; absent if the human's own limits are enough.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_term_s: Option<Term>,
        /// The end of the delegation. No grant under it lasts longer.
        until: Timestamp,
    },
    /// The delegation was ended.
    Ended,
}

/// The version of a delegation that a decision uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegated {
    /// The human who gave the delegation.
    pub by: IdentityId,
    pub version: u64,
    pub digest: Digest,
}

/// The reason why a delegation is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It names no entitlement, or too many.
    #[error("a delegation names 1 to {MAX_ENTITLEMENTS} entitlements; this one names {0}")]
    Entitlements(usize),
    /// It ends in the past or too late.
    #[error("a delegation ends at most {} days ahead, and after now ({now}); this one ends at {until}", MAX_DELEGATION_S / 86_400)]
    Until {
        now: Timestamp,
        /// The end of the delegation.
        until: Timestamp,
    },
}

/// The reason why a delegation does not cover a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// There is no delegation, or it was ended.
    #[error("`{by}` has delegated nothing to `{to}`: `{by}` must store a delegation first")]
    None { by: IdentityId, to: IdentityId },
    /// The delegation covers other entitlements.
    #[error("the delegation of `{by}` to `{to}` does not cover `{entitlement}`")]
    OtherEntitlement { by: IdentityId, to: IdentityId, entitlement: EntitlementId },
    /// The delegation is over.
    #[error("the delegation of `{by}` to `{to}` ended at {until}")]
    Over { by: IdentityId, to: IdentityId, until: Timestamp },
    /// The delegation allows only shorter terms.
    #[error("the delegation of `{by}` to `{to}` allows terms of at most {max} s; you asked for {asked} s")]
    Term {
        by: IdentityId,
        to: IdentityId,
        /// The maximum term, in seconds.
        max: u32,
        /// The requested term, in seconds.
        asked: u32,
    },
    /// The grant could outlast the delegation.
    #[error(
        "the delegation of `{by}` to `{to}` ends at {until}, and the grant could last longer: ask for a shorter term, \
         or have the delegation renewed"
    )]
    Outlasts {
        by: IdentityId,
        to: IdentityId,
        /// The end of the delegation.
        until: Timestamp,
    },
}

/// A request under a delegation.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    pub entitlement: &'a EntitlementId,
    pub term: Term,
    /// The time for the approvals, in seconds.
    pub waits_s: u32,
    /// The time for the start after that, in seconds.
    pub start_within_s: u32,
}

/// The minimum time for the start that a delegation must leave, in seconds.
const SHORTEST_START_S: u32 = 60;

impl Scope {
    /// Checks that the scope is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`ScopeError`] if the scope is not valid.
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
    /// The digest, which decisions and the next version name.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the delegation has no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(self)
    }

    /// The reference with which a decision names this version.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the delegation has no JSON form.
    pub fn named(&self) -> Result<Delegated, CanonicalError> {
        Ok(Delegated { by: self.by.clone(), version: self.version, digest: self.digest()? })
    }

    /// The time for the start after approval, in seconds, with which a grant cannot outlast this delegation.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] if the delegation does not cover the request at `now`.
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
        // INVARIANT: a grant ends before its delegation, however late the approvals and the start are.
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

    /// Whether a live grant under an earlier version may continue under this one.
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

    /// When the record may be dropped: never before an earlier version, which would otherwise count again.
    #[must_use]
    pub fn drop_at(&self) -> Timestamp {
        self.at.plus(MAX_DELEGATION_S).plus(RETENTION_S)
    }
}

#[cfg(test)]
mod tests;
