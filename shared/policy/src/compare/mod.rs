//! What a change of the catalogue does to decisions: identity × entitlement, before and after.
//!
//! Every pair is put to both bundles under all circumstances that their policies can tell apart: with and without a
//! ticket and a task, as a renewal and not, and for terms on both sides of every number that a policy or an entitlement
//! names. Time of day and day of the week are sampled: a window of an hour can be missed.
//!
//! Where a policy looks at on whose behalf it is asked, a machine asks for itself, for its sponsor and for at most
//! eight others who may have it themselves: those whom policies name, and one for each set of teams that
//! they name. More than that is noted.
//!
//! What a requester holds already is not looked at: of conflicts it is told that they changed, and so of how much a class may
//! hold at once or renew in a row. A request is taken to hold what it must, a justification say: of the rules on that it is
//! told that they changed. That a schedule asks is no circumstance either: of schedules their windows are compared, and
//! where a policy that looks at one is other than before, it is noted.

mod offer;
mod telling;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::IdentityClass;
use brevet_domain::time::Term;

use crate::bundle::Bundle;
use crate::declared::Declared;
use offer::Offer;
use telling::{Circumstance, MAX_PEOPLE, Telling};

/// What kind of change it is; those that give more come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It could not be had, and can be now.
    NewlyAllowed,
    /// The catalogue asks for it itself, and did not before.
    NewWindow,
    /// People had to say yes, and need not any more.
    NoLongerNeedsApproval,
    /// It can be had for longer.
    Longer,
    /// Who has it gets something else.
    OtherAccess,
    /// The catalogue asks for it at other times, or for something else.
    OtherWindow,
    /// Others, or another number of people, or in another time, have to say yes.
    OtherApprovers,
    /// Something else has changed.
    Otherwise,
    /// It can be had for less long.
    Shorter,
    /// People have to say yes who had not.
    NowNeedsApproval,
    /// The catalogue asked for it itself, and does not any more.
    WindowGone,
    /// It could be had, and cannot any more.
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

/// One consequence for one pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind it is.
    pub kind: Kind,
    /// For whom.
    pub identity: IdentityId,
    /// On what.
    pub entitlement: EntitlementId,
    /// What was and what is, in words.
    pub detail: String,
    /// Under which circumstances; empty for all.
    pub when: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, identity, entitlement, detail, when } = self;
        write!(f, "{}: {identity} × {entitlement}: {detail}", kind.as_str())?;
        if when.is_empty() { Ok(()) } else { write!(f, " ({})", when.join("; ")) }
    }
}

/// The consequences of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How many pairs were compared.
    pub n_pairs: usize,
    /// What came out otherwise, those that give more first.
    pub changes: Vec<Change>,
    /// Limits of classes that changed and that no single decision shows, in words.
    pub limits: Vec<String>,
    /// What was not compared although policies look at it, in words.
    pub notes: Vec<String>,
}

/// Compares what `old` and `new` decide.
#[must_use]
pub fn compare(old: &Bundle, new: &Bundle) -> Comparison {
    let keys = |bundle: &Bundle| bundle.index().identities.keys().cloned().collect::<BTreeSet<_>>();
    let identities: BTreeSet<IdentityId> = keys(old).union(&keys(new)).cloned().collect();
    let names = |bundle: &Bundle| bundle.entitlements().map(|one| one.id.clone()).collect::<BTreeSet<_>>();
    let entitlements: BTreeSet<EntitlementId> = names(old).union(&names(new)).cloned().collect();
    let (mut changes, mut n_cut) = (Vec::new(), 0_usize);
    for entitlement in &entitlements {
        let telling = Telling::of(&[old, new], entitlement);
        n_cut = n_cut.saturating_add((telling.n_left_out > 0).into());
        for identity in &identities {
            changes.extend(pair(old, new, identity, entitlement, &telling));
        }
    }
    changes.extend(windows::changes(old, new));
    changes.sort();
    let n_pairs = identities.len().saturating_mul(entitlements.len());
    let notes = cut(n_cut).into_iter().chain(unseen(old, new, &entitlements)).collect();
    Comparison { n_pairs, changes, limits: limits(old, new), notes }
}

/// That not everybody was tried on whose behalf it can be asked.
fn cut(n_entitlements: usize) -> Option<String> {
    (n_entitlements > 0).then(|| {
        format!(
            "not compared in full: `context.onBehalfOf`, on {n_entitlements} of the entitlements: beside a sponsor, only \
             {MAX_PEOPLE} people were tried there, and policies tell more apart"
        )
    })
}

/// That a policy which looks at what is no circumstance here is new, gone or other than before.
fn unseen(old: &Bundle, new: &Bundle, entitlements: &BTreeSet<EntitlementId>) -> Option<String> {
    let looking = |bundle: &Bundle, entitlement: &EntitlementId| -> BTreeSet<String> {
        let all = bundle.policies(entitlement).policies();
        let some = all.filter(|policy| Declared::of(std::iter::once(*policy)).names("schedule"));
        some.filter_map(|policy| policy.to_json().ok()).map(|json| json.to_string()).collect()
    };
    let changed = entitlements.iter().filter(|one| looking(old, one) != looking(new, one));
    let n = changed.count();
    let what = "what policies say of `context.schedule`, and one that looks at it is other than before";
    (n > 0).then(|| format!("not compared: {what}, on {n} of the entitlements"))
}

/// How many at once, and how often in a row: what depends on what is held already.
fn limits(old: &Bundle, new: &Bundle) -> Vec<String> {
    let classes = [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];
    let told = classes.into_iter().flat_map(|class| {
        let (was, is) = (old.index().lane(class), new.index().lane(class));
        let pairs = [
            ("grants at once", was.max_live.get(), is.max_live.get()),
            ("renewals in a row", was.max_renewals, is.max_renewals),
        ];
        let changed = pairs.into_iter().filter(|(_, was, is)| was != is);
        changed.map(move |(what, was, is)| format!("class `{}`: at most {is} {what}, was {was}", class.as_str()))
    });
    told.collect()
}

fn pair(
    old: &Bundle,
    new: &Bundle,
    identity: &IdentityId,
    entitlement: &EntitlementId,
    telling: &Telling,
) -> Vec<Change> {
    let mut found: BTreeMap<(Kind, String), BTreeSet<Circumstance>> = BTreeMap::new();
    let mut kept = false;
    let circumstances = telling.circumstances(&[old, new], identity, entitlement);
    for circumstance in &circumstances {
        let of = |bundle| Offer::of(bundle, identity, entitlement, circumstance, &telling.terms);
        let (was, is) = (of(old), of(new));
        kept |= was.is_some() && is.is_some();
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
        .map(|((kind, detail), when)| entry(kind, detail, telling::words(&circumstances, &when)))
        .collect();
    let of = |bundle: &Bundle| bundle.entitlement(entitlement).cloned();
    if kept && let (Some(was), Some(is)) = (of(old), of(new)) {
        let parts = other_access(&was, &is);
        if !parts.is_empty() {
            all.push(entry(Kind::OtherAccess, format!("its {} changed", parts.join(" and its ")), Vec::new()));
        }
    }
    all
}

/// What of an entitlement changed that decides what its holder gets.
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

/// What is different between two offers under the same circumstance.
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

/// Whether a term is one at all.
fn term(seconds: u32) -> Option<Term> {
    Term::from_seconds(i64::from(seconds)).ok()
}

#[cfg(test)]
mod tests;
