//! Steps of an approval, with the people who may take them; and in words.

use brevet_domain::decision::{Shortage, Step};
use brevet_domain::entitlement::Asked;
use brevet_domain::id::{IdentityId, StepName};
use brevet_domain::identity::Identity;

/// The step that is `asked` for, with those of `approvers` who are in its teams.
pub(crate) fn with_people(asked: Asked, approvers: &[&Identity]) -> Step {
    let may = approvers.iter().filter(|person| asked.admits(&person.teams));
    Step {
        approvers: may.map(|person| person.id.clone()).collect(),
        name: asked.name,
        count: asked.count,
        mfa: asked.mfa,
        auth_within_s: asked.auth_within_s,
    }
}

/// Where people are short, in words: nothing for the single step of an approval without steps.
pub(crate) fn where_short(short: &Shortage) -> String {
    match short.steps.as_slice() {
        [one] if *one == StepName::single() => String::new(),
        [one] => format!(" in step `{one}`"),
        several => {
            let names: Vec<_> = several.iter().map(|name| format!("`{name}`")).collect();
            format!(" in steps {}, each by somebody else", names.join(" and "))
        }
    }
}

/// A step in words: how many of whom, and what they must have shown.
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
