//! Approval steps: those of each entitlement, and the general ones that apply to all approvals.

use std::collections::BTreeSet;

use brevet_domain::entitlement::{Approval, StepRule, When};
use brevet_domain::id::TeamId;
use brevet_domain::time::Term;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::form::{EntitlementForm, StepForm};
use super::forms::Forms;
use super::sources::APPROVALS;

/// The most people that a step may require. More would rarely answer in time.
const MAX_COUNT: u8 = 10;

/// The most steps in one file.
const MAX_STEPS: usize = 8;

/// The largest `auth_within_s`, in seconds: a day, as long as any token lives.
const MAX_AUTH_S: u32 = 86_400;

/// The steps that apply to all approvals.
pub(super) fn general(forms: &Forms, findings: &mut Findings) -> Vec<StepRule> {
    rules(APPROVALS, &forms.steps, forms, findings)
}

/// The approval of one entitlement.
pub(super) fn of(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) -> Approval {
    let approval = form.approval.as_ref().map(|approval| &approval.value);
    let count = approval.and_then(|approval| approval.count.as_ref());
    let within_s = approval.and_then(|approval| approval.within_s.as_ref()).map_or(1_800, |within| within.value);
    if let Some(count) = count.filter(|count| count.value == 0) {
        findings.at(
            file,
            count,
            "`count` is 0; it must be at least 1; to waive approval, write an `autoApprove` policy",
        );
    }
    let Some(steps) = approval.and_then(|approval| approval.steps.as_ref()) else {
        return Approval::by(count.map_or(1, |count| count.value), within_s);
    };
    if let Some(count) = count {
        // It would apply when no step does, so fewer steps could mean fewer people.
        findings.at(file, count, "`count` cannot stand beside `steps`; each step has a `count` of its own");
    }
    if steps.value.is_empty() {
        findings.at(file, steps, "`steps` is empty; name at least one, or leave it out");
    }
    Approval { steps: rules(file, &steps.value, forms, findings), ..Approval::by(1, within_s) }
}

fn rules(file: &str, steps: &[Spanned<StepForm>], forms: &Forms, findings: &mut Findings) -> Vec<StepRule> {
    if let Some(step) = steps.get(MAX_STEPS) {
        findings.at(file, step, format!("there are more than {MAX_STEPS} steps; merge some"));
    }
    let teams: BTreeSet<&TeamId> = forms.identities.iter().flat_map(|in_file| &in_file.form.teams).collect();
    for (n, step) in steps.iter().map(|step| &step.value).enumerate() {
        check(file, step, &teams, findings);
        let same = steps.iter().take(n).any(|other| other.value.name.value == step.name.value);
        if same && step.when.is_empty() {
            let message =
                format!("step `{}` is listed twice; merge the two, or give this one a `when`", step.name.value);
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
        let message = format!(
            "team `{}` has no members, so nobody could take this step; name a team from `identities`",
            team.value
        );
        findings.at(file, team, message);
    }
    if let Some(within) = step.auth_within_s.as_ref().filter(|within| !(60..=MAX_AUTH_S).contains(&within.value)) {
        let message = format!("`auth_within_s` is {}; it must be 60 to {MAX_AUTH_S} seconds", within.value);
        findings.at(file, within, message);
    }
    if let Some(limit) = step.when.longer_than_s.as_ref().filter(|limit| i64::from(limit.value) >= i64::from(Term::MAX))
    {
        let message = format!(
            "`longer_than_s` is {}, but no term is longer than {} seconds, so the step never applies; write less",
            limit.value,
            Term::MAX
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
