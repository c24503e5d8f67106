//! What an entitlement asks and says beside its access: terms by class, ticket, justification, secrets to rotate.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::entitlement::{JustificationRule, Need, Rotation, TicketRule};
use brevet_domain::identity::IdentityClass;
use brevet_domain::lane::Lane;
use brevet_domain::request::Justification;
use brevet_domain::time::Term;

use super::finding::Findings;
use super::form::EntitlementForm;
use super::pattern::{self, TICKETS};

/// The most secrets that one entitlement may have rotated.
const MAX_ROTATIONS: usize = 8;

/// How the ARN of a secret of this deployment begins.
const SECRET: &str = "arn:${partition}:secretsmanager:${region}:${account}:secret:";

/// What stands for the six characters that Secrets Manager adds to each name.
const SUFFIX: &str = "-??????";

/// The longest term of all classes, and of those that have their own; `None` only where a finding said why.
pub(super) fn terms(
    file: &str,
    form: &EntitlementForm,
    lanes: &BTreeMap<IdentityClass, Lane>,
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
        let most = lanes.get(&class).map_or_else(|| Lane::built_in(class), |lane| *lane).max_term;
        if term > most {
            let (class, most) = (class.as_str(), most.as_seconds());
            let message = format!(
                "`max_term_s` of `{class}` is {seconds}, but nobody of that class has anything for more than {most} seconds; write at most that"
            );
            findings.place(file, place, message);
        }
        of_classes.insert(class, term);
    }
    Some((default?, of_classes))
}

/// What a request says about a ticket.
pub(super) fn ticket(file: &str, form: &EntitlementForm, findings: &mut Findings) -> TicketRule {
    let Some(ticket) = &form.ticket else { return TicketRule::default() };
    let pattern = ticket.value.pattern.as_ref();
    if let Some((pattern, problem)) = pattern.and_then(|p| Some((p, pattern::problem(&p.value, &TICKETS)?))) {
        findings.at(file, pattern, problem);
    }
    TicketRule { required: ticket.value.required, pattern: pattern.map(|pattern| pattern.value.clone()) }
}

/// What a request says about why it is made.
pub(super) fn justification(file: &str, form: &EntitlementForm, findings: &mut Findings) -> JustificationRule {
    let Some(rule) = form.justification.as_ref().map(|rule| &rule.value) else {
        return JustificationRule::default();
    };
    let most = u32::try_from(Justification::MAX).unwrap_or(u32::MAX);
    if let Some(length) = &rule.min_length {
        if rule.need.value == Need::None {
            let message =
                "`min_length` is said of a `justification` that nobody may give; drop it, or write another `need`";
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
        // Variables are looked at where those of statements are.
        let name = secret.value.strip_prefix(SECRET).map(|name| name.strip_suffix(SUFFIX).unwrap_or(name));
        if name.is_none_or(|name| name.is_empty() || name.contains(['*', '?'])) {
            let message = format!(
                "`{}` names no one secret; it must be `{SECRET}` with the secret's name, whose six last characters may be `{SUFFIX}` and which holds no other wildcard",
                secret.value
            );
            findings.at(file, secret, message);
        }
        if !known.insert(&secret.value) {
            findings.at(file, secret, format!("`{}` stands twice in `rotate`", secret.value));
        }
        if n == MAX_ROTATIONS {
            findings.at(
                file,
                rotation,
                format!("`rotate` lists more than {MAX_ROTATIONS} secrets; it may list that many"),
            );
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
