//! The escalation lint: compares the actions of an entitlement, wildcards included, with the list in `escalation.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::entitlement::Outliving;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::entitlements::action_problem;
use super::finding::Findings;
use super::form::{EntitlementForm, StatementForm};

const LIST: &str = include_str!("escalation.yaml");

/// The list of `escalation.yaml`, which documents its content and sources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    version: String,
    sources: BTreeMap<String, String>,
    escalations: Vec<Escalation>,
    policy_writing: PolicyWriting,
    outliving: Vec<Outlives>,
}

/// An escalation path, which needs all of these actions together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Escalation {
    id: String,
    actions: Vec<String>,
}

/// Actions that change permissions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyWriting {
    source: String,
    actions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outlives {
    actions: Vec<String>,
    why: String,
}

/// The findings of each action, by its line and column.
type Reached<'a> = BTreeMap<(u64, u64), (&'a Spanned<String>, BTreeSet<String>)>;

impl List {
    /// The list built into this compiler.
    pub(super) fn built_in() -> Result<Self, String> {
        let list: Self =
            serde_saphyr::from_str(LIST).map_err(|error| format!("the list of escalations cannot be read: {error}"))?;
        let sources = list.escalations.iter().map(|path| path.id.split('/').next().unwrap_or_default());
        let mut sources = sources.chain([list.policy_writing.source.as_str()]);
        if let Some(id) = sources.find(|id| !list.sources.contains_key(*id)) {
            return Err(format!("the list of escalations names source `{id}`, which is not in its `sources`"));
        }
        drop(sources);
        Ok(list)
    }

    /// Reports actions that allow escalation. For break-glass this is a warning that names the reviewer.
    pub(super) fn check(&self, file: &str, form: &EntitlementForm, findings: &mut Findings, warnings: &mut Findings) {
        let version = &self.version;
        for (place, paths) in self.escalations(form).into_values().chain(pass_role(form).into_values()) {
            let (action, paths) = (&place.value, paths.into_iter().collect::<Vec<_>>().join("; "));
            let what = format!("action `{action}` allows privilege escalation: {paths} (list of {version})");
            match &form.break_glass {
                None => findings.at(
                    file,
                    place,
                    format!("{what}; remove it, name narrower actions, or mark the entitlement `break_glass: {{reviewer: …}}`"),
                ),
                Some(glass) => warnings.at(file, place, format!("{what}; `{}` reviews its use", glass.reviewer.value)),
            }
        }
        for (place, Outliving { action, why }) in self.outlived(form) {
            let reached = if place.value.eq_ignore_ascii_case(&action) {
                format!("action `{action}`")
            } else {
                format!("action `{}` reaches `{action}`, which", place.value)
            };
            warnings.at(file, place, format!("{reached} has an effect that outlives the grant: {why}"));
        }
    }

    /// The allowed actions whose effect outlives the grant, each action once.
    pub(super) fn outliving(&self, form: &EntitlementForm) -> Vec<Outliving> {
        let all: BTreeSet<_> = self.outlived(form).into_iter().map(|(_, outliving)| outliving).collect();
        all.into_iter().collect()
    }

    fn outlived<'a>(&self, form: &'a EntitlementForm) -> Vec<(&'a Spanned<String>, Outliving)> {
        let mut all = Vec::new();
        for allowed in allowed(form) {
            for Outlives { actions, why } in &self.outliving {
                for action in actions.iter().filter(|action| reaches(&allowed.value, action)) {
                    all.push((allowed, Outliving { action: action.clone(), why: why.clone() }));
                }
            }
        }
        all
    }

    fn escalations<'a>(&self, form: &'a EntitlementForm) -> Reached<'a> {
        let allowed: Vec<_> = allowed(form).collect();
        let mut reached = Reached::new();
        for Escalation { id, actions } in &self.escalations {
            let by = |action: &String| allowed.iter().copied().find(|allowed| reaches(&allowed.value, action));
            let Some(by) = actions.iter().map(by).collect::<Option<Vec<_>>>() else { continue };
            // The finding is placed at the last action, since the first one may be `iam:PassRole`.
            if let Some(last) = by.last() {
                note(&mut reached, last, format!("`{}` is path {id}", actions.join("` with `")));
            }
        }
        for action in &self.policy_writing.actions {
            for by in allowed.iter().copied().filter(|allowed| reaches(&allowed.value, action)) {
                let source = &self.policy_writing.source;
                note(&mut reached, by, format!("`{action}` changes permissions ({source})"));
            }
        }
        reached
    }
}

fn note<'a>(reached: &mut Reached<'a>, by: &'a Spanned<String>, path: String) {
    let place = (by.referenced.line(), by.referenced.column());
    reached.entry(place).or_insert_with(|| (by, BTreeSet::new())).1.insert(path);
}

/// Reports `iam:PassRole` unless it is limited to named services and to roles by their whole names.
fn pass_role(form: &EntitlementForm) -> Reached<'_> {
    let mut reached = Reached::new();
    let narrow = |statement: &StatementForm| {
        let named = |key: &String| key.eq_ignore_ascii_case("iam:PassedToService");
        // `StringEqualsIfExists` and `ForAllValues:StringEquals` also match when the key is absent, so they do not
        // count.
        let equals = |operator: &String| operator.eq_ignore_ascii_case("StringEquals");
        statement.conditions.iter().any(|(operator, keys)| equals(operator) && keys.keys().any(named))
            && statement.resources.value.iter().all(|resource| !resource.value.contains(['*', '?']))
    };
    for statement in form.statements.value.iter().filter(|statement| !narrow(statement)) {
        for action in statement.actions.value.iter().filter(|action| action_problem(&action.value, form).is_none()) {
            if reaches(&action.value, "iam:PassRole") {
                let path =
                    "`iam:PassRole` without `StringEquals` on `iam:PassedToService` and roles by their whole names";
                note(&mut reached, action, path.to_owned());
            }
        }
    }
    reached
}

/// The actions of all statements, except those that are refused for another reason.
fn allowed(form: &EntitlementForm) -> impl Iterator<Item = &Spanned<String>> {
    let actions = form.statements.value.iter().flat_map(|statement| &statement.actions.value);
    actions.filter(|action| action_problem(&action.value, form).is_none())
}

/// Whether `pattern`, with `*` and `?`, matches `action`. IAM ignores the case of actions.
fn reaches(pattern: &str, action: &str) -> bool {
    fn from(pattern: &[u8], action: &[u8]) -> bool {
        match (pattern.split_first(), action.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                from(rest, action) || action.split_first().is_some_and(|(_, tail)| from(pattern, tail))
            }
            (Some((b'?', rest)), Some((_, tail))) => from(rest, tail),
            (Some((p, rest)), Some((a, tail))) => p.eq_ignore_ascii_case(a) && from(rest, tail),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    // Merging consecutive stars keeps the matching fast.
    let mut pattern = pattern.as_bytes().to_vec();
    pattern.dedup_by(|a, b| *a == b'*' && *b == b'*');
    from(&pattern, action.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escalation_list_names_valid_actions_and_known_sources() {
        let list = List::built_in().unwrap();
        assert!(list.escalations.len() >= 55, "{}", list.escalations.len());
        let ids: BTreeSet<_> = list.escalations.iter().map(|one| &one.id).collect();
        assert_eq!(ids.len(), list.escalations.len());
        let mut sources: BTreeSet<_> = ids.iter().map(|id| id.split_once('/').unwrap().0).collect();
        sources.insert(&list.policy_writing.source);
        assert_eq!(sources, list.sources.keys().map(String::as_str).collect());
        let escalations = list.escalations.iter().flat_map(|one| &one.actions);
        let outliving = list.outliving.iter().flat_map(|one| &one.actions);
        for action in escalations.chain(outliving).chain(&list.policy_writing.actions) {
            let (service, name) = action.split_once(':').unwrap();
            assert!(service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{action}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()) && !name.is_empty(), "{action}");
        }
    }

    #[test]
    fn action_pattern_matches_as_in_iam() {
        for (pattern, action, expected) in [
            ("lambda:UpdateFunctionCode", "lambda:UpdateFunctionCode", true),
            ("lambda:updatefunctioncode", "lambda:UpdateFunctionCode", true),
            ("lambda:Update*", "lambda:UpdateFunctionCode", true),
            ("lambda:*Code", "lambda:UpdateFunctionCode", true),
            ("lambda:?pdate*C?de", "lambda:UpdateFunctionCode", true),
            ("*", "lambda:UpdateFunctionCode", true),
            ("lambda:Update", "lambda:UpdateFunctionCode", false),
            ("lambda:UpdateFunctionCode?", "lambda:UpdateFunctionCode", false),
            ("s3:*", "lambda:UpdateFunctionCode", false),
            ("lambda:*****************************x", "lambda:UpdateFunctionCode", false),
        ] {
            assert_eq!(reaches(pattern, action), expected, "{pattern}");
        }
    }
}
