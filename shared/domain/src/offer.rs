//! Offers: entitlements that an identity may request, with the conditions of each.

use crate::class_limits::ClassLimits;
use crate::decision::Outcome;
use crate::entitlement::Entitlement;
use crate::time::Term;

/// An entitlement that an identity may request at some instant, for the task in its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub entitlement: Entitlement,
    /// The ways to request it, at least one. Those without a ticket and without approval come first.
    pub options: Vec<OfferOption>,
    /// The class limits of the identity.
    pub class_limits: ClassLimits,
}

/// One way to request an entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferOption {
    /// Whether the request must name a ticket.
    pub needs_ticket: bool,
    /// The longest term that was found to pass this way.
    pub max_term: Term,
    /// The outcome of such a request; never a denial.
    pub outcome: Outcome,
}
