//! What an identity may ask for, for itself and not as a renewal, with its limits: found by asking, as a refusal's nearest request is.

use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::Caller;
use brevet_domain::offer::{Offer, Way};
use brevet_domain::rule;
use brevet_domain::time::{Term, Timestamp};

use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::declared::Declared;

/// How many terms are tried, the longest first.
pub(crate) const MAX_TERMS: usize = 24;

/// How often people are looked for.
pub(crate) const MAX_LOOKS: usize = 4;

impl Bundle {
    /// What `caller` may ask for on `entitlement` at `now`; none if it may not ask for it, if there is no such
    /// entitlement, or if it cannot be evaluated.
    ///
    /// With and without a ticket, each of at most [`MAX_TERMS`] terms is tried by the decision's own code, at two
    /// evaluations by Cedar, and people are looked for in at most [`MAX_LOOKS`] of them; then as many shorter ones are
    /// tried at two more, for one that needs nobody. One that no permit can be about costs none.
    #[must_use]
    pub fn offer(&self, caller: &Caller, entitlement: &EntitlementId, now: Timestamp) -> Option<Offer> {
        let entitlement = self.entitlement(entitlement)?;
        let identity = &caller.identity;
        if !self.knows(identity) || !self.might_request(identity, &entitlement.id) {
            return None;
        }
        let declared = Declared::of(self.policies(&entitlement.id).policies());
        let terms: Vec<Term> = self.terms(identity, entitlement, &declared).into_iter().rev().take(MAX_TERMS).collect();
        let mut ways: Vec<Way> = Vec::new();
        for has_ticket in [false, true] {
            let tells_apart = declared.names("hasTicket");
            if (entitlement.ticket.required && !has_ticket)
                || (has_ticket && !entitlement.ticket.required && !tells_apart)
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
            for way in self.ways(caller, entitlement, &terms, &facts) {
                // What goes without a ticket is no better with one.
                let known = |one: &Way| one.outcome == way.outcome && one.max_term >= way.max_term;
                if !ways.iter().any(known) {
                    ways.push(way);
                }
            }
        }
        let lane = self.lane_for(identity, None);
        (!ways.is_empty()).then(|| Offer { entitlement: entitlement.clone(), ways, lane })
    }

    /// The longest of `terms` that passes and, if people are needed for it, the longest that needs nobody.
    fn ways(&self, caller: &Caller, entitlement: &Entitlement, terms: &[Term], facts: &Facts) -> Vec<Way> {
        let way = |max_term: Term, outcome| Way { needs_ticket: facts.has_ticket, max_term, outcome };
        let at = |term: Term| Facts { term_s: term.as_seconds(), ..facts.clone() };
        let mut n_looks = 0_usize;
        for (n, term) in terms.iter().enumerate() {
            let (outcome, determining) = self.judge(&caller.identity, entitlement, &at(*term));
            match outcome {
                Outcome::Allow => return vec![way(*term, Outcome::Allow)],
                Outcome::NeedsApproval { .. } => {
                    let mut shorter = terms.iter().skip(n.saturating_add(1));
                    let alone = shorter.find(|term| self.goes_alone(caller, entitlement, &at(**term)));
                    let alone = alone.map(|term| way(*term, Outcome::Allow));
                    return alone.into_iter().chain([way(*term, outcome)]).collect();
                }
                Outcome::Deny { .. } if determining.iter().any(|by| by == rule::APPROVERS) => {
                    n_looks = n_looks.saturating_add(1);
                }
                Outcome::Deny { .. } => {}
            }
            if n_looks >= MAX_LOOKS {
                break;
            }
        }
        Vec::new()
    }

    /// Whether it needs nobody, without looking for people if it does.
    fn goes_alone(&self, caller: &Caller, entitlement: &Entitlement, facts: &Facts) -> bool {
        let always = self.unwaivable(&caller.identity, entitlement).next().is_some();
        // What cannot be evaluated is denied.
        !always && matches!(self.waived_by(&caller.identity, entitlement, facts), Ok(Some(_)))
    }
}
