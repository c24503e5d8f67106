//! The entitlements that an identity may ask for, for itself and not as a renewal, with their limits. Offers are found
//! by deciding requests, like the nearest request of a refusal.

use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::Caller;
use brevet_domain::offer::{Offer, OfferOption};
use brevet_domain::rule;
use brevet_domain::time::{Term, Timestamp};

use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::declared::Declared;

/// The most terms that are tried, the longest first.
pub(crate) const MAX_TERMS: usize = 24;

/// The most terms for which approvers are searched.
pub(crate) const MAX_APPROVER_SEARCHES: usize = 4;

impl Bundle {
    /// The offer of `entitlement` to `caller` at `now`. `None` if the caller may not ask for it, if there is no such
    /// entitlement, or if a policy cannot be evaluated.
    ///
    /// With and without a ticket, at most [`MAX_TERMS`] terms are tried by the decision's own code, at two evaluations
    /// by Cedar each. Approvers are searched for at most [`MAX_APPROVER_SEARCHES`] of them. Then as many shorter terms
    /// are tried at two more evaluations, for one that needs no approval. A caller whom no permit covers costs none.
    #[must_use]
    pub fn offer(&self, caller: &Caller, entitlement: &EntitlementId, now: Timestamp) -> Option<Offer> {
        let entitlement = self.entitlement(entitlement)?;
        let identity = &caller.identity;
        if !self.knows(identity) || !self.might_request(identity, &entitlement.id) {
            return None;
        }
        let declared = Declared::of(self.policies(&entitlement.id).policies());
        let terms: Vec<Term> = self.terms(identity, entitlement, &declared).into_iter().rev().take(MAX_TERMS).collect();
        let mut options: Vec<OfferOption> = Vec::new();
        for has_ticket in [false, true] {
            let reads_ticket = declared.names("hasTicket");
            if (entitlement.ticket.required && !has_ticket)
                || (has_ticket && !entitlement.ticket.required && !reads_ticket)
            {
                continue;
            }
            let facts = Facts {
                term_s: Term::MIN,
                has_ticket,
                task: caller.task.as_ref().map(|task| task.as_str().to_owned()),
                schedule: None,
                on_behalf_of: None,
                is_renewal: false,
                now,
            };
            for option in self.options(caller, entitlement, &terms, &facts) {
                // An option with a ticket is left out if the same one works without.
                let known = |one: &OfferOption| one.outcome == option.outcome && one.max_term >= option.max_term;
                if !options.iter().any(known) {
                    options.push(option);
                }
            }
        }
        let class_limits = self.class_limits_for(identity, None);
        (!options.is_empty()).then(|| Offer { entitlement: entitlement.clone(), options, class_limits })
    }

    /// The longest of `terms` that passes and, if it needs approval, the longest that needs none.
    fn options(&self, caller: &Caller, entitlement: &Entitlement, terms: &[Term], facts: &Facts) -> Vec<OfferOption> {
        let option = |max_term: Term, outcome| OfferOption { needs_ticket: facts.has_ticket, max_term, outcome };
        let at = |term: Term| Facts { term_s: term.as_seconds(), ..facts.clone() };
        let mut n_approver_searches = 0_usize;
        for (n, term) in terms.iter().enumerate() {
            let (outcome, determining) = self.judge(&caller.identity, entitlement, &at(*term));
            match outcome {
                Outcome::Allow => return vec![option(*term, Outcome::Allow)],
                Outcome::NeedsApproval { .. } => {
                    let mut shorter = terms.iter().skip(n.saturating_add(1));
                    let alone = shorter.find(|term| self.goes_alone(caller, entitlement, &at(**term)));
                    let alone = alone.map(|term| option(*term, Outcome::Allow));
                    return alone.into_iter().chain([option(*term, outcome)]).collect();
                }
                Outcome::Deny { .. } if determining.iter().any(|by| by == rule::APPROVERS) => {
                    n_approver_searches = n_approver_searches.saturating_add(1);
                }
                Outcome::Deny { .. } => {}
            }
            if n_approver_searches >= MAX_APPROVER_SEARCHES {
                break;
            }
        }
        Vec::new()
    }

    /// Whether the request needs no approval. This does not search approvers.
    fn goes_alone(&self, caller: &Caller, entitlement: &Entitlement, facts: &Facts) -> bool {
        let always = self.unwaivable(&caller.identity, entitlement).next().is_some();
        // A request that cannot be evaluated is denied.
        !always && matches!(self.waived_by(&caller.identity, entitlement, facts), Ok(Some(_)))
    }
}
