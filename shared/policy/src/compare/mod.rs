//! Compares the decisions of two versions of a catalogue, for each pair of identity and entitlement.
//!
//! Both bundles decide every pair under all circumstances that their policies can distinguish: with and without a
//! ticket and a task, as a renewal and not, and for terms on both sides of every number that a policy or an entitlement
//! names. Time of day and day of the week are sampled, so a window of an hour can be missed.
//!
//! If a policy reads `context.onBehalfOf`, a machine asks for itself, for its sponsor, and for at most eight other
//! people who may have the entitlement themselves. These are the people whom policies name, and one for each set of
//! teams that policies name. A note says if there are more.
//!
//! The comparison ignores existing grants. For conflicts, concurrent grants and renewals it only reports that the rule
//! changed. It assumes that a request contains every required field, such as a justification, and only reports that the
//! rule changed. It does not decide scheduled requests: it compares the windows of schedules, and notes a change to a
//! policy that reads `context.schedule`.

mod distinctions;
mod offer;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::IdentityClass;
use brevet_domain::time::Term;

use crate::bundle::Bundle;
use crate::declared::Declared;
use distinctions::{Circumstance, Distinctions, MAX_PEOPLE};
use offer::Offer;

/// The kind of a change. Kinds that give more come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The entitlement was denied and is now allowed.
    NewlyAllowed,
    /// A schedule now asks for the entitlement.
    NewWindow,
    /// Approval was needed and no longer is.
    NoLongerNeedsApproval,
    /// The maximum term is longer.
    Longer,
    /// The holder gets different access.
    OtherAccess,
    /// A schedule has other windows, or asks with other values.
    OtherWindow,
    /// The approvers, their number or the time for approval changed.
    OtherApprovers,
    /// Any other change.
    Otherwise,
    /// The maximum term is shorter.
    Shorter,
    /// Approval was not needed and now is.
    NowNeedsApproval,
    /// A schedule no longer asks for the entitlement.
    WindowGone,
    /// The entitlement was allowed and is now denied.
    NewlyDenied,
}

impl Kind {
    /// The kind in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewlyAllowed => "newly allowed",
            Self::NewWindow => "new window",
            Self::NoLongerNeedsApproval => "no longer needs approval",
            Self::Longer => "longer",
            Self::OtherAccess => "other access",
            Self::OtherWindow => "other window",
            Self::OtherApprovers => "other approvers",
            Self::Otherwise => "otherwise",
            Self::Shorter => "shorter",
            Self::NowNeedsApproval => "now needs approval",
            Self::WindowGone => "window gone",
            Self::NewlyDenied => "newly denied",
        }
    }
}

/// One changed decision for one pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub kind: Kind,
    pub identity: IdentityId,
    pub entitlement: EntitlementId,
    /// The old and the new state, in words.
    pub detail: String,
    /// The circumstances in which the decision changes; empty for all.
    pub when: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, identity, entitlement, detail, when } = self;
        write!(f, "{}: {identity} × {entitlement}: {detail}", kind.as_str())?;
        if when.is_empty() { Ok(()) } else { write!(f, " ({})", when.join("; ")) }
    }
}

/// The decisions that a change of the catalogue changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The number of pairs compared.
    pub n_pairs: usize,
    /// The changed decisions. Those that give more come first.
    pub changes: Vec<Change>,
    /// Changed class limits that no single decision shows, in words.
    pub limits: Vec<String>,
    /// Parts that policies read but that were not compared, in words.
    pub notes: Vec<String>,
}

/// Compares the decisions of `old` and `new`.
#[must_use]
pub fn compare(old: &Bundle, new: &Bundle) -> Comparison {
    let keys = |bundle: &Bundle| bundle.index().identities.keys().cloned().collect::<BTreeSet<_>>();
    let identities: BTreeSet<IdentityId> = keys(old).union(&keys(new)).cloned().collect();
    let names = |bundle: &Bundle| bundle.entitlements().map(|one| one.id.clone()).collect::<BTreeSet<_>>();
    let entitlements: BTreeSet<EntitlementId> = names(old).union(&names(new)).cloned().collect();
    let (mut changes, mut n_incomplete) = (Vec::new(), 0_usize);
    for entitlement in &entitlements {
        let distinctions = Distinctions::of(&[old, new], entitlement);
        n_incomplete = n_incomplete.saturating_add((distinctions.n_left_out > 0).into());
        for identity in &identities {
            changes.extend(pair(old, new, identity, entitlement, &distinctions));
        }
    }
    changes.extend(windows::changes(old, new));
    changes.sort();
    let n_pairs = identities.len().saturating_mul(entitlements.len());
    let notes = incomplete_note(n_incomplete).into_iter().chain(schedule_note(old, new, &entitlements)).collect();
    Comparison { n_pairs, changes, limits: limits(old, new), notes }
}

/// The note that not every human was tried for `context.onBehalfOf`.
fn incomplete_note(n_entitlements: usize) -> Option<String> {
    (n_entitlements > 0).then(|| {
        format!(
            "not compared in full: `context.onBehalfOf` on {n_entitlements} of the entitlements: only the sponsor and \
             {MAX_PEOPLE} other people were tried, and policies distinguish more"
        )
    })
}

/// The note that a policy which reads `context.schedule` was added, removed or changed.
fn schedule_note(old: &Bundle, new: &Bundle, entitlements: &BTreeSet<EntitlementId>) -> Option<String> {
    let reading = |bundle: &Bundle, entitlement: &EntitlementId| -> BTreeSet<String> {
        let all = bundle.policies(entitlement).policies();
        let some = all.filter(|policy| Declared::of(std::iter::once(*policy)).names("schedule"));
        some.filter_map(|policy| policy.to_json().ok()).map(|json| json.to_string()).collect()
    };
    let n = entitlements.iter().filter(|id| reading(old, id) != reading(new, id)).count();
    (n > 0).then(|| {
        format!("not compared: `context.schedule` on {n} of the entitlements: a policy that reads it has changed")
    })
}

/// Changes to the class limits that depend on existing grants: concurrent grants and renewals in a row.
fn limits(old: &Bundle, new: &Bundle) -> Vec<String> {
    let classes = [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];
    let lines = classes.into_iter().flat_map(|class| {
        let (was, is) = (old.index().class_limits(class), new.index().class_limits(class));
        let pairs = [
            ("grants at once", was.max_live.get(), is.max_live.get()),
            ("renewals in a row", was.max_renewals, is.max_renewals),
        ];
        let changed = pairs.into_iter().filter(|(_, was, is)| was != is);
        changed.map(move |(what, was, is)| format!("class `{}`: at most {is} {what}, was {was}", class.as_str()))
    });
    lines.collect()
}

fn pair(
    old: &Bundle,
    new: &Bundle,
    identity: &IdentityId,
    entitlement: &EntitlementId,
    distinctions: &Distinctions,
) -> Vec<Change> {
    let mut found: BTreeMap<(Kind, String), BTreeSet<Circumstance>> = BTreeMap::new();
    let mut stays_allowed = false;
    let circumstances = distinctions.circumstances(&[old, new], identity, entitlement);
    for circumstance in &circumstances {
        let of = |bundle| Offer::of(bundle, identity, entitlement, circumstance, &distinctions.terms);
        let (was, is) = (of(old), of(new));
        stays_allowed |= was.is_some() && is.is_some();
        for (kind, detail) in changes(&was, &is) {
            found.entry((kind, detail)).or_default().insert(circumstance.clone());
        }
    }
    let entry = |kind, detail, when| Change {
        kind,
        identity: identity.clone(),
        entitlement: entitlement.clone(),
        detail,
        when,
    };
    let mut all: Vec<Change> = found
        .into_iter()
        .map(|((kind, detail), when)| entry(kind, detail, distinctions::words(&circumstances, &when)))
        .collect();
    let of = |bundle: &Bundle| bundle.entitlement(entitlement).cloned();
    if stays_allowed && let (Some(was), Some(is)) = (of(old), of(new)) {
        let parts = other_access(&was, &is);
        if !parts.is_empty() {
            all.push(entry(Kind::OtherAccess, format!("its {} changed", parts.join(" and its ")), Vec::new()));
        }
    }
    all
}

/// The changed parts of an entitlement that decide what its holder gets.
fn other_access(was: &Entitlement, is: &Entitlement) -> Vec<&'static str> {
    [
        ("delivery", was.delivery != is.delivery),
        ("parameters", was.parameters != is.parameters),
        ("statements", was.statements != is.statements),
        ("conflicts", was.conflicts != is.conflicts),
        ("time to start", was.start_within_s != is.start_within_s),
        ("risk", was.risk != is.risk),
        ("break-glass", was.break_glass != is.break_glass),
        ("canary", was.canary != is.canary),
        ("environment", was.environment != is.environment),
        ("rule on tickets", was.ticket != is.ticket),
        ("rule on justifications", was.justification != is.justification),
        ("secrets to rotate", was.rotate != is.rotate),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

/// The differences between two offers under the same circumstance.
fn changes(was: &Option<Offer>, is: &Option<Offer>) -> Vec<(Kind, String)> {
    let (was, is) = match (was, is) {
        (None, None) => return Vec::new(),
        (None, Some(is)) => return vec![(Kind::NewlyAllowed, is.words())],
        (Some(was), None) => return vec![(Kind::NewlyDenied, format!("was {}", was.words()))],
        (Some(was), Some(is)) => (was, is),
    };
    if was == is {
        return Vec::new();
    }
    let detail = || format!("{}, was {}", is.words(), was.words());
    let mut all = Vec::new();
    match was.longest().cmp(&is.longest()) {
        std::cmp::Ordering::Less => all.push(Kind::Longer),
        std::cmp::Ordering::Greater => all.push(Kind::Shorter),
        std::cmp::Ordering::Equal => {}
    }
    if was.alone.iter().any(|term| is.asked.contains(term)) {
        all.push(Kind::NowNeedsApproval);
    }
    if was.asked.iter().any(|term| is.alone.contains(term)) {
        all.push(Kind::NoLongerNeedsApproval);
    }
    if !was.asked.is_empty() && !is.asked.is_empty() && was.by != is.by {
        all.push(Kind::OtherApprovers);
    }
    if all.is_empty() {
        all.push(Kind::Otherwise);
    }
    all.into_iter().map(|kind| (kind, detail())).collect()
}

/// `seconds` as a term, if it is in range.
fn term(seconds: u32) -> Option<Term> {
    Term::from_seconds(i64::from(seconds)).ok()
}

#[cfg(test)]
mod tests;
