//! The nearest request that would pass, found by asking: one change before two, over what policies and limits declare.
//!
//! A policy tells requests apart by term, ticket, task and time, at the limits that it names. So a term is tried on both
//! sides of every declared number, and as long as class and entitlement allow; a time at every declared instant and time
//! of day; a ticket or a task where some policy looks at it. What depends on more than two changes, or on what cannot be
//! read from a policy (a sum, the text of a task), is not found; what is named was asked and passed.
//!
//! **Bound.** For one refusal at most [`MAX_ASKED`] requests are tried besides one for each other class, each by the
//! decision's own code at two evaluations, and people are looked for in at most [`MAX_LOOKS`] of them, at one evaluation
//! for each registered human: together at most `2 × (MAX_ASKED + 3) + MAX_LOOKS × humans` evaluations by Cedar. An
//! allowed request costs none, and neither does one that no permit can be about.

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

/// How many requests are tried for one refusal, beside those of other classes.
pub(crate) const MAX_ASKED: u32 = 128;

/// In how many of them people are looked for.
pub(crate) const MAX_LOOKS: u32 = 4;

/// How many terms are tried: below the asked one, and above it.
const MAX_TERMS: (usize, usize) = (16, 8);

/// How many later instants are tried.
const MAX_INSTANTS: usize = 12;

/// A task that no policy names.
const SOME_TASK: &str = "task";

impl Bundle {
    /// For a denial, the nearest request of `identity` that would pass; it is added to the reason, too.
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

    /// Terms of which one is on each side of every limit that holds for `identity` on `entitlement`, none too long.
    pub(crate) fn terms(&self, identity: &Identity, entitlement: &Entitlement, declared: &Declared) -> BTreeSet<Term> {
        let longest = entitlement.longest_term(identity.class).min(self.index().lane(identity.class).max_term);
        let mut terms = BTreeSet::from([longest]);
        if declared.names("termSeconds") {
            let around = |limit: &u32| [limit.saturating_sub(1), *limit, limit.saturating_add(1)];
            let tried = declared.numbers.iter().flat_map(around).chain([Term::MIN]);
            terms.extend(tried.filter_map(|seconds| Term::try_from(seconds).ok()).filter(|term| *term <= longest));
        }
        terms
    }
}

/// One thing that is made otherwise: what is said of it, and what it does.
type Turn = (Change, fn(&mut Facts, &Change));

/// The search for one refusal.
struct Search<'a> {
    bundle: &'a Bundle,
    entitlement: &'a Entitlement,
    facts: &'a Facts,
    declared: Declared,
    asked: u32,
    looks: u32,
}

impl<'a> Search<'a> {
    fn new(bundle: &'a Bundle, entitlement: &'a Entitlement, facts: &'a Facts) -> Self {
        let declared = Declared::of(bundle.policies(&entitlement.id).policies());
        Self { bundle, entitlement, facts, declared, asked: 0, looks: 0 }
    }

    fn nearest(mut self, identity: &Identity) -> Option<Nearest> {
        let kinds = [self.ticket(), self.terms(identity), self.task(), self.later()];
        for turn in kinds.iter().flatten() {
            if let Some(outcome) = self.passes(identity, &[turn]) {
                return Some(Nearest { changes: vec![turn.0.clone()], outcome });
            }
        }
        let [ticket, terms, task, later] = &kinds;
        // The least first, so that what is bought with the last tries is least likely to be wanted.
        for (one, other) in
            [(ticket, task), (ticket, terms), (task, terms), (ticket, later), (task, later), (terms, later)]
        {
            for turns in one.iter().flat_map(|first| other.iter().map(move |second| [first, second])) {
                if let Some(outcome) = self.passes(identity, &turns) {
                    return Some(Nearest { changes: turns.map(|turn| turn.0.clone()).into(), outcome });
                }
            }
        }
        self.other_class(identity)
    }

    /// What would be said to this, if it is no denial and there are tries left.
    fn passes(&mut self, identity: &Identity, turns: &[&Turn]) -> Option<Outcome> {
        if self.asked >= MAX_ASKED || self.looks >= MAX_LOOKS {
            return None;
        }
        self.asked = self.asked.saturating_add(1);
        let mut facts = self.facts.clone();
        for (change, make) in turns {
            make(&mut facts, change);
        }
        self.said(self.bundle, identity, &facts)
    }

    fn said(&mut self, bundle: &Bundle, identity: &Identity, facts: &Facts) -> Option<Outcome> {
        let (outcome, determining) = bundle.judge_for(identity, self.entitlement, facts);
        let looked = match &outcome {
            Outcome::Allow => false,
            Outcome::NeedsApproval { .. } => true,
            Outcome::Deny { .. } => determining.iter().any(|by| by == rule::APPROVERS),
        };
        self.looks = self.looks.saturating_add(u32::from(looked));
        (!matches!(outcome, Outcome::Deny { .. })).then_some(outcome)
    }

    fn ticket(&self) -> Vec<Turn> {
        let rule = &self.entitlement.ticket;
        match self.facts.has_ticket {
            _ if !self.declared.names("hasTicket") => Vec::new(),
            false => vec![(Change::Ticket { pattern: rule.pattern.clone() }, |facts, _| facts.has_ticket = true)],
            true if rule.required => Vec::new(),
            true => vec![(Change::NoTicket, |facts, _| facts.has_ticket = false)],
        }
    }

    /// Shorter ones first, the longest of them first; then longer ones, the shortest first.
    fn terms(&self, identity: &Identity) -> Vec<Turn> {
        let terms = self.bundle.terms(identity, self.entitlement, &self.declared);
        let (below, above): (Vec<Term>, Vec<Term>) = terms
            .into_iter()
            .filter(|term| term.as_seconds() != self.facts.term_s)
            .partition(|term| term.as_seconds() < self.facts.term_s);
        let tried = below.into_iter().rev().take(MAX_TERMS.0).chain(above.into_iter().take(MAX_TERMS.1));
        let turn = |term_s| -> Turn {
            (Change::Term { term_s }, |facts, change| {
                if let Change::Term { term_s } = change {
                    facts.term_s = term_s.as_seconds();
                }
            })
        };
        tried.map(turn).collect()
    }

    fn task(&self) -> Vec<Turn> {
        if self.facts.task.is_some() || !self.declared.names("task") {
            return Vec::new();
        }
        vec![(Change::Task, |facts, _| facts.task = Some(SOME_TASK.to_owned()))]
    }

    fn later(&self) -> Vec<Turn> {
        let turn = |at: Timestamp| -> Turn {
            (Change::At { at }, |facts, change| {
                if let Change::At { at } = change {
                    facts.now = *at;
                }
            })
        };
        self.declared.instants_after(self.facts.now, MAX_INSTANTS).into_iter().map(turn).collect()
    }

    /// The same request of the same identity, were it of another class. Nobody can change that, so it is asked last; and
    /// of a human not at all, since no machine answers for itself.
    fn other_class(&mut self, identity: &Identity) -> Option<Nearest> {
        use IdentityClass::{Agent, Human, Pipeline, Workload};
        if identity.class == Human {
            return None;
        }
        for class in [Human, Pipeline, Workload, Agent].into_iter().filter(|class| *class != identity.class) {
            let owner = if class == Human { &identity.id } else { &identity.owner };
            let other = Identity { class, owner: owner.clone(), ..identity.clone() };
            let fits = self.facts.term_s <= self.entitlement.longest_term(class).as_seconds();
            if !fits || self.looks >= MAX_LOOKS {
                continue;
            }
            let Ok(bundle) = self.bundle.as_if(&self.entitlement.id, &other) else { continue };
            if let Some(outcome) = self.said(&bundle, &other, self.facts) {
                return Some(Nearest { changes: vec![Change::Class { class }], outcome });
            }
        }
        None
    }
}
