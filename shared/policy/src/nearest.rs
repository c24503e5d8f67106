//! Finds the nearest request that would pass, by deciding variations of the refused one: one change before two.
//!
//! A policy distinguishes requests by term, ticket, task and time, at the limits that it names. So the search tries
//! terms on both sides of every declared number and the longest term of class and entitlement. It tries every declared
//! instant and time of day, and a ticket or a task if a policy reads it. It does not find a request that needs more
//! than two changes, or one that depends on a value that policies do not state (a sum, the text of a task). Each
//! request that it names was decided and passed.
//!
//! **Bound.** For one refusal it tries at most [`MAX_ASKED`] requests and one for each other class, each by the
//! decision's own code at two evaluations. In at most [`MAX_APPROVER_SEARCHES`] of them it searches approvers, at one
//! evaluation for each registered human. Together this is at most
//! `2 × (MAX_ASKED + 3) + MAX_APPROVER_SEARCHES × humans` evaluations by Cedar. An allowed request costs none, nor does
//! one that no permit's scope covers.

use std::collections::BTreeSet;

use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_domain::nearest::{Change, Nearest};
use brevet_domain::rule;
use brevet_domain::time::{Term, Timestamp};

use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::declared::Declared;

/// The most requests that are tried for one refusal, besides those of other classes.
pub(crate) const MAX_ASKED: u32 = 128;

/// The most of these requests for which approvers are searched.
pub(crate) const MAX_APPROVER_SEARCHES: u32 = 4;

/// The most terms that are tried below the requested one, and above it.
const MAX_TERMS: (usize, usize) = (16, 8);

/// The most later instants that are tried.
const MAX_INSTANTS: usize = 12;

/// A task that no policy names.
const SOME_TASK: &str = "task";

impl Bundle {
    /// For a denial, the nearest request of `identity` that would pass. This function also appends it to the reason.
    pub(crate) fn advise(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
        outcome: &mut Outcome,
    ) -> Option<Nearest> {
        let Outcome::Deny { reason } = outcome else { return None };
        if !self.knows(identity) || !self.might_request(identity, &entitlement.id) {
            return None;
        }
        let nearest = Search::new(self, entitlement, facts).nearest(identity)?;
        *reason = format!("{reason}; {nearest}");
        Some(nearest)
    }

    /// Terms on both sides of every limit for `identity` on `entitlement`, up to the longest term allowed.
    pub(crate) fn terms(&self, identity: &Identity, entitlement: &Entitlement, declared: &Declared) -> BTreeSet<Term> {
        let longest = entitlement.longest_term(identity.class).min(self.index().class_limits(identity.class).max_term);
        let mut terms = BTreeSet::from([longest]);
        if declared.names("termSeconds") {
            let around = |limit: &u32| [limit.saturating_sub(1), *limit, limit.saturating_add(1)];
            let tried = declared.numbers.iter().flat_map(around).chain([Term::MIN]);
            terms.extend(tried.filter_map(|seconds| Term::try_from(seconds).ok()).filter(|term| *term <= longest));
        }
        terms
    }
}

/// One change to a request: its description, and the function that applies it.
type Variation = (Change, fn(&mut Facts, &Change));

/// The search for one refusal.
struct Search<'a> {
    bundle: &'a Bundle,
    entitlement: &'a Entitlement,
    facts: &'a Facts,
    declared: Declared,
    n_asked: u32,
    n_approver_searches: u32,
}

impl<'a> Search<'a> {
    fn new(bundle: &'a Bundle, entitlement: &'a Entitlement, facts: &'a Facts) -> Self {
        let declared = Declared::of(bundle.policies(&entitlement.id).policies());
        Self { bundle, entitlement, facts, declared, n_asked: 0, n_approver_searches: 0 }
    }

    fn nearest(mut self, identity: &Identity) -> Option<Nearest> {
        let kinds = [self.ticket(), self.terms(identity), self.task(), self.later()];
        for variation in kinds.iter().flatten() {
            if let Some(outcome) = self.passes(identity, &[variation]) {
                return Some(Nearest { changes: vec![variation.0.clone()], outcome });
            }
        }
        let [ticket, terms, task, later] = &kinds;
        // The smallest changes come first, so the last tries go to the least useful ones.
        for (one, other) in
            [(ticket, task), (ticket, terms), (task, terms), (ticket, later), (task, later), (terms, later)]
        {
            for pair in one.iter().flat_map(|first| other.iter().map(move |second| [first, second])) {
                if let Some(outcome) = self.passes(identity, &pair) {
                    return Some(Nearest { changes: pair.map(|variation| variation.0.clone()).into(), outcome });
                }
            }
        }
        self.other_class(identity)
    }

    /// The outcome with these variations, if it is not a denial and tries are left.
    fn passes(&mut self, identity: &Identity, variations: &[&Variation]) -> Option<Outcome> {
        if self.n_asked >= MAX_ASKED || self.n_approver_searches >= MAX_APPROVER_SEARCHES {
            return None;
        }
        self.n_asked = self.n_asked.saturating_add(1);
        let mut facts = self.facts.clone();
        for (change, apply) in variations {
            apply(&mut facts, change);
        }
        self.passing_outcome(self.bundle, identity, &facts)
    }

    fn passing_outcome(&mut self, bundle: &Bundle, identity: &Identity, facts: &Facts) -> Option<Outcome> {
        let (outcome, determining) = bundle.judge_for(identity, self.entitlement, facts);
        let searched_approvers = match &outcome {
            Outcome::Allow => false,
            Outcome::NeedsApproval { .. } => true,
            Outcome::Deny { .. } => determining.iter().any(|by| by == rule::APPROVERS),
        };
        self.n_approver_searches = self.n_approver_searches.saturating_add(u32::from(searched_approvers));
        (!matches!(outcome, Outcome::Deny { .. })).then_some(outcome)
    }

    fn ticket(&self) -> Vec<Variation> {
        let rule = &self.entitlement.ticket;
        match self.facts.has_ticket {
            _ if !self.declared.names("hasTicket") => Vec::new(),
            false => vec![(Change::Ticket { pattern: rule.pattern.clone() }, |facts, _| facts.has_ticket = true)],
            true if rule.required => Vec::new(),
            true => vec![(Change::NoTicket, |facts, _| facts.has_ticket = false)],
        }
    }

    /// Shorter terms first, from the longest down; then longer terms, from the shortest up.
    fn terms(&self, identity: &Identity) -> Vec<Variation> {
        let terms = self.bundle.terms(identity, self.entitlement, &self.declared);
        let (below, above): (Vec<Term>, Vec<Term>) = terms
            .into_iter()
            .filter(|term| term.as_seconds() != self.facts.term_s)
            .partition(|term| term.as_seconds() < self.facts.term_s);
        let tried = below.into_iter().rev().take(MAX_TERMS.0).chain(above.into_iter().take(MAX_TERMS.1));
        let variation = |term_s| -> Variation {
            (Change::Term { term_s }, |facts, change| {
                if let Change::Term { term_s } = change {
                    facts.term_s = term_s.as_seconds();
                }
            })
        };
        tried.map(variation).collect()
    }

    fn task(&self) -> Vec<Variation> {
        if self.facts.task.is_some() || !self.declared.names("task") {
            return Vec::new();
        }
        vec![(Change::Task, |facts, _| facts.task = Some(SOME_TASK.to_owned()))]
    }

    fn later(&self) -> Vec<Variation> {
        let variation = |at: Timestamp| -> Variation {
            (Change::At { at }, |facts, change| {
                if let Change::At { at } = change {
                    facts.now = *at;
                }
            })
        };
        self.declared.instants_after(self.facts.now, MAX_INSTANTS).into_iter().map(variation).collect()
    }

    /// The same request of the same identity, if it were of another class. A requester cannot change its class, so this
    /// comes last. It is not tried for a human, since a machine cannot be its own owner.
    fn other_class(&mut self, identity: &Identity) -> Option<Nearest> {
        use IdentityClass::{Agent, Human, Pipeline, Workload};
        if identity.class == Human {
            return None;
        }
        for class in [Human, Pipeline, Workload, Agent].into_iter().filter(|class| *class != identity.class) {
            let owner = if class == Human { &identity.id } else { &identity.owner };
            let other = Identity { class, owner: owner.clone(), ..identity.clone() };
            let fits = self.facts.term_s <= self.entitlement.longest_term(class).as_seconds();
            if !fits || self.n_approver_searches >= MAX_APPROVER_SEARCHES {
                continue;
            }
            let Ok(bundle) = self.bundle.as_if(&self.entitlement.id, &other) else { continue };
            if let Some(outcome) = self.passing_outcome(&bundle, &other, self.facts) {
                return Some(Nearest { changes: vec![Change::Class { class }], outcome });
            }
        }
        None
    }
}
