//! Approval steps with the people who may take them, and their text form.

use brevet_domain::decision::{MissingApprovers, Step};
use brevet_domain::entitlement::RequiredStep;
use brevet_domain::id::{IdentityId, StepName};
use brevet_domain::identity::Identity;

/// The `asked` step, with the `approvers` who are in its teams.
pub(crate) fn with_people(asked: RequiredStep, approvers: &[&Identity]) -> Step {
    let may = approvers.iter().filter(|person| asked.admits(&person.teams));
    Step {
        approvers: may.map(|person| person.id.clone()).collect(),
        name: asked.name,
        count: asked.count,
        mfa: asked.mfa,
        auth_within_s: asked.auth_within_s,
    }
}

/// The steps that lack people, in words. Empty for the single step of an approval without named steps.
pub(crate) fn where_short(short: &MissingApprovers) -> String {
    match short.steps.as_slice() {
        [one] if *one == StepName::single() => String::new(),
        [one] => format!(" in step `{one}`"),
        several => {
            let names: Vec<_> = several.iter().map(|name| format!("`{name}`")).collect();
            format!(" in steps {}, each by a different person", names.join(" and "))
        }
    }
}

/// A step in words: the count, the approvers, and the authentication that they need.
pub(crate) fn in_words(step: &Step) -> String {
    let names: Vec<_> = step.approvers.iter().map(IdentityId::as_str).collect();
    let mut words = format!("{} of {}", step.count, names.join(", "));
    if step.name != StepName::single() {
        words.push_str(&format!(" for {}", step.name));
    }
    if step.mfa {
        words.push_str(" with two factors");
    }
    if let Some(within_s) = step.auth_within_s {
        words.push_str(&format!(" who signed in at most {within_s} s before"));
    }
    words
}
