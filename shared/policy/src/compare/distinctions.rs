//! The circumstances and terms by which policies can distinguish two requests for one entitlement.

use std::collections::BTreeSet;

use brevet_domain::entitlement::StepRule;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_domain::time::{Term, Timestamp};

use super::term;
use crate::bundle::Bundle;
use crate::declared::Declared;
use crate::entities::named;

/// A Wednesday and a Sunday, by day and by night (UTC).
const SAMPLES: [i64; 4] = [1_767_787_200, 1_767_830_400, 1_768_132_800, 1_768_176_000];

/// The most people, besides its sponsor, on whose behalf an identity asks for one entitlement.
pub(super) const MAX_PEOPLE: usize = 8;

/// Values of a request that a policy may read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Circumstance {
    pub(super) has_ticket: bool,
    pub(super) has_task: bool,
    pub(super) is_renewal: bool,
    pub(super) on_behalf_of: Option<IdentityId>,
    /// Seconds since 1970.
    pub(super) at: i64,
}

/// Everything that the policies of two bundles on one entitlement can distinguish.
#[derive(Debug)]
pub(super) struct Distinctions {
    /// The circumstances of requests on nobody's behalf.
    circumstances: Vec<Circumstance>,
    /// Terms on both sides of every limit, in seconds.
    pub(super) terms: BTreeSet<u32>,
    /// Whether a policy reads `context.onBehalfOf`.
    reads_behalf: bool,
    /// The people on whose behalf every identity asks, besides its sponsor.
    people: BTreeSet<IdentityId>,
    /// The number of people left out, although policies may distinguish them.
    pub(super) n_left_out: usize,
}

impl Distinctions {
    /// Reads the policies of `bundles` on `entitlement`.
    pub(super) fn of(bundles: &[&Bundle], entitlement: &EntitlementId) -> Self {
        let declared = Declared::of(bundles.iter().flat_map(|bundle| bundle.policies(entitlement).policies()));
        let entitlements = || bundles.iter().filter_map(|bundle| bundle.entitlement(entitlement));
        let ticket = declared.names("hasTicket") || entitlements().any(|entitlement| entitlement.ticket.required);
        let both = |is_read: bool| if is_read { vec![false, true] } else { vec![false] };
        let instants = if declared.names("now") { &SAMPLES[..] } else { &SAMPLES[..1] };
        let mut circumstances = Vec::new();
        for has_ticket in both(ticket) {
            for has_task in both(declared.names("task")) {
                for is_renewal in both(declared.names("isRenewal")) {
                    let at = |at: &i64| Circumstance { has_ticket, has_task, is_renewal, on_behalf_of: None, at: *at };
                    circumstances.extend(instants.iter().map(at));
                }
            }
        }
        let longest = entitlements().flat_map(|one| one.max_term_of.values().chain([&one.max_term]));
        let longest = longest.map(|term| term.as_seconds());
        let classes = bundles.iter().flat_map(|bundle| {
            let max_term = |identity: &Identity| bundle.index().class_limits(identity.class).max_term.as_seconds();
            bundle.index().identities.values().map(max_term)
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
        let reads_behalf = declared.names("onBehalfOf");
        let mut people = if reads_behalf { distinct_people(bundles, entitlement) } else { Vec::new() };
        let n_left_out = people.len().saturating_sub(MAX_PEOPLE);
        people.truncate(MAX_PEOPLE);
        Self { circumstances, terms: terms.collect(), reads_behalf, people: people.into_iter().collect(), n_left_out }
    }

    /// The circumstances under which `identity` may ask for `entitlement`.
    pub(super) fn circumstances(
        &self,
        bundles: &[&Bundle],
        identity: &IdentityId,
        entitlement: &EntitlementId,
    ) -> Vec<Circumstance> {
        let mut all = self.circumstances.clone();
        if !self.reads_behalf {
            return all;
        }
        let registered = bundles.iter().filter_map(|bundle| Some((bundle, bundle.index().identities.get(identity)?)));
        let asking = registered
            .filter(|(bundle, one)| one.class != IdentityClass::Human && bundle.might_request(one, entitlement));
        let sponsors: BTreeSet<_> = asking.map(|(_, one)| &one.owner).collect();
        if sponsors.is_empty() {
            return all;
        }
        let people: BTreeSet<_> = sponsors.into_iter().chain(&self.people).collect();
        for human in people {
            let of = |one: &Circumstance| Circumstance { on_behalf_of: Some(human.clone()), ..one.clone() };
            all.extend(self.circumstances.iter().map(of));
        }
        all
    }
}

/// The people who may have `entitlement` themselves and whom policies may distinguish: the people whom policies name,
/// and one other person for each set of teams that policies name.
fn distinct_people(bundles: &[&Bundle], entitlement: &EntitlementId) -> Vec<IdentityId> {
    let policies = || bundles.iter().flat_map(|bundle| bundle.policies(entitlement).policies());
    let (_, mut named) = named(policies());
    named.extend(bundles.iter().filter_map(|bundle| bundle.entitlement(entitlement)).map(|one| one.owner.clone()));
    let literals = policies().flat_map(cedar_policy::Policy::entity_literals);
    let teams: BTreeSet<String> = literals
        .filter(|literal| literal.type_name().to_string() == "Brevet::Team")
        .map(|literal| literal.id().unescaped().to_owned())
        .collect();
    let ids: BTreeSet<_> = bundles.iter().flat_map(|bundle| bundle.index().identities.keys()).collect();
    let (mut first, mut others, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for id in ids {
        let kind: Vec<Option<Vec<String>>> = bundles
            .iter()
            .map(|bundle| {
                let human = bundle.index().identities.get(id).filter(|one| one.class == IdentityClass::Human)?;
                let theirs = human.teams.iter().map(|team| team.as_str().to_owned());
                bundle.might_request(human, entitlement).then(|| theirs.filter(|team| teams.contains(team)).collect())
            })
            .collect();
        if kind.iter().all(Option::is_none) {
            continue;
        }
        if named.contains(id) {
            first.push(id.clone());
        } else if seen.insert(kind) {
            others.push(id.clone());
        }
    }
    first.into_iter().chain(others).collect()
}

/// The circumstances `when` among `all`, in as few words as possible; empty for all.
pub(super) fn words(all: &[Circumstance], when: &BTreeSet<Circumstance>) -> Vec<String> {
    if all.iter().all(|one| when.contains(one)) {
        return Vec::new();
    }
    // Describes them by one dimension at a time, each independent of the others.
    let tickets = Dimension::of(all, when, |one| one.has_ticket);
    let tasks = Dimension::of(all, when, |one| one.has_task);
    let renewals = Dimension::of(all, when, |one| one.is_renewal);
    let people = Dimension::of(all, when, |one| one.on_behalf_of.clone());
    let is_product = all.iter().all(|one| {
        let within = tickets.has(&one.has_ticket)
            && tasks.has(&one.has_task)
            && renewals.has(&one.is_renewal)
            && people.has(&one.on_behalf_of);
        within == when.contains(one)
    });
    if !is_product {
        return when.iter().map(Circumstance::words).collect();
    }
    let proofs = match (tickets.only(), tasks.only()) {
        (None, None) => None,
        (Some(true), None) => Some("with a ticket"),
        (Some(false), None) => Some("without a ticket"),
        (None, Some(true)) => Some("with a task"),
        (None, Some(false)) => Some("without a task"),
        (Some(true), Some(true)) => Some("with a ticket and a task"),
        (Some(true), Some(false)) => Some("with a ticket and no task"),
        (Some(false), Some(true)) => Some("with a task and no ticket"),
        (Some(false), Some(false)) => Some("without a ticket or a task"),
    };
    let renewal = renewals.only().map(|is| if *is { "as a renewal" } else { "not as a renewal" });
    let parts = proofs.into_iter().chain(renewal).map(str::to_owned).chain(people.in_words());
    vec![parts.collect::<Vec<_>>().join(", ")]
}

/// The values of some circumstances in one dimension.
struct Dimension<T> {
    values: BTreeSet<T>,
    is_all: bool,
}

impl<T: Ord> Dimension<T> {
    fn of(all: &[Circumstance], when: &BTreeSet<Circumstance>, value: impl Fn(&Circumstance) -> T) -> Self {
        let values: BTreeSet<T> = when.iter().map(&value).collect();
        let is_all = all.iter().all(|one| values.contains(&value(one)));
        Self { values, is_all }
    }

    fn has(&self, value: &T) -> bool {
        self.values.contains(value)
    }

    /// The single value of these circumstances, if others exist.
    fn only(&self) -> Option<&T> {
        self.values.first().filter(|_| !self.is_all && self.values.len() == 1)
    }
}

impl Dimension<Option<IdentityId>> {
    fn in_words(&self) -> Option<String> {
        let nobody = self.values.contains(&None).then(|| "on nobody's behalf".to_owned());
        let names: Vec<_> = self.values.iter().flatten().map(|human| format!("`{human}`")).collect();
        let somebody = (!names.is_empty()).then(|| format!("on behalf of {}", names.join(" or ")));
        let both: Vec<_> = nobody.into_iter().chain(somebody).collect();
        (!self.is_all).then(|| both.join(" or "))
    }
}

impl Circumstance {
    fn words(&self) -> String {
        let with = |has: bool, what: &str| format!("{} a {what}", if has { "with" } else { "without" });
        let renewal = if self.is_renewal { ", as a renewal" } else { "" };
        let behalf = self.on_behalf_of.as_ref().map(|human| format!(", on behalf of `{human}`")).unwrap_or_default();
        let (ticket, task) = (with(self.has_ticket, "ticket"), with(self.has_task, "task"));
        format!("{ticket} and {task}{renewal}{behalf}, at {}", Timestamp::from_seconds(self.at))
    }
}
