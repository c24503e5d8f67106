//! What somebody may ask for: an entitlement, and the ways to it.

use crate::decision::Outcome;
use crate::entitlement::Entitlement;
use crate::lane::Lane;
use crate::time::Term;

/// An entitlement that an identity may ask for at some instant, for the task that its proof names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What may be asked for.
    pub entitlement: Entitlement,
    /// How, at least one: without a ticket first, without people first.
    pub ways: Vec<Way>,
    /// The limits of whoever asks.
    pub lane: Lane,
}

/// One way to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whether a ticket has to be named for it.
    pub needs_ticket: bool,
    /// For how long at most: the longest term that was seen to pass so.
    pub max_term: Term,
    /// What would be said: never a denial.
    pub outcome: Outcome,
}
