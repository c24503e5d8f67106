//! Separation of duties between entitlements, and the limits of each class.

use std::collections::BTreeMap;

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::duties::MAX_AFTER_S;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::time::Term;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::form::ClassForm;
use super::forms::{Forms, InFile};
use super::sources::CLASSES;

const ALL: [IdentityClass; 4] =
    [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];

/// Writes each conflict to both of its entitlements, so that it holds in either order of requests.
pub(super) fn conflicts(
    forms: &Forms,
    entitlements: &mut BTreeMap<EntitlementId, Entitlement>,
    findings: &mut Findings,
) {
    for InFile { file, form } in &forms.entitlements {
        let id = &form.id.value;
        for conflict in form.conflicts.iter().map(|conflict| &conflict.value) {
            let (with, after_s) = (&conflict.with, conflict.after_s.as_ref().map_or(0, |after| after.value));
            if with.value == *id {
                let message = format!(
                    "`{id}` cannot conflict with itself; to limit concurrent grants, set `max_live` in `classes.yaml`"
                );
                findings.at(file, with, message);
            } else if !forms.entitlements.iter().any(|other| other.form.id.value == with.value) {
                findings.at(file, with, format!("`conflicts` names `{}`, which is not in `entitlements`", with.value));
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

/// The limits of every class: the built-in ones, tightened by the catalogue.
pub(super) fn class_limits(forms: &Forms, findings: &mut Findings) -> BTreeMap<IdentityClass, ClassLimits> {
    let form = |class| forms.classes.as_ref().and_then(|classes| classes.get(&class));
    ALL.into_iter().map(|class| (class, limits_of(class, form(class), findings))).collect()
}

fn limits_of(class: IdentityClass, form: Option<&Spanned<ClassForm>>, findings: &mut Findings) -> ClassLimits {
    let built_in = ClassLimits::built_in(class);
    let Some(form) = form else { return built_in };
    let form = &form.value;
    let mut limits = built_in;
    if let Some(seconds) = &form.max_term_s {
        match Term::from_seconds(i64::from(seconds.value)).ok().filter(|term| *term <= built_in.max_term) {
            Some(term) => limits.max_term = term,
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
            Some(n) => limits.max_live = n,
            None => {
                let (class, most) = (class.as_str(), built_in.max_live);
                let message = format!("`max_live` is {}; for class `{class}` it must be 1 to {most}", n.value);
                findings.at(CLASSES, n, message);
            }
        }
    }
    if let Some(n) = &form.max_renewals {
        if n.value <= built_in.max_renewals {
            limits.max_renewals = n.value;
        } else {
            let (class, most) = (class.as_str(), built_in.max_renewals);
            let message = format!("`max_renewals` is {}; for class `{class}` it must be 0 to {most}", n.value);
            findings.at(CLASSES, n, message);
        }
    }
    limits.people_always |= form.people_always;
    built_in.tightened(limits)
}
