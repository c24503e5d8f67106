//! Who must say yes: the steps of each entitlement's approval, and those that all approvals have.

use std::collections::BTreeSet;

use brevet_domain::entitlement::{Approval, StepRule, When};
use brevet_domain::id::TeamId;
use brevet_domain::time::Term;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::form::{EntitlementForm, StepForm};
use super::forms::Forms;
use super::sources::APPROVALS;

/// The most people that a step may want: more would never come together in time.
const MAX_COUNT: u8 = 10;

/// The most steps that one file may ask for.
const MAX_STEPS: usize = 8;

/// The longest that a sign-in may be asked to lie back, in seconds: a day, as long as any token lives.
const MAX_AUTH_S: u32 = 86_400;

/// The steps that all approvals have.
pub(super) fn general(forms: &Forms, findings: &mut Findings) -> Vec<StepRule> {
    rules(APPROVALS, &forms.steps, forms, findings)
}

/// The approval of one entitlement.
pub(super) fn of(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) -> Approval {
    let approval = form.approval.as_ref().map(|approval| &approval.value);
    let count = approval.and_then(|approval| approval.count.as_ref());
    let within_s = approval.and_then(|approval| approval.within_s.as_ref()).map_or(1_800, |within| within.value);
    if let Some(count) = count.filter(|count| count.value == 0) {
        findings.at(file, count, "`count` is 0; what needs nobody is said by an `autoApprove` policy, not here");
    }
    let Some(steps) = approval.and_then(|approval| approval.steps.as_ref()) else {
        return Approval::by(count.map_or(1, |count| count.value), within_s);
    };
    if let Some(count) = count {
        // It would say how many there are where no step is asked for: fewer steps, then, could mean fewer people.
        findings.at(file, count, "`count` cannot stand beside `steps`; each step has a `count` of its own");
    }
    if steps.value.is_empty() {
        findings.at(file, steps, "`steps` is empty; name at least one, or leave it out");
    }
    Approval { steps: rules(file, &steps.value, forms, findings), ..Approval::by(1, within_s) }
}

fn rules(file: &str, steps: &[Spanned<StepForm>], forms: &Forms, findings: &mut Findings) -> Vec<StepRule> {
    if let Some(one) = steps.get(MAX_STEPS) {
        findings.at(file, one, format!("these are more than {MAX_STEPS} steps; put some together"));
    }
    let teams: BTreeSet<&TeamId> = forms.identities.iter().flat_map(|in_file| &in_file.form.teams).collect();
    for (n, step) in steps.iter().map(|step| &step.value).enumerate() {
        check(file, step, &teams, findings);
        let same = steps.iter().take(n).any(|other| other.value.name.value == step.name.value);
        if same && step.when.is_unsaid() {
            let message =
                format!("step `{}` stands here before; say all of it there, or `when` this one holds", step.name.value);
            findings.at(file, &step.name, message);
        }
    }
    steps.iter().map(|step| rule(&step.value)).collect()
}

fn check(file: &str, step: &StepForm, teams: &BTreeSet<&TeamId>, findings: &mut Findings) {
    if let Some(count) = step.count.as_ref().filter(|count| !(1..=MAX_COUNT).contains(&count.value)) {
        findings.at(file, count, format!("`count` is {}; it must be 1 to {MAX_COUNT} people", count.value));
    }
    for team in step.of.iter().filter(|team| !teams.contains(&team.value)) {
        let message =
            format!("nobody is in team `{}`, so nobody could take this step; name a team of `identities`", team.value);
        findings.at(file, team, message);
    }
    if let Some(within) = step.auth_within_s.as_ref().filter(|within| !(60..=MAX_AUTH_S).contains(&within.value)) {
        let message = format!("`auth_within_s` is {}; it must be 60 to {MAX_AUTH_S} seconds", within.value);
        findings.at(file, within, message);
    }
    if let Some(limit) = step.when.longer_than_s.as_ref().filter(|limit| i64::from(limit.value) >= i64::from(Term::MAX))
    {
        let message = format!(
            "no term is longer than {} seconds, so a step for longer than {} is never asked for",
            Term::MAX,
            limit.value
        );
        findings.at(file, limit, message);
    }
}

fn rule(step: &StepForm) -> StepRule {
    let when = &step.when;
    StepRule {
        name: step.name.value.clone(),
        when: When {
            classes: when.classes.clone(),
            risks: when.risks.clone(),
            environments: when.environments.clone(),
            longer_than_s: when.longer_than_s.as_ref().map(|limit| limit.value),
        },
        count: step.count.as_ref().map_or(1, |count| count.value),
        of: step.of.iter().map(|team| team.value.clone()).collect(),
        mfa: step.mfa,
        auth_within_s: step.auth_within_s.as_ref().map(|within| within.value),
    }
}
