//! Renewals. A renewal never extends a grant: it is a new grant that names the old one and is decided afresh.
//!
//! The old grant keeps its deadline and ends with its own proof.

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::decision::Decision;
use crate::grant::{EndCause, Grant, State};
use crate::id::{GrantId, IdentityId};
use crate::identity::Task;
use crate::request::{Ask, Request};
use crate::time::Timestamp;

/// The time after its end in which a grant can still be renewed, in seconds. A caller that polls once a minute and
/// waits for an answer is in time.
pub const RENEW_WITHIN_S: u32 = 600;

/// The reference of a renewal to the old grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The grant that it renews.
    pub of: GrantId,
    /// The number of this consecutive renewal, from 1.
    pub n: u32,
}

/// The stored records of the grant to renew.
#[derive(Clone, Copy, Debug)]
pub struct Predecessor<'a> {
    pub grant: &'a Grant,
    pub decision: &'a Decision,
    /// The request; trusted only if it matches the decision's digest of it.
    pub request: &'a Request,
}

/// The reason why a grant cannot be renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// The grant does not exist or belongs to somebody else. Both cases get the same answer.
    #[error("there is no grant `{0}` of yours to renew")]
    NoneOfYours(GrantId),
    /// The request differs from the old grant.
    #[error("a renewal must have the same {field} as grant `{grant}`: leave out `renews` to request another")]
    Different {
        grant: GrantId,
        /// The field that differs.
        field: &'static str,
    },
    /// The old grant is not in use.
    #[error(
        "grant `{grant}` is `{state}`: only a grant that is active, or ended on time a short while ago, can be renewed"
    )]
    NotInUse { grant: GrantId, state: &'static str },
    /// The old grant was ended early.
    #[error("grant `{0}` was ended early and cannot be renewed: request it again without `renews`")]
    EndedEarly(GrantId),
    /// The old grant ended too long ago.
    #[error(
        "grant `{grant}` ended at {ended_at}; it could be renewed within {RENEW_WITHIN_S} s: request it again without \
         `renews`"
    )]
    TooLate {
        grant: GrantId,
        /// The instant of its proof of ending.
        ended_at: Timestamp,
    },
    /// The old grant is the last renewal that its class allows.
    #[error(
        "grant `{grant}` is renewal {n} in a row, and at most {max} are allowed: request it again without `renews`"
    )]
    TooMany {
        grant: GrantId,
        /// Its number among the renewals; 0 if it renews no other grant.
        n: u32,
        /// The maximum number.
        max: u32,
    },
}

impl Renewal {
    /// The renewal of `before` by the request `ask` of `identity` at `now`, with at most `max` renewals in a row.
    ///
    /// # Errors
    ///
    /// [`RenewalError`] if the request is not a valid renewal.
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
            ("human on whose behalf you ask", ask.on_behalf_of == grant.on_behalf_of),
        ];
        if let Some((field, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(RenewalError::Different { grant: id, field });
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
        // INVARIANT: the number of consecutive renewals is bounded, however each of them was decided.
        let n = terms.renewal.map_or(0, |renewal| renewal.n);
        if n >= max {
            return Err(RenewalError::TooMany { grant: id, n, max });
        }
        Ok(Self { of: id, n: n.saturating_add(1) })
    }
}

#[cfg(test)]
mod tests;
