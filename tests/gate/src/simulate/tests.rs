//! Questions as SDKs send them, and answers of the real evaluator.

use super::*;
use crate::decide::Decider;
use crate::decide::tests::modules;
use crate::xml;
use http::{HeaderMap, Method};
use serde_json::Value;

fn read(body: &str) -> Result<UnverifiedSimulation, String> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    parse(&Inbound { method: Method::POST, uri: "/".parse().unwrap(), headers: HeaderMap::new(), body }.form())
}

const ACTION: &str = "ActionNames.member.1=s3%3AGetObject";

#[test]
fn context_entries_are_read_by_their_type() {
    let entry = |n: u8, name: &str, kind: &str, values: &[&str]| {
        let start = format!("&ContextEntries.member.{n}");
        let mut text = format!("{start}.ContextKeyName={name}{start}.ContextKeyType={kind}");
        for (at, value) in values.iter().enumerate() {
            text.push_str(&format!("{start}.ContextKeyValues.member.{}={value}", at + 1));
        }
        text
    };
    let asked = read(&format!(
        "{ACTION}{}{}",
        entry(1, "aws:CurrentTime", "date", &["2026-11-22T12:00:00Z"]),
        entry(2, "aws:TagKeys", "stringList", &["a", "b"])
    ));
    let asked = asked.unwrap();
    assert_eq!(asked.resources, ["*"], "AWS's default");
    assert_eq!(asked.context["aws:CurrentTime"], Values { values: vec!["2026-11-22T12:00:00Z".into()], list: false });
    assert_eq!(asked.context["aws:TagKeys"], Values { values: vec!["a".into(), "b".into()], list: true });
    for wrong in [entry(1, "k", "text", &["a"]), entry(1, "k", "string", &["a", "b"]), entry(1, "k", "string", &[])] {
        read(&format!("{ACTION}{wrong}")).unwrap_err();
    }
}

#[test]
fn question_that_aws_would_reject_is_refused() {
    for (body, why) in [
        ("", "'actionNames' failed to satisfy constraint: Member must not be null"),
        ("ActionNames.member.1=s3", "have length between 3 and 128"),
        (&format!("{ACTION}&ResourceArns.member.1=releases"), "Invalid resource ARN: releases"),
        (&format!("{ACTION}&PolicyInputList.member.1=%7B%7D"), "does not model `PolicyInputList`"),
        (&format!("{ACTION}&CallerArn=arn"), "does not model `CallerArn`"),
    ] {
        let refused = read(body).unwrap_err();
        assert!(refused.contains(why), "{body}: {refused}");
    }
}

const NOW: &str = "2026-11-22T12:00:00Z";

fn statement(effect: &str, action: &str, resource: &str, condition: Value) -> Value {
    let mut statement = json!({ "Effect": effect, "Action": action, "Resource": resource });
    if !condition.is_null() {
        statement["Condition"] = condition;
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

fn until(at: &str) -> Value {
    json!({ "DateLessThan": { "aws:CurrentTime": at } })
}

/// Simulates `s3:GetObject` on `resource` at [`NOW`] by a principal that holds `policies` (named `p0`, `p1` …).
async fn ask(decider: &Decider, resource: &str, policies: &[Value], boundary: Option<Value>) -> Outcome {
    let identity: Vec<Value> =
        policies.iter().enumerate().map(|(n, policy)| json!({ "name": format!("p{n}"), "policy": policy })).collect();
    let asked = json!({ "simulate": {
        "principal": "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-vendor",
        "identity": identity,
        "boundary": boundary.map(|policy| json!([{ "name": "b", "policy": policy }])),
        "actions": ["s3:GetObject"],
        "resources": [resource],
        "account": "000000000000",
        "context": { "aws:CurrentTime": { "values": [NOW], "list": false } },
    } });
    let answer = decider.simulate(asked).await.unwrap();
    let Simulated::Results(outcomes) = answer else { panic!("{answer:?}") };
    assert_eq!(outcomes.len(), 1);
    outcomes[0].clone()
}

const FILE: &str = "arn:aws:s3:::releases/app/1.tgz";

#[tokio::test]
async fn decision_names_the_policies_that_determined_it() {
    let Some(modules) = modules("decision_names_the_policies_that_determined_it") else { return };
    let decider = Decider::start(&modules).unwrap();
    let get = |resource: &str| statement("Allow", "s3:Get*", resource, Value::Null);
    let all = get("arn:aws:s3:::releases/*");
    let deny = statement("Deny", "s3:*", "*", json!({ "StringEquals": { "aws:SourceVpc": "v" } }));
    let deny_all = statement("Deny", "s3:*", "arn:aws:s3:::releases/*", Value::Null);
    let ended = statement("Allow", "s3:GetObject", "*", until(NOW));
    let live = statement("Allow", "s3:GetObject", "*", until("2026-11-22T12:00:01Z"));
    let other = get("arn:aws:s3:::other/*");
    for (name, policies, boundary, decision, matched, bounded) in [
        ("nothing", vec![], None, "implicitDeny", vec![], None),
        ("a standing policy", vec![other.clone(), all.clone()], None, "allowed", vec!["p1"], None),
        ("two", vec![all.clone(), live.clone()], None, "allowed", vec!["p0", "p1"], None),
        ("a time that is over", vec![ended.clone()], None, "implicitDeny", vec![], None),
        ("a time that is not", vec![live.clone()], None, "allowed", vec!["p0"], None),
        ("a deny", vec![all.clone(), deny_all.clone()], None, "explicitDeny", vec!["p1"], None),
        ("inside the boundary", vec![all.clone()], Some(all.clone()), "allowed", vec!["p0"], Some(true)),
        ("outside", vec![all.clone()], Some(other.clone()), "implicitDeny", vec![], Some(false)),
        ("a boundary that denies", vec![all.clone()], Some(deny_all), "explicitDeny", vec!["b"], Some(false)),
        ("a boundary alone", vec![], Some(all.clone()), "implicitDeny", vec![], Some(true)),
    ] {
        let outcome = ask(&decider, FILE, &policies, boundary).await;
        assert_eq!((outcome.decision.as_str(), outcome.bounded), (decision, bounded), "{name}: {outcome:?}");
        assert_eq!(outcome.matched, matched, "{name}");
        assert_eq!(outcome.missing, Vec::<String>::new(), "{name}");
    }
    let outcome = ask(&decider, FILE, &[all, deny], None).await;
    assert_eq!((outcome.decision.as_str(), outcome.missing), ("allowed", vec!["aws:SourceVpc".to_owned()]));
}

#[tokio::test]
async fn star_in_the_resource_is_a_plain_character() {
    let Some(modules) = modules("star_in_the_resource_is_a_plain_character") else { return };
    let decider = Decider::start(&modules).unwrap();
    let all_of = |resource: &str| [statement("Allow", "s3:GetObject", resource, Value::Null)];
    for (resource, policy, decision) in [
        ("arn:aws:s3:::releases/*", "arn:aws:s3:::releases/*", "allowed"),
        ("arn:aws:s3:::releases/*", "arn:aws:s3:::releases/app/*", "implicitDeny"),
        ("arn:aws:s3:::releases/*", "*", "allowed"),
        ("*", "*", "allowed"),
        ("*", "arn:aws:s3:::releases/*", "implicitDeny"),
    ] {
        let outcome = ask(&decider, resource, &all_of(policy), None).await;
        assert_eq!((outcome.decision.as_str(), outcome.resource.as_str()), (decision, resource), "{policy}");
    }
}

#[tokio::test]
async fn unknown_actions_and_broken_policies_give_no_decision() {
    let Some(modules) = modules("unknown_actions_and_broken_policies_give_no_decision") else { return };
    let decider = Decider::start(&modules).unwrap();
    let ask = async |action: &str, effect: &str| {
        let policy = statement(effect, "*", "*", Value::Null);
        let asked = json!({ "simulate": { "principal": "arn:aws:iam::000000000000:role/r", "boundary": null, "context": {},
            "identity": [{ "name": "p", "policy": policy }], "actions": [action], "resources": ["*"], "account": "000000000000" } });
        decider.simulate(asked).await.unwrap()
    };
    for action in ["s3:GetNothing", "none:GetObject", "s3:Get*", "s3GetObject", "s3:GetObject:x"] {
        let answer = ask(action, "Allow").await;
        assert!(matches!(&answer, Simulated::Invalid(why) if why.contains(action)), "{action}: {answer:?}");
    }
    let answer = ask("s3:GetObject", "Maybe").await;
    assert!(matches!(answer, Simulated::Error(_)), "{answer:?}");
}

#[test]
fn answer_has_the_shape_of_iam_s() {
    let outcome = |decision: &str, matched: &[&str]| Outcome {
        action: "s3:GetObject".into(),
        resource: "arn:aws:s3:::a&b".into(),
        decision: decision.into(),
        matched: matched.iter().copied().map(str::to_owned).collect(),
        missing: vec!["aws:SourceVpc".into()],
        bounded: Some(false),
    };
    let text = answer(&[outcome("allowed", &["role_r_p", "read"]), outcome("implicitDeny", &[])], "gate-1");
    let root = xml::parse(&text).unwrap();
    assert_eq!(root.text_at("SimulatePrincipalPolicyResult/IsTruncated"), Some("false"));
    assert_eq!(root.text_at("ResponseMetadata/RequestId"), Some("gate-1"));
    let results = root.list_at("SimulatePrincipalPolicyResult/EvaluationResults");
    let [first, second] = results else { panic!("{results:?}") };
    assert_eq!(first.text_at("EvalResourceName"), Some("arn:aws:s3:::a&b"));
    let ids: Vec<_> = first.list_at("MatchedStatements").iter().map(|one| one.text_at("SourcePolicyId")).collect();
    assert_eq!(ids, [Some("role_r_p"), Some("read")]);
    assert_eq!(second.list_at("MatchedStatements").len(), 0);
    assert_eq!(second.text_at("PermissionsBoundaryDecisionDetail/AllowedByPermissionsBoundary"), Some("false"));
}
