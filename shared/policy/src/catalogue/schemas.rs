//! Compares the JSON Schemas in `infra/schemas` with the compiler: key by key, and on every broken catalogue.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::cases::{CaseForm, CasesForm};
use super::form::{
    ApprovalForm, ApprovalsForm, BreakGlassForm, ClassForm, ClassesForm, ConflictForm, EntitlementForm, IdentityForm,
    IssuerForm, IssuersForm, JustificationForm, MfaForm, ParameterForm, ProofForm, RotationForm, ScheduleForm,
    StatementForm, StepForm, TermsForm, TicketForm, WhenForm,
};
use crate::tests::{assert_golden, broken::slips, example};

const KINDS: [(&str, &str); 7] = [
    ("entitlements/", "entitlement"),
    ("identities/", "identity"),
    ("issuers.yaml", "issuers"),
    ("classes.yaml", "classes"),
    ("schedules/", "schedule"),
    ("approvals.yaml", "approvals"),
    ("cases/", "cases"),
];

fn schema(name: &str) -> Value {
    let file = format!("../../infra/schemas/{name}.schema.json");
    let text = std::fs::read_to_string(Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The schema of a catalogue file, if files of its kind have one.
fn schema_of(file: &str) -> Option<Value> {
    KINDS.iter().find(|(start, _)| file.starts_with(start)).map(|(_, name)| schema(name))
}

/// The violations of `schema` by `value`. It supports the keywords that the schemas use, and panics at any other.
fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(keywords) = schema else {
        return if schema == &json!(false) { vec![format!("{at} must not be there")] } else { Vec::new() };
    };
    let valid = |schema: &Value| violations(schema, value, at).is_empty();
    let mut all = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            all.push(format!("{at}: {what}"));
        }
    };
    let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("{value} is not a number"));
    let length = |n: usize| i64::try_from(n).unwrap();
    let mut inner = Vec::new();
    for (keyword, expected) in keywords {
        let (text, list, object) = (value.as_str(), value.as_array(), value.as_object());
        match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "then" | "else" => {}
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "string" => value.is_string(),
                    "integer" => value.is_i64(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                must(expected.as_array().map_or_else(|| is(expected), |any| any.iter().any(is)), "type");
            }
            "enum" => must(expected.as_array().unwrap().contains(value), "enum"),
            "pattern" => {
                let pattern = regex_lite::Regex::new(expected.as_str().unwrap()).unwrap();
                must(text.is_none_or(|text| pattern.is_match(text)), "pattern");
            }
            "minLength" => must(text.is_none_or(|text| length(text.chars().count()) >= number(expected)), "minLength"),
            "minimum" => must(value.as_i64().is_none_or(|n| n >= number(expected)), "minimum"),
            "maximum" => must(value.as_i64().is_none_or(|n| n <= number(expected)), "maximum"),
            "minItems" => must(list.is_none_or(|list| length(list.len()) >= number(expected)), "minItems"),
            "maxItems" => must(list.is_none_or(|list| length(list.len()) <= number(expected)), "maxItems"),
            "uniqueItems" => must(
                list.is_none_or(|list| list.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() == list.len()),
                "uniqueItems",
            ),
            "minProperties" => must(object.is_none_or(|o| length(o.len()) >= number(expected)), "minProperties"),
            "maxProperties" => must(object.is_none_or(|o| length(o.len()) <= number(expected)), "maxProperties"),
            "required" => {
                for key in expected.as_array().unwrap() {
                    must(object.is_none_or(|o| o.contains_key(key.as_str().unwrap())), &format!("required {key}"));
                }
            }
            "items" => {
                let items = list.into_iter().flatten().enumerate();
                inner.extend(items.flat_map(|(n, item)| violations(expected, item, &format!("{at}/{n}"))));
            }
            "properties" => {
                for (key, value) in object.into_iter().flatten() {
                    let of = expected.get(key).unwrap_or(&Value::Bool(true));
                    inner.extend(violations(of, value, &format!("{at}/{key}")));
                }
            }
            "additionalProperties" => {
                let named = keywords.get("properties").and_then(Value::as_object);
                for (key, value) in object.into_iter().flatten() {
                    if named.is_none_or(|named| !named.contains_key(key)) {
                        inner.extend(violations(expected, value, &format!("{at}/{key}")));
                    }
                }
            }
            "propertyNames" => {
                let names = object.into_iter().flatten().map(|(key, _)| Value::String(key.clone()));
                inner.extend(names.flat_map(|name| violations(expected, &name, at)));
            }
            "allOf" => inner.extend(expected.as_array().unwrap().iter().flat_map(|one| violations(one, value, at))),
            "if" => {
                let branch = if valid(expected) { "then" } else { "else" };
                inner.extend(keywords.get(branch).into_iter().flat_map(|one| violations(one, value, at)));
            }
            other => panic!("keyword `{other}` at {at}"),
        }
    }
    all.extend(inner);
    all
}

/// The keys that the compiler reads into `T`, taken from its error on an unknown key.
fn keys<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let error = serde_saphyr::from_str::<T>("{zz-unknown: 1}").unwrap_err().without_snippet().to_string();
    let listed = error.split(", expected ").nth(1).unwrap_or_else(|| panic!("{error}"));
    let listed = listed.split(" at line ").next().unwrap().trim_start_matches("one of ");
    listed.split([',', ' ']).map(|key| key.trim_matches('`').to_owned()).filter(|key| !key.is_empty()).collect()
}

/// Compares the keys and the required keys of the schema with those of `T`; `sample` has all keys.
fn same_keys<T: DeserializeOwned + std::fmt::Debug>(schema: &Value, sample: &Value) {
    let object = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let known = keys::<T>();
    assert_eq!(object(&schema["properties"]), known);
    assert_eq!(object(sample), known, "the sample has all keys");
    assert_eq!(schema["additionalProperties"], json!(false), "{known:?}");
    let read = |map: &Map<String, Value>| serde_saphyr::from_str::<T>(&Value::Object(map.clone()).to_string());
    let whole = sample.as_object().unwrap();
    read(whole).unwrap();
    for key in &known {
        let mut without = whole.clone();
        without.remove(key);
        let required = schema["required"].as_array().unwrap().contains(&json!(key));
        assert_eq!(read(&without).is_err(), required, "{key}");
    }
}

#[test]
fn schemas_list_the_keys_that_the_compiler_reads_and_requires() {
    let entitlement = schema("entitlement");
    let of = &entitlement["properties"];
    let parameter = json!({
        "type": "text", "pattern": "a", "max_length": 1, "min": 0, "max": "1", "values": ["a"],
    });
    let terms = json!({ "default": 60, "human": 60, "pipeline": 60, "workload": 60, "agent": 60 });
    let ticket = json!({ "required": true, "pattern": "a" });
    let justification = json!({ "need": "required", "min_length": 1 });
    let rotation = json!({ "secret": "arn:x", "times": 1 });
    let statement = json!({ "actions": ["s3:GetObject"], "resources": ["*"], "conditions": {} });
    let when = json!({ "classes": ["agent"], "risks": ["low"], "environments": ["ab"], "longer_than_s": 60 });
    let step = json!({ "name": "ab", "when": when, "count": 1, "of": ["ab"], "mfa": true, "auth_within_s": 60 });
    let approval = json!({ "count": 1, "within_s": 60, "steps": [step] });
    let glass = json!({ "reviewer": "omar", "heartbeat_max_age_s": 60, "while_overdue": true });
    let conflict = json!({ "with": "cd", "after_s": 60 });
    same_keys::<ParameterForm>(&of["parameters"]["additionalProperties"], &parameter);
    same_keys::<TermsForm>(&of["max_term_s"], &terms);
    same_keys::<TicketForm>(&of["ticket"], &ticket);
    same_keys::<JustificationForm>(&of["justification"], &justification);
    same_keys::<RotationForm>(&of["rotate"]["items"], &rotation);
    same_keys::<StatementForm>(&of["statements"]["items"], &statement);
    same_keys::<ApprovalForm>(&of["approval"], &approval);
    for steps in [of["approval"]["properties"]["steps"].clone(), schema("approvals")["properties"]["steps"].clone()] {
        same_keys::<StepForm>(&steps["items"], &step);
        same_keys::<WhenForm>(&steps["items"]["properties"]["when"], &when);
    }
    same_keys::<ApprovalsForm>(&schema("approvals"), &json!({ "steps": [step] }));
    same_keys::<BreakGlassForm>(&of["break_glass"], &glass);
    same_keys::<ConflictForm>(&of["conflicts"]["items"], &conflict);
    let sample = json!({
        "id": "ab", "owner": "ab", "description": "x", "delivery": "session", "target": "ab", "credential_s": 900,
        "iam_allowed": false, "principal": "ab", "holder": "ab", "policy": "ab", "max_term_s": 60,
        "risk": "low", "environment": "production", "start_within_s": 60, "parameters": { "a": parameter }, "statements": [statement], "approval": approval,
        "ticket": ticket, "justification": justification, "rotate": [rotation], "conflicts": [conflict], "break_glass": glass, "canary": true,
    });
    same_keys::<EntitlementForm>(&entitlement, &sample);

    let identity = schema("identity");
    let proof = json!({ "issuer": "ab", "claims": { "sub": "x" }, "task": "x" });
    same_keys::<ProofForm>(&identity["properties"]["proofs"]["items"], &proof);
    let sample = json!({ "id": "ab", "class": "agent", "owner": "ab", "teams": ["ab"], "proofs": [proof] });
    same_keys::<IdentityForm>(&identity, &sample);

    let issuers = schema("issuers");
    let sample = json!({
        "id": "ab", "issuer": "x", "algorithms": ["RS256"], "jwks_uri": "https://x", "jwks": { "keys": [] },
        "mfa": { "amr": ["mfa"], "acr": ["x"] },
    });
    same_keys::<MfaForm>(&issuers["properties"]["issuers"]["items"]["properties"]["mfa"], &sample["mfa"]);
    same_keys::<IssuerForm>(&issuers["properties"]["issuers"]["items"], &sample);
    same_keys::<IssuersForm>(&issuers, &json!({ "issuers": [sample] }));

    let classes = schema("classes");
    let limits = json!({ "max_term_s": 60, "max_live": 1, "max_renewals": 1, "people_always": true });
    for class in ["human", "pipeline", "workload", "agent"] {
        same_keys::<ClassForm>(&classes["properties"]["classes"]["properties"][class], &limits);
    }
    same_keys::<ClassesForm>(&classes, &json!({ "classes": { "agent": limits } }));

    let schedule = schema("schedule");
    let sample = json!({
        "id": "ab", "owner": "ab", "description": "x", "identity": "ab", "entitlement": "ab", "parameters": { "a": "b" },
        "term_s": 60, "ticket": "x", "justification": "x", "cron": "0 0 * * *", "window_s": 120,
    });
    same_keys::<ScheduleForm>(&schedule, &sample);

    let cases = schema("cases");
    let sample = json!({
        "name": "x", "identity": "ab", "entitlement": "ab", "parameters": { "a": "b" }, "term_s": 60, "ticket": "x", "justification": "x",
        "task": "x", "on_behalf_of": "ab", "renewal": true, "at": "2026-01-07T12:00:00Z", "expect": "allow", "approvers": ["ab"], "steps": ["ab"], "determining": ["x"],
        "says": "x",
    });
    same_keys::<CaseForm>(&cases["properties"]["cases"]["items"], &sample);
    same_keys::<CasesForm>(&cases, &json!({ "cases": [sample] }));
}

#[test]
fn every_file_of_the_example_fits_its_schema_and_names_it() {
    let mut n_files = 0;
    for (file, text) in &example().0 {
        let Some((_, name)) = KINDS.iter().find(|(start, _)| file.starts_with(start)) else { continue };
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(violations(&schema(name), &value, ""), [""; 0], "{file}");
        let up = if file.contains('/') { "../../schemas" } else { "../schemas" };
        let line = format!("# yaml-language-server: $schema={up}/{name}.schema.json\n");
        assert!(text.starts_with(&line), "{file} must start with `{line}`");
        n_files += 1;
    }
    assert!(n_files >= 17, "{n_files}");
}

#[test]
fn schema_reports_each_mistake_that_shows_in_one_file() {
    let mut table = String::new();
    for slip in slips() {
        let mut sources = example();
        slip.apply(&mut sources);
        let file = slip.renamed.as_ref().unwrap_or(&slip.file);
        let Some(schema) = schema_of(file) else { continue };
        let broken = match serde_saphyr::from_str::<Value>(&sources.0[file]) {
            Ok(value) => violations(&schema, &value, ""),
            Err(_) => vec!["not YAML".to_owned()],
        };
        let broken = if broken.is_empty() { "-".to_owned() } else { broken.join("; ") };
        writeln!(table, "{} → {broken}", slip.name).unwrap();
    }
    assert_golden(&table, include_str!("../tests/schemas.golden"), "schemas.golden");
}
