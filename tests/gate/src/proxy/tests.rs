//! Whole calls over TCP, with a small upstream in this process. These tests need the evaluator: a gate with another
//! decider would be another gate.

mod attachments;
mod stand;

use super::*;
use crate::caller;
use crate::inbound::encode;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};
use stand::{As, BOOTSTRAP, Stand, WORKER, stand};

const ROLE: &str = "arn:aws:iam::000000000000:role/brevet/dev/session/worker";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/T";

fn allow(action: &Value, resource: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }] })
}

fn error(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

#[tokio::test]
async fn allowed_call_is_forwarded_unchanged_and_answered_with_the_upstream_date() {
    let Some(stand) = stand("allowed_call_is_forwarded_unchanged_and_answered_with_the_upstream_date").await else {
        return;
    };
    let answer = stand.item(WORKER, "GetItem", "GRANT#1").await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.body(), "{\"done\":true}");
    assert_eq!(answer.headers()["date"], "Sun, 22 Nov 2026 12:00:00 GMT");
    let calls = stand.behind.calls.lock().unwrap().clone();
    let [(operation, body)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(operation, "GetItem");
    // Compared as JSON: the order of keys depends on serde_json's features.
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({ "Key": { "pk": { "S": "GRANT#1" } }, "TableName": "T" }));
    let entry = &stand.entries()[0];
    assert_eq!((entry.decision, entry.upstream_status), (Decision::Allowed, Some(200)));
    assert_eq!(entry.actions[0].resource, TABLE);
    assert_eq!(entry.request_id.as_deref(), Some("req-1"));
    assert!(entry.forwarded && entry.answered);
}

#[tokio::test]
async fn denied_or_unmapped_call_is_not_forwarded() {
    let Some(stand) = stand("denied_or_unmapped_call_is_not_forwarded").await else {
        return;
    };
    let denied = stand.item(WORKER, "DeleteItem", "GRANT#1").await.unwrap();
    assert_eq!(denied.status(), StatusCode::BAD_REQUEST);
    assert!(error(&denied).contains("#AccessDeniedException"), "{}", error(&denied));
    assert!(error(&denied).contains("not authorized to perform: dynamodb:DeleteItem"));
    let unmapped = stand.send(WORKER, "dynamodb", Some("DynamoDB_20120810.ExecuteStatement"), "{}").await.unwrap();
    assert!(error(&unmapped).contains("does not map"));
    let service = stand.send(WORKER, "sqs", None, "Action=SendMessage").await.unwrap();
    assert_eq!(service.status(), StatusCode::FORBIDDEN);
    assert_eq!(stand.behind.operations(), Vec::<String>::new());
    let decisions: Vec<Decision> = stand.entries().iter().map(|entry| entry.decision).collect();
    assert_eq!(decisions, [Decision::Denied, Decision::Unmapped, Decision::Unmapped]);
    assert_eq!(stand.entries()[0].denied_by.as_deref(), Some("identity-based policy"));
}

#[tokio::test]
async fn unauthenticated_call_is_not_forwarded() {
    let Some(stand) = stand("unauthenticated_call_is_not_forwarded").await else {
        return;
    };
    let mut expired = caller::session(clock::now() - TimeDelta::minutes(16));
    expired.access_key = "ASIAOLD".to_owned();
    stand.gate.sessions.add(expired);
    for (by, code) in [
        (As { key: "ASIAWHO", ..WORKER }, "UnrecognizedClientException"),
        (As { token: Some("guess"), ..WORKER }, "UnrecognizedClientException"),
        (As { secret: "guess", ..WORKER }, "InvalidSignatureException"),
        (As { secret: "guess", ..BOOTSTRAP }, "InvalidSignatureException"),
        (As { key: "ASIAOLD", ..WORKER }, "ExpiredTokenException"),
    ] {
        let refused = stand.item(by, "GetItem", "GRANT#1").await.unwrap();
        assert!(error(&refused).contains(code), "{code}: {}", error(&refused));
    }
    assert_eq!(stand.behind.operations(), Vec::<String>::new());
}

#[tokio::test]
async fn bootstrap_key_may_make_unmapped_calls() {
    let Some(stand) = stand("bootstrap_key_may_make_unmapped_calls").await else {
        return;
    };
    let answer = stand.send(BOOTSTRAP, "dynamodb", Some("DynamoDB_20120810.CreateTable"), "{}").await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let entry = &stand.entries()[0];
    assert_eq!((entry.decision, entry.principal.as_str()), (Decision::Bypassed, "bootstrap"));
}

/// Allows reading, and denies everything after 2000-01-01 by `aws:CurrentTime`.
fn ended() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": TABLE },
        { "Effect": "Deny", "Action": "*", "Resource": "*",
          "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": "2000-01-01T00:00:00Z" } } },
    ] })
}

#[tokio::test]
async fn vended_session_is_limited_by_its_session_policy() {
    let Some(stand) = stand("vended_session_is_limited_by_its_session_policy").await else {
        return;
    };
    let vended = |key| As { key, secret: "made-secret", token: Some("made-token") };
    stand.assume("narrow", &allow(&json!("dynamodb:GetItem"), TABLE)).await.unwrap();
    let narrow = vended("ASIAnarrow");
    assert_eq!(stand.item(narrow, "GetItem", "a").await.unwrap().status(), StatusCode::OK);
    let put = stand.item(narrow, "PutItem", "a").await.unwrap();
    assert!(error(&put).contains("because no session policy allows it"), "{}", error(&put));

    stand.assume("ended", &ended()).await.unwrap();
    let late = stand.item(vended("ASIAended"), "GetItem", "a").await.unwrap();
    assert!(error(&late).contains("explicit deny in a session policy"), "{}", error(&late));

    // Control: with that protection removed, the same call goes through.
    stand.fault(json!({ "id": "strip", "kind": "strip_time_deny" }));
    stand.assume("control", &ended()).await.unwrap();
    assert_eq!(stand.item(vended("ASIAcontrol"), "GetItem", "a").await.unwrap().status(), StatusCode::OK);
    let put = stand.item(vended("ASIAcontrol"), "PutItem", "a").await.unwrap();
    assert!(error(&put).contains("no session policy"), "the fault removes only the time deny");

    let entries = stand.entries();
    let strip = entries.iter().find(|entry| entry.fault.is_some()).unwrap();
    assert_eq!(strip.fault.as_ref().unwrap().kind, Kind::StripTimeDeny);
    let write = strip.wrote.as_ref().unwrap();
    assert_ne!(write["session_policy_sha256"], write["enforced_session_policy_sha256"]);
    assert_eq!(write["access_key_id"], "ASIAcontrol");
    let log = std::fs::read_to_string(&stand.log).unwrap();
    assert_eq!(log.lines().count(), entries.len());
    assert!(!log.contains("made-secret") && !log.contains("made-token"), "{log}");
}

#[tokio::test]
async fn iam_write_through_the_gate_is_enforced_at_once() {
    let Some(stand) = stand("iam_write_through_the_gate_is_enforced_at_once").await else {
        return;
    };
    assert_eq!(stand.item(WORKER, "GetItem", "a").await.unwrap().status(), StatusCode::OK);
    let deny = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": { "StringLike": { "aws:userid": ["*:dev.one"] } } },
    ] });
    let body =
        format!("Action=PutRolePolicy&RoleName=worker&PolicyName=p&PolicyDocument={}", encode(&deny.to_string(), b""));
    assert_eq!(stand.send(BOOTSTRAP, "iam", None, &body).await.unwrap().status(), StatusCode::OK);
    let denied = stand.item(WORKER, "GetItem", "a").await.unwrap();
    assert!(error(&denied).contains("explicit deny in an identity-based policy"), "{}", error(&denied));
}

#[tokio::test]
async fn faults_lose_calls_and_answers_and_are_logged() {
    let Some(stand) = stand("faults_lose_calls_and_answers_and_are_logged").await else {
        return;
    };
    for (kind, pk) in
        [("drop_before", "B#"), ("drop_after", "A#"), ("throttle", "T#"), ("refuse", "R#"), ("conflict", "C#")]
    {
        stand.fault(json!({ "id": kind, "kind": kind, "pk_prefix": pk }));
    }
    assert!(stand.item(WORKER, "PutItem", "B#1").await.is_err());
    assert!(stand.item(WORKER, "PutItem", "A#1").await.is_err());
    for (pk, code) in
        [("T#1", "ThrottlingException"), ("R#1", "AccessDeniedException"), ("C#1", "TransactionConflictException")]
    {
        let answer = stand.item(WORKER, "PutItem", pk).await.unwrap();
        assert!(error(&answer).contains(code), "{}", error(&answer));
    }
    assert_eq!(stand.behind.operations(), ["PutItem"], "only the call whose answer was lost");
    let outcomes: Vec<(bool, bool)> = stand.entries().iter().map(|entry| (entry.forwarded, entry.answered)).collect();
    assert_eq!(outcomes, [(false, false), (true, false), (false, true), (false, true), (false, true)]);
    assert_eq!(stand.item(WORKER, "PutItem", "B#1").await.unwrap().status(), StatusCode::OK, "each fault fires once");
    assert!(stand.gate.faults.list().iter().all(|rule| rule.n_fired == 1));
}

#[tokio::test]
async fn call_of_a_killed_caller_is_logged() {
    let Some(stand) = stand("call_of_a_killed_caller_is_logged").await else {
        return;
    };
    let mut victim = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
    stand.fault(json!({ "id": "kill", "kind": "kill_after", "pid": victim.id() }));
    assert!(stand.item(WORKER, "PutItem", "a").await.is_err());
    let status = victim.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(stand.behind.operations(), ["PutItem"]);
    assert!(!stand.entries()[0].answered);
}

#[tokio::test]
async fn delayed_call_is_decided_at_its_arrival() {
    let Some(stand) = stand("delayed_call_is_decided_at_its_arrival").await else {
        return;
    };
    // The evaluator loads its data at the first call, so one call warms it up.
    stand.item(WORKER, "GetItem", "warm").await.unwrap();
    stand.fault(json!({ "id": "slow", "kind": "delay", "ms": 3500, "pk_prefix": "slow" }));
    let until = clock::seconds(clock::now() + TimeDelta::seconds(3));
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "DateLessThanEquals": { "aws:CurrentTime": until } } } ] });
    *stand.behind.policy.lock().unwrap() = policy;
    stand.gate.live.iam_changes();
    assert_eq!(stand.item(WORKER, "GetItem", "quick").await.unwrap().status(), StatusCode::OK);
    let late = stand.item(WORKER, "GetItem", "slow").await.unwrap();
    assert!(error(&late).contains("AccessDeniedException"), "{}", error(&late));
}

#[tokio::test]
async fn control_calls_report_health_and_refuse_invalid_orders() {
    let Some(stand) = stand("control_calls_report_health_and_refuse_invalid_orders").await else {
        return;
    };
    let send = async |method: Method, path: &str, body: &'static str| {
        let call = Inbound {
            method,
            uri: path.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let answer = Upstream::new().forward(stand.at, &call).await.unwrap();
        (answer.status().as_u16(), error(&answer))
    };
    let (status, text) = send(Method::GET, "/_gate/health", "").await;
    assert!(status == 200 && text.contains("ready"), "{text}");
    let (status, _) = send(Method::POST, "/_gate/faults", r#"{"rules":[{"id":"a","kind":"refuse"}]}"#).await;
    assert_eq!(status, 200);
    let (status, text) = send(Method::POST, "/_gate/faults", r#"{"rules":[{"id":"a","kind":"delay"}]}"#).await;
    assert!(status == 400 && text.contains("needs `ms`"), "{text}");
    let (_, text) = send(Method::DELETE, "/_gate/faults", "").await;
    assert_eq!(text, r#"{"rules":[]}"#);
    assert_eq!(send(Method::GET, "/_gate/log?since=x", "").await.0, 400);
    assert_eq!(send(Method::POST, "/_gate/enforcement", "{}").await.0, 404);
    assert!(stand.entries().is_empty(), "control calls are not AWS calls");
}
