//! Policies: validated strictly against the schema, named by their `@id`, and grouped by the entitlement they concern.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::bundle::Rules;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint, Schema, ValidationMode, Validator};

use super::finding::{Findings, chain};
use super::forms::Forms;
use super::sources::Sources;
use crate::bundle::schema;
use crate::entities::mentions;

/// The names that policies may mention.
struct Known {
    identities: BTreeSet<String>,
    teams: BTreeSet<String>,
    entitlements: BTreeSet<String>,
}

/// Compiles all policy files. The key is the id of the single entitlement that the policies concern, or `None` for the
/// general ones.
pub(super) fn compile(
    sources: &Sources,
    forms: &Forms,
    entitlements: &BTreeMap<EntitlementId, Entitlement>,
    findings: &mut Findings,
) -> BTreeMap<Option<EntitlementId>, Rules> {
    let schema = match schema() {
        Ok(schema) => schema,
        Err(error) => {
            findings.whole("policies", chain(&error));
            return BTreeMap::new();
        }
    };
    let known = Known::of(forms);
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    // Sorted by `@id`, so that neither the names of files nor the order of policies change the bundle.
    let mut parts: BTreeMap<Option<EntitlementId>, BTreeMap<String, Policy>> = BTreeMap::new();
    for (file, text) in sources.folder("policies") {
        let mut in_file = PolicySet::new();
        for (policy, offset) in in_order(file, text, findings) {
            let Some(id) = id_of(file, text, &policy, offset, findings) else { continue };
            let policy = policy.new_id(PolicyId::new(&id));
            if let Some(other) = first.insert(id.clone(), file.to_owned()) {
                let message = format!("two policies have the `@id` `{id}`; the other is in `{other}`; rename one");
                findings.offset(file, text, offset, message);
                continue;
            }
            check_names(file, text, &policy, offset, &known, findings);
            parts.entry(about(&policy)).or_default().insert(id, policy.clone());
            // This cannot fail: duplicates were refused above.
            let _ = in_file.add(policy);
        }
        validate(file, text, &in_file, schema, findings);
    }
    let rules = |(about, policies): (Option<EntitlementId>, BTreeMap<String, Policy>)| {
        let text = |policy: &Policy| policy.to_cedar().unwrap_or_default().trim().to_owned() + "\n";
        let mentions = mentions(policies.values(), about.as_ref(), entitlements);
        (about, Rules { policies: policies.values().map(text).collect(), mentions })
    };
    parts.into_iter().map(rules).collect()
}

/// The start of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The file, relative to the catalogue.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// The start of each policy of a catalogue that compiles, by `@id`.
#[must_use]
pub fn positions(sources: &Sources) -> BTreeMap<String, SourcePosition> {
    let mut all = BTreeMap::new();
    for (file, text) in sources.folder("policies") {
        for (policy, offset) in in_order(file, text, &mut Findings::default()) {
            let Some(id) = policy.annotation("id") else { continue };
            let n_before = text.get(..offset).unwrap_or_default().matches('\n').count();
            let line = u64::try_from(n_before).unwrap_or(u64::MAX).saturating_add(1);
            all.insert(id.to_owned(), SourcePosition { file: file.to_owned(), line });
        }
    }
    all
}

impl Known {
    fn of(forms: &Forms) -> Self {
        let identities = || forms.identities.iter().map(|in_file| &in_file.form);
        let entitlements = forms.entitlements.iter().map(|in_file| in_file.form.id.value.to_string());
        Self {
            identities: identities().map(|form| form.id.value.to_string()).collect(),
            teams: identities().flat_map(|form| &form.teams).map(ToString::to_string).collect(),
            entitlements: entitlements.collect(),
        }
    }

    /// The problem with naming `uid` in a policy, if any.
    fn problem(&self, uid: &EntityUid) -> Option<String> {
        let (kind, name) = (uid.type_name().to_string(), uid.id().unescaped());
        let (names, hint) = match kind.as_str() {
            "Brevet::Identity" => (&self.identities, "identities are in `identities`"),
            "Brevet::Team" => (&self.teams, "a team exists once an identity lists it"),
            "Brevet::Entitlement" => (&self.entitlements, "entitlements are in `entitlements`"),
            "Brevet::Grant" => return Some("a policy cannot name a grant; name its entitlement".to_owned()),
            "Brevet::Scope" => return Some("a policy cannot name a scope; compare its `kind` and `name`".to_owned()),
            _ => return None, // actions, and types that validation refuses
        };
        (!names.contains(name)).then(|| format!("`{uid}` is not in the catalogue; {hint}"))
    }
}

/// The deepest nesting of brackets. Cedar's parser recovers from each misplaced bracket, in a time that grows with the
/// square of their number: 16 000 of them take minutes.
const MAX_DEPTH: usize = 64;

/// The offset where brackets nest deeper than [`MAX_DEPTH`], if any. Strings and comments do not count.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut comment, mut before) = (0_usize, false, false, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '\n' => comment = false,
            _ if comment => {}
            '"' if !(quoted && before == '\\') => quoted = !quoted,
            _ if quoted => {}
            '/' if before == '/' => comment = true,
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(at);
        }
        // An escaped backslash does not escape the next character.
        before = if quoted && before == '\\' && c == '\\' { ' ' } else { c };
    }
    None
}

/// The policies of a file in the order of its text, each with the offset of its start.
fn in_order(file: &str, text: &str, findings: &mut Findings) -> Vec<(Policy, usize)> {
    if let Some(offset) = too_deep(text) {
        let message = format!("brackets nest deeper than {MAX_DEPTH} here; split the condition into several policies");
        findings.offset(file, text, offset, message);
        return Vec::new();
    }
    let parsed: PolicySet = match text.parse() {
        Ok(parsed) => parsed,
        Err(errors) => {
            for error in errors.iter() {
                detailed(file, text, &DetailedError::from(error), "this is not valid Cedar", findings);
            }
            return Vec::new();
        }
    };
    if let Some(template) = parsed.templates().next() {
        let start = text.find(&template.to_cedar()).unwrap_or(0);
        findings.offset(file, text, start, "this is a template; write a policy without `?principal` and `?resource`");
    }
    // Cedar numbers policies `policy0`, `policy1` … in the order of the text.
    let number = |policy: &Policy| -> Option<usize> { policy.id().to_string().strip_prefix("policy")?.parse().ok() };
    let mut policies: Vec<Policy> = parsed.policies().cloned().collect();
    policies.sort_by_key(number);
    let mut from = 0;
    let mut placed = Vec::new();
    for policy in policies {
        let own = policy.to_cedar().unwrap_or_default();
        let at = text.get(from..).and_then(|rest| rest.find(&own)).unwrap_or(0);
        let start = from.saturating_add(at);
        from = start.saturating_add(own.len());
        placed.push((policy, start));
    }
    placed
}

fn id_of(file: &str, text: &str, policy: &Policy, offset: usize, findings: &mut Findings) -> Option<String> {
    let Some(id) = policy.annotation("id") else {
        findings.offset(
            file,
            text,
            offset,
            "this policy has no `@id`, so no decision could name it; write `@id(\"what-it-says\")` above it",
        );
        return None;
    };
    let plain = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain || !(1..=64).contains(&id.len()) {
        findings.offset(file, text, offset, format!("`@id` `{id}` must be 1 to 64 of `a-z`, `0-9`, `-`"));
        return None;
    }
    Some(id.to_owned())
}

fn check_names(file: &str, text: &str, policy: &Policy, offset: usize, known: &Known, findings: &mut Findings) {
    for uid in policy.entity_literals() {
        if let Some(problem) = known.problem(&uid) {
            let own = text.get(offset..).unwrap_or("");
            let at = own.find(&uid.to_string()).unwrap_or(0);
            findings.offset(file, text, offset.saturating_add(at), problem);
        }
    }
}

/// The single entitlement that a policy concerns by its scope, if there is one.
fn about(policy: &Policy) -> Option<EntitlementId> {
    if let ResourceConstraint::Eq(uid) = policy.resource_constraint()
        && uid.type_name().to_string() == "Brevet::Entitlement"
        && let Ok(id) = uid.id().unescaped().parse::<EntitlementId>()
    {
        return Some(id);
    }
    None
}

fn validate(file: &str, text: &str, policies: &PolicySet, schema: &Schema, findings: &mut Findings) {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    for error in result.validation_errors() {
        detailed(file, text, &DetailedError::from(error), "policy does not fit the schema", findings);
    }
    if !result.validation_passed() {
        return; // warnings often follow from an error
    }
    // Warnings, such as a policy that can never apply or names that look alike, are always mistakes.
    for warning in result.validation_warnings() {
        detailed(file, text, &DetailedError::from(warning), "policy looks wrong", findings);
    }
}

fn detailed(file: &str, text: &str, error: &DetailedError, what: &str, findings: &mut Findings) {
    let offset = error.source_locations.first().map_or(0, |label| label.loc.start);
    let mut message = format!("{what}: {}", error.message.replace('\n', " "));
    if let Some(help) = &error.help {
        message.push_str("; ");
        message.push_str(&help.replace('\n', " "));
    }
    findings.offset(file, text, offset, message);
}
