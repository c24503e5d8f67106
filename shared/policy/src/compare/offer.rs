//! What one identity may have of one entitlement under one circumstance.

use std::collections::BTreeSet;

use brevet_domain::entitlement::StepRule;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::Identity;
use brevet_domain::time::{Term, Timestamp};

use super::term;
use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::decide::Weighed;
use crate::declared::Declared;
use crate::steps::in_words;

/// A Wednesday and a Sunday, by day and by night (UTC).
const SAMPLES: [i64; 4] = [1_767_787_200, 1_767_830_400, 1_768_132_800, 1_768_176_000];

/// What a policy may make depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Circumstance {
    has_ticket: bool,
    has_task: bool,
    /// Seconds since 1970.
    at: i64,
}

/// Everything that two bundles' policies on one entitlement can tell apart.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) circumstances: Vec<Circumstance>,
    /// Terms on both sides of every limit, in seconds.
    pub(super) terms: BTreeSet<u32>,
}

/// What may be had: terms in seconds, out of those that were tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Without a person.
    pub(super) alone: BTreeSet<u32>,
    /// Once people have said yes.
    pub(super) asked: BTreeSet<u32>,
    /// How many of whom, as the words are.
    pub(super) by: BTreeSet<String>,
}

impl Telling {
    /// What the policies of `bundles` on `entitlement` name.
    pub(super) fn of(bundles: &[&Bundle], entitlement: &EntitlementId) -> Self {
        let declared = Declared::of(bundles.iter().flat_map(|bundle| bundle.policies(entitlement).policies()));
        let entitlements = || bundles.iter().filter_map(|bundle| bundle.entitlement(entitlement));
        let ticket = declared.names("hasTicket") || entitlements().any(|entitlement| entitlement.ticket.required);
        let both = |apart: bool| if apart { vec![false, true] } else { vec![false] };
        let instants = if declared.names("now") { &SAMPLES[..] } else { &SAMPLES[..1] };
        let mut circumstances = Vec::new();
        for has_ticket in both(ticket) {
            for has_task in both(declared.names("task")) {
                circumstances.extend(instants.iter().map(|at| Circumstance { has_ticket, has_task, at: *at }));
            }
        }
        let longest = entitlements().flat_map(|one| one.max_term_of.values().chain([&one.max_term]));
        let longest = longest.map(|term| term.as_seconds());
        let classes = bundles.iter().flat_map(|bundle| {
            let lane = |identity: &Identity| bundle.index().lane(identity.class).max_term.as_seconds();
            bundle.index().identities.values().map(lane)
        });
        let rules = entitlements().flat_map(|one| &one.approval.steps);
        let rules = rules.chain(bundles.iter().flat_map(|bundle| &bundle.index().steps));
        let long = rules.filter_map(|rule: &StepRule| rule.when.longer_than_s);
        let around = |limit: u32| [limit.saturating_sub(1), limit, limit.saturating_add(1)];
        let terms = declared
            .numbers
            .iter()
            .copied()
            .chain(longest)
            .chain(classes)
            .chain(long)
            .chain([Term::MIN])
            .flat_map(around)
            .filter(|seconds| term(*seconds).is_some());
        Self { circumstances, terms: terms.collect() }
    }

    /// The circumstances in words, as few as will do; none for all.
    pub(super) fn words(&self, when: &BTreeSet<Circumstance>) -> Vec<String> {
        let all: BTreeSet<_> = self.circumstances.iter().copied().collect();
        if *when == all {
            return Vec::new();
        }
        let pick = |is: &dyn Fn(&Circumstance) -> bool| all.iter().copied().filter(is).collect::<BTreeSet<_>>();
        let simple: [(&str, BTreeSet<Circumstance>); 8] = [
            ("with a ticket", pick(&|c| c.has_ticket)),
            ("without a ticket", pick(&|c| !c.has_ticket)),
            ("with a task", pick(&|c| c.has_task)),
            ("without a task", pick(&|c| !c.has_task)),
            ("with a ticket and a task", pick(&|c| c.has_ticket && c.has_task)),
            ("with a ticket and no task", pick(&|c| c.has_ticket && !c.has_task)),
            ("with a task and no ticket", pick(&|c| !c.has_ticket && c.has_task)),
            ("without a ticket or a task", pick(&|c| !c.has_ticket && !c.has_task)),
        ];
        match simple.iter().find(|(_, set)| set == when) {
            Some((words, _)) => vec![(*words).to_owned()],
            None => when.iter().map(|one| one.words()).collect(),
        }
    }
}

impl Circumstance {
    fn words(self) -> String {
        let with = |has: bool, what: &str| format!("{} a {what}", if has { "with" } else { "without" });
        let at = Timestamp::from_seconds(self.at);
        format!("{} and {}, at {at}", with(self.has_ticket, "ticket"), with(self.has_task, "task"))
    }
}

impl Offer {
    /// What `bundle` lets `identity` have; `None` if nothing.
    pub(super) fn of(
        bundle: &Bundle,
        identity: &IdentityId,
        entitlement: &EntitlementId,
        circumstance: &Circumstance,
        terms: &BTreeSet<u32>,
    ) -> Option<Self> {
        let identity = bundle.index().identities.get(identity)?;
        let entitlement = bundle.entitlement(entitlement)?;
        if entitlement.ticket.required && !circumstance.has_ticket {
            return None;
        }
        let most =
            entitlement.longest_term(identity.class).min(bundle.index().lane(identity.class).max_term).as_seconds();
        let mut offer = Self { alone: BTreeSet::new(), asked: BTreeSet::new(), by: BTreeSet::new() };
        for term_s in terms.iter().copied().filter(|term_s| *term_s <= most) {
            let facts = Facts {
                term_s,
                has_ticket: circumstance.has_ticket,
                task: circumstance.has_task.then(|| "task".to_owned()),
                schedule: None,
                on_behalf_of: None,
                is_renewal: false,
                now: Timestamp::from_seconds(circumstance.at),
            };
            match bundle.weigh(identity, entitlement, &facts) {
                Ok(Weighed::Yes(_)) => {
                    offer.alone.insert(term_s);
                }
                Ok(Weighed::People { steps, .. }) => {
                    offer.asked.insert(term_s);
                    let steps: Vec<_> = steps.iter().map(in_words).collect();
                    offer.by.insert(format!("{} within {} s", steps.join(", then "), entitlement.approval.within_s));
                }
                Ok(Weighed::TooFew(_) | Weighed::NotHolder(_) | Weighed::No(_)) | Err(_) => {}
            }
        }
        offer.longest().is_some().then_some(offer)
    }

    /// The longest term that may be had.
    pub(super) fn longest(&self) -> Option<u32> {
        self.alone.last().max(self.asked.last()).copied()
    }

    /// The offer in words.
    pub(super) fn words(&self) -> String {
        let by: Vec<_> = self.by.iter().map(String::as_str).collect();
        let alone = self.alone.last().map(|most| format!("up to {most} s alone"));
        let asked = self.asked.last().map(|most| format!("up to {most} s with approval by {}", by.join(" or ")));
        alone.into_iter().chain(asked).collect::<Vec<_>>().join(", ")
    }
}
