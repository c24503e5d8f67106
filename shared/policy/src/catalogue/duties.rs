//! What must not be held together, and what each class can have at most.

use std::collections::BTreeMap;

use brevet_domain::duties::MAX_AFTER_S;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::lane::Lane;
use brevet_domain::time::Term;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::form::ClassForm;
use super::forms::{Forms, InFile};
use super::sources::CLASSES;

/// Every class: completed classes can be matched without a wildcard.
const ALL: [IdentityClass; 4] =
    [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];

/// Writes each conflict to both of its entitlements: a rule holds whichever is asked for first.
pub(super) fn conflicts(
    forms: &Forms,
    entitlements: &mut BTreeMap<EntitlementId, Entitlement>,
    findings: &mut Findings,
) {
    for InFile { file, form } in &forms.entitlements {
        let id = &form.id.value;
        for conflict in form.conflicts.iter().map(|one| &one.value) {
            let (with, after_s) = (&conflict.with, conflict.after_s.as_ref().map_or(0, |after| after.value));
            if with.value == *id {
                let message = format!(
                    "`{id}` cannot conflict with itself; how many an identity may have at once is said in `classes.yaml`"
                );
                findings.at(file, with, message);
            } else if !forms.entitlements.iter().any(|other| other.form.id.value == with.value) {
                findings.at(file, with, format!("there is no entitlement `{}` to conflict with", with.value));
            }
            if let Some(after) = conflict.after_s.as_ref().filter(|after| after.value > MAX_AFTER_S) {
                let message = format!("`after_s` is {}; it must be at most {MAX_AFTER_S} seconds", after.value);
                findings.at(file, after, message);
            }
            for (one, other) in [(id, &with.value), (&with.value, id)] {
                if let Some(entitlement) = entitlements.get_mut(one) {
                    let longest = entitlement.conflicts.entry(other.clone()).or_default();
                    *longest = (*longest).max(after_s);
                }
            }
        }
    }
}

/// The limits of every class: what is built in, tightened by what the catalogue says.
pub(super) fn lanes(forms: &Forms, findings: &mut Findings) -> BTreeMap<IdentityClass, Lane> {
    let said = |class| forms.classes.as_ref().and_then(|classes| classes.get(&class));
    ALL.into_iter().map(|class| (class, lane(class, said(class), findings))).collect()
}

fn lane(class: IdentityClass, form: Option<&Spanned<ClassForm>>, findings: &mut Findings) -> Lane {
    let built_in = Lane::built_in(class);
    let Some(form) = form else { return built_in };
    let form = &form.value;
    let mut lane = built_in;
    if let Some(seconds) = &form.max_term_s {
        match Term::from_seconds(i64::from(seconds.value)).ok().filter(|term| *term <= built_in.max_term) {
            Some(term) => lane.max_term = term,
            None => {
                let (least, most) = (Term::MIN, built_in.max_term.as_seconds());
                let class = class.as_str();
                let message = format!(
                    "`max_term_s` is {}; for class `{class}` it must be {least} to {most} seconds",
                    seconds.value
                );
                findings.at(CLASSES, seconds, message);
            }
        }
    }
    if let Some(n) = &form.max_live {
        match std::num::NonZeroU32::new(n.value).filter(|n| *n <= built_in.max_live) {
            Some(n) => lane.max_live = n,
            None => {
                let (class, most) = (class.as_str(), built_in.max_live);
                let message = format!("`max_live` is {}; for class `{class}` it must be 1 to {most}", n.value);
                findings.at(CLASSES, n, message);
            }
        }
    }
    if let Some(n) = &form.max_renewals {
        if n.value <= built_in.max_renewals {
            lane.max_renewals = n.value;
        } else {
            let (class, most) = (class.as_str(), built_in.max_renewals);
            let message = format!("`max_renewals` is {}; for class `{class}` it must be 0 to {most}", n.value);
            findings.at(CLASSES, n, message);
        }
    }
    lane.people_always |= form.people_always;
    built_in.tightened(lane)
}
