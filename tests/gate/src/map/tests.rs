//! The mapping against AWS's service authorization reference, and calls as SDKs send them.

use super::*;
use crate::decide::Decider;
use crate::decide::tests::modules;
use crate::live::Policy;
use http::{HeaderMap, Method};
use serde_json::json;

/// Which parts of AWS's reference the table was last compared with. Made by [`the_checked_in_facts_are_still_aws_s`].
const FACTS: &str = include_str!("../../decider/facts.json");
const TABLE_ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev";
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
fn no_row_is_there_twice_and_no_free_operation_has_one() {
    let mut seen = BTreeSet::new();
    for row in table::TABLE {
        let id = (row.service, row.operation, row.action, row.resource);
        assert!(seen.insert(id), "{id:?} is there twice");
        assert!(!table::FREE.contains(&(row.service, row.operation)), "{id:?} is free");
    }
}

/// Every call that the functions, the runner's probes and the demo make.
#[test]
fn what_the_functions_and_the_demo_call_is_mapped() {
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
                // These no function may make; that is to be seen.
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
async fn the_checked_in_facts_are_still_aws_s() {
    let Some(modules) = modules("the_checked_in_facts_are_still_aws_s") else {
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
    panic!("`decider/facts.json` is not what the evaluator's data says; that is in `{}`", path.display());
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

fn place() -> Place {
    Place { partition: "aws".to_owned(), region: "us-east-1".to_owned(), account: "000000000000".to_owned() }
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
fn a_put_asks_with_its_leading_key_and_attributes() {
    let call = dynamodb(
        "PutItem",
        &json!({ "TableName": "brevet-dev",
        "Item": { "pk": { "S": "GRANT#1" }, "sk": { "S": "META" }, "body": { "S": "{}" } },
        "ConditionExpression": "attribute_not_exists(#p) OR version = :v", "ExpressionAttributeNames": { "#p": "pk" },
        "ReturnValues": "NONE" }),
    )
    .unwrap();
    assert_eq!(asked(&call), [("dynamodb:PutItem", TABLE_ARN)]);
    let context = &call.checks[0].context;
    assert_eq!(context["dynamodb:LeadingKeys"], ["GRANT#1"]);
    assert_eq!(context["dynamodb:Attributes"], ["body", "pk", "sk", "version"]);
    assert_eq!(context["dynamodb:ReturnValues"], ["NONE"]);
    assert_eq!(call.wrote.unwrap()["items"], json!([{ "action": "PutItem", "pk": "GRANT#1", "sk": "META" }]));
}

#[test]
fn a_transaction_asks_for_each_of_its_items() {
    let key = |pk: &str| json!({ "pk": { "S": pk }, "sk": { "S": "-" } });
    let call = dynamodb("TransactWriteItems", &json!({ "ClientRequestToken": "t", "TransactItems": [
        { "Put": { "TableName": "brevet-dev", "Item": key("ACT#1") } },
        { "Update": { "TableName": "brevet-dev", "Key": key("GRANT#1"), "UpdateExpression": "SET #v = :v" } },
        { "Delete": { "TableName": "brevet-dev", "Key": key("FUSE#1") } },
        { "ConditionCheck": { "TableName": "brevet-dev", "Key": key("BLOCK#all"), "ConditionExpression": "attribute_not_exists(pk)" } },
    ] })).unwrap();
    assert_eq!(
        asked(&call),
        [
            ("dynamodb:PutItem", TABLE_ARN),
            ("dynamodb:UpdateItem", TABLE_ARN),
            ("dynamodb:DeleteItem", TABLE_ARN),
            ("dynamodb:ConditionCheckItem", TABLE_ARN)
        ]
    );
    assert_eq!(call.keys, ["ACT#1", "GRANT#1", "FUSE#1", "BLOCK#all"]);
    assert_eq!(call.checks[0].context["dynamodb:EnclosingOperation"], ["TransactWriteItems"]);
    assert_eq!(call.n_items, 4);
    assert_eq!(call.wrote.unwrap()["items"].as_array().unwrap().len(), 4);
}

#[test]
fn a_transaction_with_an_unknown_part_is_unmapped() {
    let refused = dynamodb(
        "TransactWriteItems",
        &json!({ "TransactItems": [
        { "Put": { "TableName": "brevet-dev", "Item": { "pk": { "S": "a" } } } }, { "Explode": {} } ] }),
    );
    assert!(refused.unwrap_err().to_string().contains("no known kind"));
}

#[test]
fn a_query_asks_about_the_key_it_fixes_on_the_table_or_its_index() {
    let query = |index: Option<&str>, condition: &str| {
        let mut body = json!({ "TableName": "brevet-dev", "KeyConditionExpression": condition,
            "ExpressionAttributeNames": { "#k": "due_pk" }, "ExpressionAttributeValues": { ":k": { "S": "reap#0" }, ":t": { "S": "x" } } });
        if let Some(index) = index {
            body["IndexName"] = json!(index);
        }
        dynamodb("Query", &body)
    };
    let on_index = query(Some("due"), "#k = :k AND next_at <= :t").unwrap();
    assert_eq!(asked(&on_index), [("dynamodb:Query", &*format!("{TABLE_ARN}/index/due"))]);
    assert_eq!(on_index.checks[0].context["dynamodb:LeadingKeys"], ["reap#0"]);
    let on_table = query(None, "pk = :k AND begins_with(sk, :t)").unwrap();
    assert_eq!(asked(&on_table), [("dynamodb:Query", TABLE_ARN)]);
    assert!(query(None, "#k = :k").is_err(), "the table's own key is not fixed");
    assert!(query(Some("other"), "pk = :k").is_err(), "no such index");
}

#[test]
fn a_batch_asks_once_with_all_its_leading_keys() {
    let call = dynamodb(
        "BatchGetItem",
        &json!({ "RequestItems": { "brevet-dev": { "Keys": [
        { "pk": { "S": "BLOCK#a" }, "sk": { "S": "-" } }, { "pk": { "S": "HEART#reap" }, "sk": { "S": "-" } } ] } } }),
    )
    .unwrap();
    assert_eq!(asked(&call), [("dynamodb:BatchGetItem", TABLE_ARN)]);
    assert_eq!(call.checks[0].context["dynamodb:LeadingKeys"], ["BLOCK#a", "HEART#reap"]);
}

#[test]
fn what_the_table_does_not_have_is_unmapped() {
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

#[test]
fn who_am_i_needs_no_permission() {
    assert!(form(Service::Sts, "Action=GetCallerIdentity").unwrap().checks.is_empty());
}

const ASSUME: &str = "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fbrevet%2Fdev%2Fsession%2Fbrevet-dev-deploy&RoleSessionName=dev.01J";

#[test]
fn assuming_a_role_asks_for_what_it_brings() {
    let plain = form(Service::Sts, ASSUME).unwrap();
    assert_eq!(asked(&plain), [("sts:AssumeRole", ROLE_ARN)]);
    let full = form(
        Service::Sts,
        &format!(
            "{ASSUME}&SourceIdentity=pipeline&Tags.member.1.Key=brevet%3Agrant&Tags.member.1.Value=grt_1&Policy=%7B%7D"
        ),
    )
    .unwrap();
    assert_eq!(
        asked(&full),
        [("sts:AssumeRole", ROLE_ARN), ("sts:TagSession", ROLE_ARN), ("sts:SetSourceIdentity", ROLE_ARN)]
    );
    let context = &full.checks[0].context;
    assert_eq!(context["sts:RoleSessionName"], ["dev.01J"]);
    assert_eq!(context["sts:SourceIdentity"], ["pipeline"]);
    assert_eq!(context["aws:RequestTag/brevet:grant"], ["grt_1"]);
    assert_eq!(context["aws:TagKeys"], ["brevet:grant"]);
    assert_eq!(context["iam:ResourceTag/owner"], ["team"]);
    assert!(full.checks.iter().all(|check| check.resource_policy.is_some()));
    assert_eq!(
        full.wrote.unwrap()["session_policy_sha256"],
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn who_one_is_is_said_to_somebody_and_has_no_resource() {
    let told = "Action=GetWebIdentityToken&Audience.member.1=brevet&Audience.member.2=other&SigningAlgorithm=RS256";
    let call = form(Service::Sts, &format!("{told}&DurationSeconds=300")).unwrap();
    assert_eq!(asked(&call), [("sts:GetWebIdentityToken", "*")]);
    let context = &call.checks[0].context;
    assert_eq!(context["sts:IdentityTokenAudience"], ["brevet", "other"]);
    assert_eq!(
        (&context["sts:SigningAlgorithm"][0], &context["sts:DurationSeconds"][0]),
        (&"RS256".into(), &"300".into())
    );
    assert!(form(Service::Sts, &format!("{told}&Tags.member.1.Key=a&Tags.member.1.Value=b")).is_err());
}

#[test]
fn a_role_in_another_path_trusts_nobody() {
    let other = ASSUME.replace("session", "elsewhere");
    let call = form(Service::Sts, &other).unwrap();
    let trust = call.checks[0].resource_policy.as_ref().unwrap();
    assert_eq!(trust["Statement"][0]["Effect"], "Deny");
}

#[test]
fn what_aws_would_reject_in_assume_role_is_said() {
    let long = format!("{ASSUME}&Policy=%7B%22a%22%3A%22{}%22%7D", "x".repeat(2_048));
    assert_eq!(form(Service::Sts, &long).unwrap().invalid.unwrap().0, "ValidationError");
    let broken = format!("{ASSUME}&Policy=%7B");
    assert_eq!(form(Service::Sts, &broken).unwrap().invalid.unwrap().0, "MalformedPolicyDocument");
    let managed = format!("{ASSUME}&PolicyArns.member.1.arn=x");
    assert!(form(Service::Sts, &managed).unwrap_err().to_string().contains("PolicyArns"));
}

#[test]
fn iam_writes_ask_with_the_role_s_boundary_and_the_policy() {
    let put = form(Service::Iam, "Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p&PolicyDocument=%7B%7D")
        .unwrap();
    assert_eq!(asked(&put), [("iam:PutRolePolicy", ROLE_ARN)]);
    assert_eq!(put.checks[0].context["iam:PermissionsBoundary"], ["arn:aws:iam::000000000000:policy/boundary"]);
    assert_eq!(put.wrote.unwrap()["policy_name"], "p");
    assert_eq!(put.invalid, None);
    let attach = form(Service::Iam, "Action=AttachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn=arn%3Ax").unwrap();
    assert_eq!(attach.checks[0].context["iam:PolicyARN"], ["arn:x"]);
    let missing = form(Service::Iam, "Action=GetRole&RoleName=nobody").unwrap();
    assert_eq!(asked(&missing), [("iam:GetRole", "arn:aws:iam::000000000000:role/nobody")]);
}

#[test]
fn taking_away_asks_with_what_the_role_has_now() {
    const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/boundary";
    for (operation, more) in [
        ("PutRolePolicy", "&PolicyName=p&PolicyDocument=%7B%7D"),
        ("DeleteRolePolicy", "&PolicyName=p"),
        ("AttachRolePolicy", "&PolicyArn=arn%3Ax"),
        ("DetachRolePolicy", "&PolicyArn=arn%3Ax"),
        ("DeleteRolePermissionsBoundary", ""),
        ("UpdateAssumeRolePolicy", "&PolicyDocument=%7B%7D"),
    ] {
        let ask = |facts: &Facts| {
            let inbound = call(Method::POST, "/", &[], &format!("Action={operation}&RoleName=brevet-dev-deploy{more}"));
            map(Service::Iam, operation, &inbound, facts, &place()).unwrap()
        };
        let mut facts = facts();
        let bounded = ask(&facts);
        assert_eq!(asked(&bounded), [(format!("iam:{operation}").as_str(), ROLE_ARN)]);
        assert_eq!(bounded.checks[0].context["iam:PermissionsBoundary"], [BOUNDARY], "{operation}");
        assert_eq!(bounded.wrote.unwrap()["role"], ROLE_ARN);
        let role = facts.roles.get_mut("brevet-dev-deploy").unwrap().as_mut().unwrap();
        Arc::get_mut(role).unwrap().boundary = None;
        assert!(!ask(&facts).checks[0].context.contains_key("iam:PermissionsBoundary"), "{operation}");
    }
    let put = "Action=PutRolePermissionsBoundary&RoleName=brevet-dev-deploy&PermissionsBoundary=arn%3Anew";
    let put = form(Service::Iam, put).unwrap();
    assert_eq!(put.checks[0].context["iam:PermissionsBoundary"], ["arn:new"], "the one that is to be");
    assert_eq!(put.wrote.unwrap()["boundary_arn"], "arn:new");
}

#[test]
fn what_is_written_is_told_without_the_document() {
    let document = r#"{"Statement":[],"Version":"2012-10-17"}"#;
    let encoded = crate::inbound::encode(document, b"");
    let put = form(
        Service::Iam,
        &format!("Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p&PolicyDocument={encoded}"),
    );
    // Of the text as it was sent: `printf %s … | sha256sum`.
    let digest = "a48803b796029b4ad945f4aec0d1641ad8dcabcb95df2ec87594ffcb95d0eeb8";
    let put = put.unwrap();
    assert_eq!(put.policy.as_deref(), Some("p"));
    assert_eq!(put.wrote, Some(json!({ "role": ROLE_ARN, "policy_name": "p", "document_sha256": digest })));
    let delete = form(Service::Iam, "Action=DeleteRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p").unwrap();
    assert_eq!(delete.wrote, Some(json!({ "role": ROLE_ARN, "policy_name": "p", "document_sha256": null })));
    let detach = form(Service::Iam, "Action=DetachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn=arn%3Ax").unwrap();
    assert_eq!(detach.wrote, Some(json!({ "role": ROLE_ARN, "policy_arn": "arn:x" })));
    assert_eq!(detach.policy.as_deref(), Some("arn:x"));
    let version =
        form(Service::Iam, &format!("Action=CreatePolicyVersion&PolicyArn=arn%3Ax&PolicyDocument={encoded}")).unwrap();
    assert_eq!(asked(&version), [("iam:CreatePolicyVersion", "arn:x")]);
    assert_eq!(version.wrote, Some(json!({ "policy_arn": "arn:x", "document_sha256": digest })));
}

#[test]
fn an_eleventh_managed_policy_is_rejected_as_aws_does() {
    let attach = |n_attached: usize, name: &str| {
        let mut facts = facts();
        let role = facts.roles.get_mut("brevet-dev-deploy").unwrap().as_mut().unwrap();
        Arc::get_mut(role).unwrap().attached =
            (0..n_attached).map(|n| Policy { name: format!("arn:{n}"), policy: json!({}) }).collect();
        let body = format!("Action=AttachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn={name}");
        let inbound = call(Method::POST, "/", &[], &body);
        let call = map(Service::Iam, "AttachRolePolicy", &inbound, &facts, &place()).unwrap();
        call.invalid.map(|(code, _)| code)
    };
    assert_eq!(attach(9, "arn:new"), None);
    assert_eq!(attach(10, "arn:new"), Some("LimitExceeded"));
    assert_eq!(attach(10, "arn:3"), None, "it is attached");
}

#[test]
fn inline_policies_beyond_the_quota_are_rejected_as_aws_does() {
    let put = |name: &str, length: usize| {
        let body = format!(
            "Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName={name}&PolicyDocument={}",
            "x".repeat(length)
        );
        form(Service::Iam, &body).unwrap().invalid.map(|(code, _)| code)
    };
    assert_eq!(put("new", 1_200), None);
    assert_eq!(put("new", 1_300), Some("LimitExceeded"));
    assert_eq!(put("big", 10_240), None, "it replaces the other");
}

#[test]
fn simulating_a_principal_is_asked_on_that_role() {
    let source = ROLE_ARN.replace(':', "%3A").replace('/', "%2F");
    let call = form(Service::Iam, &format!("Action=SimulatePrincipalPolicy&PolicySourceArn={source}")).unwrap();
    assert_eq!(asked(&call), [("iam:SimulatePrincipalPolicy", ROLE_ARN)]);
    let summary = form(Service::Iam, "Action=GetAccountSummary").unwrap();
    assert_eq!(asked(&summary), [("iam:GetAccountSummary", "*")]);
}

fn s3(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Result<Call, Unmapped> {
    mapped(Service::S3, &call(method, uri, headers, ""))
}

#[test]
fn objects_are_named_in_both_styles() {
    let object = [("s3:GetObject", "arn:aws:s3:::releases/app/1 2.tgz")];
    let path_style = s3(Method::GET, "/releases/app/1%202.tgz?x-id=GetObject", &[]).unwrap();
    assert_eq!(asked(&path_style), object);
    for host in ["releases.s3.us-east-1.amazonaws.com", "releases.localhost:4600"] {
        let virtual_style = s3(Method::HEAD, "/app/1%202.tgz", &[("host", host)]).unwrap();
        assert_eq!(asked(&virtual_style), object, "{host}");
    }
    let put = s3(Method::PUT, "/releases/a", &[]).unwrap();
    assert_eq!(asked(&put), [("s3:PutObject", "arn:aws:s3:::releases/a")]);
}

#[test]
fn listing_asks_with_its_prefix() {
    let list = s3(Method::GET, "/releases?list-type=2&prefix=app%2F&max-keys=5", &[]).unwrap();
    assert_eq!(asked(&list), [("s3:ListBucket", "arn:aws:s3:::releases")]);
    assert_eq!(list.checks[0].context["s3:prefix"], ["app/"]);
    assert_eq!(asked(&s3(Method::GET, "/", &[]).unwrap()), [("s3:ListAllMyBuckets", "*")]);
}

#[test]
fn s3_calls_that_need_more_are_unmapped() {
    assert!(s3(Method::GET, "/releases/a?versionId=1", &[]).is_err());
    assert!(s3(Method::PUT, "/releases?policy", &[]).is_err());
    assert!(s3(Method::PUT, "/releases/a", &[("x-amz-copy-source", "other/x")]).is_err());
    assert!(s3(Method::PUT, "/releases/a", &[("x-amz-tagging", "a=b")]).is_err());
    assert!(s3(Method::POST, "/releases?delete", &[]).is_err());
}

#[test]
fn secrets_are_asked_about_by_arn() {
    let get = |body: Value| {
        let headers = [("x-amz-target", "secretsmanager.GetSecretValue")];
        mapped(Service::SecretsManager, &call(Method::POST, "/", &headers, &body.to_string()))
    };
    let known = get(json!({ "SecretId": "prod/db", "VersionStage": "AWSCURRENT" })).unwrap();
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf";
    assert_eq!(asked(&known), [("secretsmanager:GetSecretValue", arn)]);
    assert_eq!(known.checks[0].context["secretsmanager:VersionStage"], ["AWSCURRENT"]);
    let unknown = get(json!({ "SecretId": "nope" })).unwrap();
    assert!(unknown.checks[0].resource.ends_with(":secret:nope-000000"));
}

#[test]
fn a_rotation_is_asked_about_with_what_it_would_change_of_its_set_up() {
    let rotate = |body: Value| {
        let headers = [("x-amz-target", "secretsmanager.RotateSecret")];
        mapped(Service::SecretsManager, &call(Method::POST, "/", &headers, &body.to_string())).unwrap()
    };
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf";
    let token = "f".repeat(64);
    let plain = rotate(json!({ "SecretId": "prod/db", "ClientRequestToken": token, "RotateImmediately": true }));
    assert_eq!(asked(&plain), [("secretsmanager:RotateSecret", arn)]);
    let context = &plain.checks[0].context;
    assert_eq!(context["secretsmanager:ModifyRotationRules"], ["false"]);
    assert_eq!(context["secretsmanager:RotateImmediately"], ["true"]);
    assert!(!context.contains_key("secretsmanager:RotationLambdaARN"));
    assert_eq!(plain.wrote, Some(json!({ "secret": arn, "token": token })));
    let function = "arn:aws:lambda:us-east-1:000000000000:function:own";
    let other = rotate(json!({ "SecretId": "prod/db", "RotationLambdaARN": function, "RotationRules": {} }));
    assert_eq!(other.checks[0].context["secretsmanager:RotationLambdaARN"], [function]);
    assert_eq!(other.checks[0].context["secretsmanager:ModifyRotationRules"], ["true"]);
}

#[test]
fn invoking_asks_about_the_function() {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:brevet-dev-evaluate";
    for name in ["brevet-dev-evaluate", &arn.replace(':', "%3A")] {
        let uri = format!("/2015-03-31/functions/{name}/invocations");
        let invoke = mapped(Service::Lambda, &call(Method::POST, &uri, &[], "{}")).unwrap();
        assert_eq!(asked(&invoke), [("lambda:InvokeFunction", arn)]);
    }
    assert!(mapped(Service::Lambda, &call(Method::GET, "/2015-03-31/functions/", &[], "")).is_err());
    let qualified = "/2015-03-31/functions/f/invocations?Qualifier=1";
    assert!(mapped(Service::Lambda, &call(Method::POST, qualified, &[], "")).is_err());
}
