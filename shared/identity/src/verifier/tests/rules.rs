//! The identity that a valid token proves.

use super::*;

/// The pipeline's rule with `changes` to its members.
fn rule_with(changes: &Value) -> Value {
    let mut all = rule();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn ask_among(identities: &[(&str, Value)], claims: &Value) -> Result<Caller, ProofError> {
    let index = index(inline_issuer(&jwks([&*ES256])), identities);
    verify_in(&index, &ES256.token(claims), Ask)
}

fn ask_with_rule(rule: Value, claims: &Value) -> Result<Caller, ProofError> {
    ask_among(&[("one", json!([rule]))], claims)
}

#[test]
fn a_valid_token_without_a_registered_identity_is_refused() {
    for changes in [
        json!({"environment": "staging"}),
        json!({"environment": null}),
        json!({"environment": ["production"]}),
        json!({"repository_id": 4712}),
        json!({"repository_id": 4711.0}),
    ] {
        refused(ask(&claims_with(&changes)), "identity_unregistered", "register one with an owner");
    }
    refused(ask_among(&[], &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_rule_of_another_issuer_is_not_met() {
    let rule = rule_with(&json!({"issuer": "other"}));
    refused(ask_with_rule(rule, &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_rule_without_claims_is_never_met() {
    let rule = rule_with(&json!({"claims": {}}));
    refused(ask_with_rule(rule, &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_token_that_matches_two_identities_proves_neither() {
    let wide = json!([rule_with(&json!({"claims": {"environment": "production"}}))]);
    let both = [("shop", json!([rule()])), ("wide", wide.clone())];
    refused(ask_among(&both, &claims()), "identity_ambiguous", "`shop`, `wide`");
    assert!(ask_among(&[("wide", wide)], &claims()).is_ok());
}

#[test]
fn numbers_and_booleans_are_compared_by_their_json_text() {
    let rule = rule_with(&json!({"claims": {"protected": "true", "big": "18446744073709551615"}}));
    let claims = claims_with(&json!({"protected": true, "big": u64::MAX}));
    assert!(ask_with_rule(rule.clone(), &claims).is_ok());
    let other = claims_with(&json!({"protected": false, "big": u64::MAX}));
    refused(ask_with_rule(rule, &other), "identity_unregistered", "");
}

#[test]
fn numbers_too_large_to_distinguish_match_no_rule() {
    // The first two texts read as the same floating-point number, whose JSON text is the third.
    let float = json!(18_446_744_073_709_551_617.0_f64).to_string();
    let mut claims = claims().to_string();
    claims.insert_str(1, "\"big\":18446744073709551617,");
    let token = ES256.sign(&ES256.header().to_string(), &claims);
    for text in ["18446744073709551617", "18446744073709551618", &float] {
        let rule = rule_with(&json!({"claims": {"big": text}}));
        let index = index(inline_issuer(&jwks([&*ES256])), &[("one", json!([rule]))]);
        refused(verify_in(&index, &token, Ask), "identity_unregistered", "");
    }
}

#[test]
fn nested_claims_are_named_by_pointer_and_request_tags_are_never_trusted() {
    let claims = claims_with(&json!({"https://sts.amazonaws.com/": {
        "aws_account": "111122223333",
        "request_tags": {"team": "payments", "task": "T-1"},
    }}));
    let at = |path: &str, value: &str| rule_with(&json!({"claims": {path: value}}));
    let account = at("/https:~1~1sts.amazonaws.com~1/aws_account", "111122223333");
    assert!(ask_with_rule(account.clone(), &claims).is_ok());
    let tag = at("/https:~1~1sts.amazonaws.com~1/request_tags/team", "payments");
    refused(ask_with_rule(tag, &claims), "identity_unregistered", "");

    let mut task_from_tag = account;
    task_from_tag["task"] = json!("/https:~1~1sts.amazonaws.com~1/request_tags/task");
    refused(ask_with_rule(task_from_tag, &claims), "task_missing", "request_tags/task");
}

#[test]
fn a_task_that_the_rule_names_must_be_present_and_valid() {
    refused(ask(&claims_with(&json!({"run_id": null}))), "task_missing", "requires the claim `run_id`");
    refused(ask(&claims_with(&json!({"run_id": {"id": 1}}))), "task_missing", "`run_id`");
    for invalid in [json!(""), json!("a*b"), json!("x".repeat(257)), json!("é")] {
        let error = ask(&claims_with(&json!({"run_id": invalid}))).unwrap_err();
        assert_eq!(error.code(), "invalid_task");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("1 to 256 characters"), "{source}");
    }
    let numbered = ask(&claims_with(&json!({"run_id": 17}))).unwrap();
    assert_eq!(numbered.task.unwrap().as_str(), "17");
}

#[test]
fn an_identity_without_tasks_ignores_the_tokens_task() {
    let rule = json!({"issuer": "example", "claims": {"environment": "production"}});
    assert_eq!(ask_with_rule(rule, &claims()).unwrap().task, None);
}

#[test]
fn two_rules_of_one_identity_may_match_if_they_agree_on_the_task() {
    let wide = |task: Value| json!({"issuer": "example", "claims": {"environment": "production"}, "task": task});
    let agree = [("one", json!([rule(), wide(json!("run_id"))]))];
    assert_eq!(ask_among(&agree, &claims()).unwrap().task.unwrap().as_str(), "9001");
    for task in [json!("sub"), Value::Null] {
        let differ = [("one", json!([rule(), wide(task)]))];
        refused(ask_among(&differ, &claims()), "task_ambiguous", "must agree");
    }
}
