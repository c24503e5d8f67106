//! Renewals: never an extension. A longer need is a new grant that names the one it carries on and is decided afresh.
//!
//! The grant before keeps its deadline and ends with a proof of its own.

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::decision::Decision;
use crate::grant::{EndCause, Grant, State};
use crate::id::{GrantId, IdentityId};
use crate::identity::Task;
use crate::request::{Ask, Request};
use crate::time::Timestamp;

/// For how long after its end a grant can still be carried on, in seconds: a caller that polls once a minute and waits
/// for an answer comes in time.
pub const RENEW_WITHIN_S: u32 = 600;

/// That a grant carries on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The grant that it renews.
    pub of: GrantId,
    /// The how-manyeth renewal in a row it is; the first is 1.
    pub n: u32,
}

/// What is stored of the grant to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Predecessor<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// Its decision.
    pub decision: &'a Decision,
    /// Its request; believed only as far as the decision's digest of it goes.
    pub request: &'a Request,
}

/// Why a grant cannot be renewed like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// There is none such, or it is somebody else's: the two must look alike.
    #[error("there is no grant `{0}` of yours to renew")]
    NoneOfYours(GrantId),
    /// Something else is asked for.
    #[error("a renewal is for the same {what} as the grant `{grant}` that it renews: ask without `renews` for another")]
    Different {
        /// The grant.
        grant: GrantId,
        /// What differs.
        what: &'static str,
    },
    /// It is not in use.
    #[error(
        "grant `{grant}` is `{state}`: only a grant that is active, or ended on time a short while ago, is renewed"
    )]
    NotInUse {
        /// The grant.
        grant: GrantId,
        /// Its state.
        state: &'static str,
    },
    /// It was ended before its time.
    #[error("grant `{0}` was ended before its time, and is not renewed")]
    EndedEarly(GrantId),
    /// It ended too long ago.
    #[error("grant `{grant}` ended at {ended_at}; it could be renewed for {RENEW_WITHIN_S} s")]
    TooLate {
        /// The grant.
        grant: GrantId,
        /// When that was verified.
        ended_at: Timestamp,
    },
    /// It was renewed as often as its class may.
    #[error("grant `{grant}` is renewal {n} in a row, and at most {max} are possible: ask without `renews`")]
    TooMany {
        /// The grant.
        grant: GrantId,
        /// Its number in the row; 0 if it renews none itself.
        n: u32,
        /// How many are possible.
        max: u32,
    },
}

impl Renewal {
    /// The renewal of `before` by what `identity` asks for at `now`, where at most `max` in a row are possible.
    ///
    /// # Errors
    ///
    /// [`RenewalError`] if that is none.
    pub fn check(
        (identity, task): (&IdentityId, Option<&Task>),
        ask: &Ask,
        before: Predecessor<'_>,
        max: u32,
        now: Timestamp,
    ) -> Result<Self, RenewalError> {
        let Predecessor { grant, decision, request } = before;
        let (id, terms) = (grant.id, &decision.terms);
        let fits = decision.digest().ok() == Some(grant.decision_digest)
            && Digest::of(request).ok() == Some(terms.request_digest);
        if grant.identity != *identity || terms.id != id || !fits {
            return Err(RenewalError::NoneOfYours(id));
        }
        let same = [
            ("entitlement", ask.entitlement == grant.entitlement),
            ("parameters", ask.parameters == request.ask.parameters),
            ("task", task == grant.task.as_ref()),
            ("human on whose behalf it is", ask.on_behalf_of == grant.on_behalf_of),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(RenewalError::Different { grant: id, what });
        }
        let cause = match &grant.state {
            State::Active { .. } => EndCause::Deadline,
            State::Revoking(revoking) => revoking.cause,
            State::Ended { cause, verified_at, .. } => {
                if *cause == EndCause::Deadline && now >= verified_at.plus(RENEW_WITHIN_S) {
                    return Err(RenewalError::TooLate { grant: id, ended_at: *verified_at });
                }
                *cause
            }
            State::Denied { .. }
            | State::ApprovalAwaited { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. }
            | State::Approved { .. }
            | State::Activating { .. } => {
                return Err(RenewalError::NotInUse { grant: id, state: grant.state.name() });
            }
        };
        if cause != EndCause::Deadline {
            return Err(RenewalError::EndedEarly(id));
        }
        // INVARIANT: a row of renewals is bounded, however each of them was decided.
        let n = terms.renewal.map_or(0, |renewal| renewal.n);
        if n >= max {
            return Err(RenewalError::TooMany { grant: id, n, max });
        }
        Ok(Self { of: id, n: n.saturating_add(1) })
    }
}

#[cfg(test)]
mod tests;
