//! The mapping compared with AWS's service authorization reference, and with calls as SDKs send them.

mod dynamodb;
mod iam;
mod lambda;
mod s3;
mod secretsmanager;
mod sts;

use super::*;
use crate::decide::Decider;
use crate::decide::tests::modules;
use crate::live::Policy;
use http::{HeaderMap, Method};
use serde_json::json;

/// The part of AWS's reference that the table was last compared with. [`checked_in_facts_equal_the_evaluator_s_data`]
/// writes it.
const FACTS: &str = include_str!("../../decider/facts.json");
const ROLE_ARN: &str = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-deploy";

/// Whether AWS's `pattern` (`aws:RequestTag/${TagKey}`, `secretsmanager:ResourceTag/tag-key`) is the table's `key`.
fn names(pattern: &str, key: &str) -> bool {
    let placeholder = |text: &str| text.starts_with("${") || ["tag-key", "<key>"].contains(&text);
    match (pattern.split_once('/'), key.strip_suffix('*')) {
        (Some((space, rest)), Some(prefix)) if placeholder(rest) => prefix.eq_ignore_ascii_case(&format!("{space}/")),
        _ => pattern.eq_ignore_ascii_case(key),
    }
}

fn among(list: &Value, key: &str) -> bool {
    let list = list.as_array().unwrap();
    list.iter().any(|known| names(known.as_str().unwrap(), key))
}

#[test]
fn every_row_is_in_aws_s_reference_with_its_resource_type_and_keys() {
    let facts: Value = serde_json::from_str(FACTS).unwrap();
    for row in table::TABLE {
        let action = &facts["actions"][row.action];
        assert!(action.is_object(), "AWS has no action `{}`", row.action);
        let resource = &action["resources"][row.resource];
        if row.resource == "*" {
            assert_eq!(action["wildcardOnly"], json!(true), "{row:?} has resource types");
        } else {
            assert!(resource.is_object(), "{row:?}: no such resource type");
        }
        for key in row.keys {
            let of_action = among(&action["keys"], key);
            let of_resource = resource.is_object() && among(&resource["keys"], key);
            assert!(of_action || of_resource, "{row:?}: AWS has no `{key}` there");
        }
    }
    for key in table::GLOBAL {
        assert!(among(&facts["global"], key), "AWS has no global key `{key}`");
    }
}

#[test]
fn rows_are_unique_and_exclude_free_operations() {
    let mut seen = BTreeSet::new();
    for row in table::TABLE {
        let id = (row.service, row.operation, row.action, row.resource);
        assert!(seen.insert(id), "{id:?} occurs twice");
        assert!(!table::FREE.contains(&(row.service, row.operation)), "{id:?} is free");
    }
}

/// Every operation that the functions, the runner's probes and the demo call.
#[test]
fn every_call_of_the_functions_and_the_demo_is_mapped() {
    for (service, operations) in [
        (
            Service::DynamoDb,
            &[
                "GetItem",
                "PutItem",
                "UpdateItem",
                "DeleteItem",
                "Query",
                "BatchGetItem",
                "TransactWriteItems",
                "TransactGetItems",
                "DescribeTable",
            ][..],
        ),
        (
            Service::Iam,
            &[
                "GetRole",
                "GetRolePolicy",
                "PutRolePolicy",
                "DeleteRolePolicy",
                "ListRolePolicies",
                "ListAttachedRolePolicies",
                "AttachRolePolicy",
                "DetachRolePolicy",
                "GetAccountSummary",
                "GetPolicy",
                "GetPolicyVersion",
                "SimulatePrincipalPolicy",
                // No function may make these calls; the tests show that.
                "CreatePolicyVersion",
                "PutRolePermissionsBoundary",
                "DeleteRolePermissionsBoundary",
                "UpdateAssumeRolePolicy",
            ][..],
        ),
        (Service::Sts, &["AssumeRole"][..]),
        (Service::Lambda, &["Invoke"][..]),
        (Service::S3, &["GetObject", "PutObject", "ListObjectsV2"][..]),
        (Service::SecretsManager, &["GetSecretValue", "DescribeSecret", "RotateSecret"][..]),
    ] {
        for operation in operations {
            assert!(table::rows(service, operation).next().is_some(), "{service:?} {operation}");
        }
    }
}

#[tokio::test]
async fn checked_in_facts_equal_the_evaluator_s_data() {
    let Some(modules) = modules("checked_in_facts_equal_the_evaluator_s_data") else {
        return;
    };
    let actions: Vec<&str> = table::TABLE.iter().map(|row| row.action).collect();
    let fresh = Decider::start(&modules).unwrap().facts(&actions).await.unwrap();
    if serde_json::from_str::<Value>(FACTS).ok().as_ref() == Some(&fresh) {
        return;
    }
    let lines: Vec<String> =
        fresh["actions"].as_object().unwrap().iter().map(|(name, facts)| format!("\"{name}\": {facts}")).collect();
    let text = format!("{{\n\"global\": {},\n\"actions\": {{\n{}\n}}\n}}\n", fresh["global"], lines.join(",\n"));
    let path = std::env::temp_dir().join("brevet-gate-facts.json");
    std::fs::write(&path, text).unwrap();
    panic!("`decider/facts.json` differs from the evaluator's data; replace it with `{}`", path.display());
}

fn call(method: Method, uri: &str, headers: &[(&'static str, &str)], body: &str) -> Inbound {
    let mut map = HeaderMap::new();
    map.insert("host", "127.0.0.1:4600".parse().unwrap());
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Inbound { method, uri: uri.parse().unwrap(), headers: map, body: bytes::Bytes::copy_from_slice(body.as_bytes()) }
}

fn facts() -> Facts {
    let role = Role {
        arn: ROLE_ARN.to_owned(),
        name: "brevet-dev-deploy".to_owned(),
        trust: json!({ "Statement": [] }),
        inline: vec![Policy { name: "big".to_owned(), policy: json!({ "a": "x".repeat(9_000) }) }],
        attached: Vec::new(),
        boundary: Some(Policy { name: "arn:aws:iam::000000000000:policy/boundary".to_owned(), policy: json!({}) }),
        tags: BTreeMap::from([("owner".to_owned(), "team".to_owned())]),
        max_session_s: 3_600,
    };
    let keys = TableKeys {
        hash: "pk".to_owned(),
        range: Some("sk".to_owned()),
        indexes: BTreeMap::from([("due".to_owned(), "due_pk".to_owned())]),
    };
    let secret = Secret {
        arn: "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf".to_owned(),
        tags: BTreeMap::new(),
    };
    Facts {
        roles: BTreeMap::from([("brevet-dev-deploy".to_owned(), Some(Arc::new(role)))]),
        tables: BTreeMap::from([("brevet-dev".to_owned(), Some(keys))]),
        secrets: BTreeMap::from([("prod/db".to_owned(), Some(secret))]),
    }
}

fn place() -> CallLocation {
    CallLocation { partition: "aws".to_owned(), region: "us-east-1".to_owned(), account: "000000000000".to_owned() }
}

fn mapped(service: Service, inbound: &Inbound) -> Result<Call, Unmapped> {
    let operation = operation(service, inbound)?;
    map(service, &operation, inbound, &facts(), &place())
}

fn dynamodb(operation: &str, body: &Value) -> Result<Call, Unmapped> {
    let target = format!("DynamoDB_20120810.{operation}");
    let inbound = call(Method::POST, "/", &[("x-amz-target", &target)], &body.to_string());
    mapped(Service::DynamoDb, &inbound)
}

fn form(service: Service, body: &str) -> Result<Call, Unmapped> {
    mapped(service, &call(Method::POST, "/", &[], body))
}

fn asked(call: &Call) -> Vec<(&str, &str)> {
    let asked = call.checks.iter();
    asked.map(|check| (check.action, check.resource.as_str())).collect()
}

#[test]
fn call_outside_the_table_is_unmapped() {
    let message = |call: Result<Call, Unmapped>| call.unwrap_err().to_string();
    assert_eq!(
        message(dynamodb("ExecuteStatement", &json!({}))),
        "the gate does not map this call: `ExecuteStatement` is not in the table"
    );
    let legacy = json!({ "TableName": "brevet-dev", "Key": { "pk": { "S": "a" } }, "AttributesToGet": ["pk"] });
    assert!(message(dynamodb("GetItem", &legacy)).contains("AttributesToGet"));
    let unknown = json!({ "TableName": "elsewhere", "Key": { "pk": { "S": "a" } } });
    assert!(message(dynamodb("GetItem", &unknown)).contains("elsewhere"));
    assert!(form(Service::Sts, "Action=GetFederationToken").is_err());
    assert!(form(Service::Iam, "Action=CreateUser&UserName=x").is_err());
}
