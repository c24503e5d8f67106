//! The rules of an entitlement besides its access: terms by class, ticket, justification, secrets to rotate.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::entitlement::{JustificationRule, Requirement, Rotation, TicketRule};
use brevet_domain::identity::IdentityClass;
use brevet_domain::request::Justification;
use brevet_domain::time::Term;

use super::finding::Findings;
use super::form::EntitlementForm;
use super::pattern::{self, TICKETS};

/// The most secrets to rotate for one entitlement.
const MAX_ROTATIONS: usize = 8;

/// The start of the ARN of a secret of this deployment.
const SECRET: &str = "arn:${partition}:secretsmanager:${region}:${account}:secret:";

/// The wildcard for the six characters that Secrets Manager adds to each name.
const SUFFIX: &str = "-??????";

/// The maximum term of all classes, and those of single classes; `None` only after a finding.
pub(super) fn terms(
    file: &str,
    form: &EntitlementForm,
    class_limits: &BTreeMap<IdentityClass, ClassLimits>,
    findings: &mut Findings,
) -> Option<(Term, BTreeMap<IdentityClass, Term>)> {
    let (mut default, mut of_classes) = (None, BTreeMap::new());
    for (class, seconds, place) in form.terms() {
        let Ok(term) = Term::from_seconds(i64::from(seconds)) else {
            let (least, most) = (Term::MIN, Term::MAX);
            findings.place(file, place, format!("`max_term_s` is {seconds}; it must be {least} to {most} seconds"));
            continue;
        };
        let Some(class) = class else {
            default = Some(term);
            continue;
        };
        let most = class_limits
            .get(&class)
            .map_or_else(|| ClassLimits::built_in(class), |class_limits| *class_limits)
            .max_term;
        if term > most {
            let (class, most) = (class.as_str(), most.as_seconds());
            let message = format!(
                "`max_term_s` of `{class}` is {seconds}, but that class allows at most {most} seconds; write at most that"
            );
            findings.place(file, place, message);
        }
        of_classes.insert(class, term);
    }
    Some((default?, of_classes))
}

/// The rule on the ticket of a request.
pub(super) fn ticket(file: &str, form: &EntitlementForm, findings: &mut Findings) -> TicketRule {
    let Some(ticket) = &form.ticket else { return TicketRule::default() };
    let pattern = ticket.value.pattern.as_ref();
    if let Some((pattern, problem)) = pattern.and_then(|p| Some((p, pattern::problem(&p.value, &TICKETS)?))) {
        findings.at(file, pattern, problem);
    }
    TicketRule { required: ticket.value.required, pattern: pattern.map(|pattern| pattern.value.clone()) }
}

/// The rule on the justification of a request.
pub(super) fn justification(file: &str, form: &EntitlementForm, findings: &mut Findings) -> JustificationRule {
    let Some(rule) = form.justification.as_ref().map(|rule| &rule.value) else {
        return JustificationRule::default();
    };
    let most = u32::try_from(Justification::MAX).unwrap_or(u32::MAX);
    if let Some(length) = &rule.min_length {
        if rule.need.value == Requirement::None {
            let message =
                "`min_length` is set, but `need: none` allows no `justification`; remove it, or change `need`";
            findings.at(file, length, message);
        } else if !(1..=most).contains(&length.value) {
            let message = format!("`min_length` is {}; it must be 1 to {most} characters", length.value);
            findings.at(file, length, message);
        }
    }
    JustificationRule { need: rule.need.value, min_length: rule.min_length.as_ref().map_or(0, |length| length.value) }
}

/// The secrets to rotate at the end.
pub(super) fn rotations(file: &str, form: &EntitlementForm, findings: &mut Findings) -> Vec<Rotation> {
    let mut known = BTreeSet::new();
    let mut rotations = Vec::new();
    for (n, rotation) in form.rotate.iter().enumerate() {
        let secret = &rotation.value.secret;
        // `entitlements::compile` checks the variables.
        let name = secret.value.strip_prefix(SECRET).map(|name| name.strip_suffix(SUFFIX).unwrap_or(name));
        if name.is_none_or(|name| name.is_empty() || name.contains(['*', '?'])) {
            let message = format!(
                "`{}` does not name one secret; it must be `{SECRET}` followed by the secret's name, without a wildcard other than a final `{SUFFIX}`",
                secret.value
            );
            findings.at(file, secret, message);
        }
        if !known.insert(&secret.value) {
            findings.at(file, secret, format!("`{}` is listed twice in `rotate`", secret.value));
        }
        if n == MAX_ROTATIONS {
            findings.at(file, rotation, format!("`rotate` lists more than {MAX_ROTATIONS} secrets; remove some"));
        }
        let times = rotation.value.times.as_ref().map_or(1, |times| times.value);
        if let Some(given) = rotation.value.times.as_ref().filter(|times| !(1..=2).contains(&times.value)) {
            let message = format!("`times` is {times}; it must be 1, or 2 where two users of the secret take turns");
            findings.at(file, given, message);
        }
        rotations.push(Rotation { secret: secret.value.clone(), times });
    }
    rotations
}
