//! Entitlements. The checks ensure that no request can widen what an entitlement states.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::entitlement::{BreakGlass, Entitlement, Risk, Statement};
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::plan::MIN_CREDENTIAL_S;
use serde_saphyr::Spanned;

use super::escalation::List;
use super::finding::Findings;
use super::form::{BreakGlassForm, DeliveryForm, EntitlementForm, StatementForm};
use super::forms::{Forms, InFile};
use super::{approvals, delivery, duties, longest, parameters, rules};

/// The longest session of STS under role chaining, in seconds.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const MAX_CREDENTIAL_S: u32 = 3_600;

/// The longest time to approve or to start a grant, in seconds: a week.
const MAX_WAIT_S: u32 = 604_800;

/// Variables that every statement may use besides the parameters.
pub(super) const GIVEN: [&str; 3] = ["account", "partition", "region"];

/// Compiles all entitlements. `warnings` collects what is allowed but deserves attention.
pub(super) fn compile(
    forms: &Forms,
    class_limits: &BTreeMap<IdentityClass, ClassLimits>,
    findings: &mut Findings,
    warnings: &mut Findings,
) -> BTreeMap<EntitlementId, Entitlement> {
    let mut entitlements = BTreeMap::new();
    let escalation = match List::built_in() {
        Ok(list) => list,
        Err(message) => {
            findings.whole("entitlements", message);
            return entitlements;
        }
    };
    for InFile { file, form } in &forms.entitlements {
        check_names(file, form, forms, findings);
        check_times(file, form, findings);
        let mut used = BTreeSet::new();
        check_statements(file, form, &mut used, findings);
        for rotation in &form.rotate {
            // A use here does not count: a parameter that only chooses a secret does not narrow access.
            let secret = &rotation.value.secret;
            check_variables(file, secret, &secret.value, form, &mut BTreeSet::new(), findings);
        }
        check_break_glass(file, form, forms, findings);
        check_canary(file, form, findings);
        escalation.check(file, form, findings, warnings);
        for (name, parameter) in &form.parameters {
            if !used.contains(name.as_str()) {
                let message = format!("parameter `{name}` is never used; use `${{{name}}}` in a statement or drop it");
                findings.at(file, parameter, message);
            }
        }
        if let Some(entitlement) = entitlement(file, form, forms, class_limits, &escalation, findings) {
            longest::check(file, form, &entitlement, findings);
            entitlements.insert(entitlement.id.clone(), entitlement);
        }
    }
    duties::conflicts(forms, &mut entitlements, findings);
    delivery::check_holders(forms, &entitlements, findings);
    entitlements
}

/// The entitlement that `form` describes; `None` only after a finding.
fn entitlement(
    file: &str,
    form: &EntitlementForm,
    forms: &Forms,
    class_limits: &BTreeMap<IdentityClass, ClassLimits>,
    escalation: &List,
    findings: &mut Findings,
) -> Option<Entitlement> {
    let or = |value: &Option<Spanned<u32>>, default| value.as_ref().map_or(default, |v| v.value);
    // Each of these reports its own findings, even if another one fails.
    let delivery = delivery::compile(file, form, forms, findings);
    let terms = rules::terms(file, form, class_limits, findings);
    let parameters = parameters::compile(file, form, findings);
    let ticket = rules::ticket(file, form, findings);
    let justification = rules::justification(file, form, findings);
    let rotate = rules::rotations(file, form, findings);
    let approval = approvals::of(file, form, forms, findings);
    let (max_term, max_term_of) = terms?;
    Some(Entitlement {
        id: form.id.value.clone(),
        owner: form.owner.value.clone(),
        description: form.description.value.clone(),
        delivery: delivery?,
        max_term,
        max_term_of,
        risk: form.risk.as_ref().map_or_else(Risk::default, |risk| risk.value),
        environment: form.environment.as_ref().map(|environment| environment.value.clone()),
        start_within_s: or(&form.start_within_s, 3_600),
        parameters,
        statements: form.statements.value.iter().map(statement).collect(),
        approval,
        ticket,
        justification,
        rotate,
        // `duties::conflicts` fills this in once all entitlements are known.
        conflicts: BTreeMap::new(),
        break_glass: form.break_glass.as_ref().map(|form| BreakGlass {
            reviewer: form.reviewer.value.clone(),
            heartbeat_max_age_s: form.heartbeat_max_age_s.as_ref().map(|limit| limit.value),
            while_overdue: form.while_overdue,
        }),
        canary: form.canary.as_ref().is_some_and(|canary| canary.value),
        outlives: escalation.outliving(form),
    })
}

fn statement(form: &StatementForm) -> Statement {
    let texts = |list: &Vec<Spanned<String>>| list.iter().map(|text| text.value.clone()).collect();
    let conditions = form.conditions.iter().map(|(operator, keys)| {
        let keys = keys.iter().map(|(key, values)| (key.clone(), values.value.clone()));
        (operator.clone(), keys.collect())
    });
    Statement {
        actions: texts(&form.actions.value),
        resources: texts(&form.resources.value),
        conditions: conditions.collect(),
    }
}

fn check_names(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) {
    let owner = &form.owner;
    if !forms.is_human(&owner.value) {
        let message = format!(
            "owner `{}` is not a registered human; name the person who answers for `{}`",
            owner.value, form.id.value
        );
        findings.at(file, owner, message);
    }
    if form.description.value.trim().is_empty() {
        findings.at(file, &form.description, "`description` is empty; say in one line what this is for");
    }
}

fn check_times(file: &str, form: &EntitlementForm, findings: &mut Findings) {
    let mut within = |name: &str, value: &Spanned<u32>, least: u32, most: u32| {
        if !(least..=most).contains(&value.value) {
            let message = format!("`{name}` is {}; it must be {least} to {most} seconds", value.value);
            findings.at(file, value, message);
        }
    };
    if let Some(credential_s) = &form.credential_s {
        within("credential_s", credential_s, MIN_CREDENTIAL_S, MAX_CREDENTIAL_S);
    }
    if let Some(start_within_s) = &form.start_within_s {
        within("start_within_s", start_within_s, 60, MAX_WAIT_S);
    }
    let Some(approval) = form.approval.as_ref().map(|approval| &approval.value) else { return };
    if let Some(within_s) = &approval.within_s {
        within("within_s", within_s, 60, MAX_WAIT_S);
    }
}

/// A canary is issued even while a drill is failing, so no other entitlement may be marked as one.
fn check_canary(file: &str, form: &EntitlementForm, findings: &mut Findings) {
    let Some(canary) = form.canary.as_ref().filter(|canary| canary.value) else { return };
    if form.break_glass.is_some() || form.iam_allowed() {
        let message = "a `canary` is for the expiry drill alone: it may be neither `break_glass` nor `iam_allowed`; leave out one of them";
        findings.at(file, canary, message);
    }
}

fn check_break_glass(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) {
    match (&form.break_glass, &form.iam_allowed) {
        (Some(BreakGlassForm { reviewer, heartbeat_max_age_s, .. }), _) => {
            if let Some(limit) = heartbeat_max_age_s.as_ref().filter(|limit| !(60..=86_400).contains(&limit.value)) {
                let message = format!("`heartbeat_max_age_s` is {}; it must be 60 to 86400 seconds", limit.value);
                findings.at(file, limit, message);
            }
            if !forms.is_human(&reviewer.value) {
                let message = format!(
                    "reviewer `{}` is not a registered human; name the person who reviews each use",
                    reviewer.value
                );
                findings.at(file, reviewer, message);
            }
        }
        (None, Some(allowed)) if allowed.value && form.delivery() == DeliveryForm::Session => {
            let message = "`iam_allowed` is only for break-glass; name the reviewer, as `break_glass: {reviewer: …}`, or leave it out";
            findings.at(file, allowed, message);
        }
        (None, _) => {}
    }
}

fn check_statements<'a>(file: &str, form: &'a EntitlementForm, used: &mut BTreeSet<&'a str>, findings: &mut Findings) {
    if form.statements.value.is_empty() {
        findings.at(file, &form.statements, "`statements` is empty; say what is allowed");
    }
    for statement in &form.statements.value {
        if statement.actions.value.is_empty() {
            findings.at(file, &statement.actions, "`actions` is empty; name at least one");
        }
        if statement.resources.value.is_empty() {
            findings.at(file, &statement.resources, "`resources` is empty; name at least one ARN");
        }
        for action in &statement.actions.value {
            if let Some(problem) = action_problem(&action.value, form) {
                findings.at(file, action, problem);
            }
        }
        for resource in &statement.resources.value {
            if resource.value != "*" && !resource.value.starts_with("arn:") {
                findings.at(file, resource, format!("resource `{}` is neither `*` nor an ARN", resource.value));
            }
            check_variables(file, resource, &resource.value, form, used, findings);
        }
        for (operator, keys) in &statement.conditions {
            for (key, values) in keys {
                if operator.contains('$') || key.contains('$') {
                    findings.at(file, values, "condition operators and keys cannot contain variables; only values can");
                }
                for value in &values.value {
                    check_variables(file, values, value, form, used, findings);
                }
            }
        }
    }
}

/// The problem with an action, if any.
///
/// Every session policy denies `sts`, since its credentials would outlive the grant. It also denies `iam`, except for
/// entitlements with `iam_allowed`. An attachment cannot deny anything, so it may have neither.
pub(super) fn action_problem(action: &str, form: &EntitlementForm) -> Option<String> {
    let (attached, iam_allowed) = (form.delivery() != DeliveryForm::Session, form.iam_allowed());
    if action.contains('$') {
        return Some(format!("action `{action}` contains a variable; write actions out in full"));
    }
    if action == "*" {
        let what = "allows everything, IAM included; name the service, e.g. `s3:GetObject`";
        return (attached || !iam_allowed).then(|| format!("action `*` {what}"));
    }
    let service_ok =
        |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let name_ok = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '*' || c == '?');
    match action.split_once(':') {
        Some((service @ ("iam" | "sts"), _)) if attached => Some(format!(
            "action `{action}` cannot be attached, because what `{service}` creates could outlive the grant; use `delivery: session`"
        )),
        Some(("sts", _)) => Some(format!("action `{action}` can never work: every session policy denies `sts:*`")),
        Some(("iam", _)) if !iam_allowed => Some(format!(
            "action `{action}` touches IAM, which could outlive the grant; only break-glass may, with `iam_allowed: true`"
        )),
        Some((service, name)) if service_ok(service) && name_ok(name) => None,
        Some(_) | None => Some(format!(
            "`{action}` is not an action; it must be `service:Name` with the service in lower case and without wildcard, e.g. `s3:GetObject`"
        )),
    }
}

fn check_variables<'a, T>(
    file: &str,
    place: &Spanned<T>,
    text: &'a str,
    form: &EntitlementForm,
    used: &mut BTreeSet<&'a str>,
    findings: &mut Findings,
) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            findings.at(file, place, format!("`{text}` contains `${{` without a closing `}}`"));
            return;
        };
        used.insert(name);
        if !GIVEN.contains(&name) && !form.parameters.contains_key(name) {
            let mut known: Vec<_> = form.parameters.keys().map(String::as_str).collect();
            known.extend(GIVEN);
            let message = format!("`${{{name}}}` is not a parameter; use one of: {}", known.join(", "));
            findings.at(file, place, message);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(delivery: &str) -> EntitlementForm {
        let text = format!("{{id: ab, owner: cd, description: x, max_term_s: 60, statements: [], {delivery}}}");
        serde_saphyr::from_str(&text).unwrap()
    }

    #[test]
    fn actions_that_reach_iam_or_sts_are_refused_in_any_spelling() {
        let plain = form("target: ef");
        for action in [
            "*",
            "iam:PassRole",
            "iam:*",
            "IAM:PassRole",
            "i*:PassRole",
            "*:*",
            "sts:AssumeRole",
            "STS:*",
            "s3",
            "s3:",
            ":x",
            "${service}:Get",
        ] {
            assert!(action_problem(action, &plain).is_some(), "{action}");
        }
        for action in ["s3:GetObject", "s3:Get*", "execute-api:Invoke"] {
            assert_eq!(action_problem(action, &plain), None, "{action}");
        }
        let iam = form("target: ef, iam_allowed: true");
        assert_eq!(action_problem("iam:PassRole", &iam), None);
        assert!(action_problem("sts:AssumeRole", &iam).is_some());
    }

    #[test]
    fn attachment_with_iam_or_sts_actions_is_refused() {
        for delivery in ["delivery: inline", "delivery: managed", "delivery: inline, iam_allowed: true"] {
            for action in ["*", "iam:PassRole", "sts:AssumeRole"] {
                assert!(action_problem(action, &form(delivery)).is_some(), "{delivery} {action}");
            }
        }
    }
}
