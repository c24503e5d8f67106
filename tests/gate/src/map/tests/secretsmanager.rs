//! Secrets Manager: the secret that a call is checked on, and the settings that a rotation changes.

use super::*;

#[test]
fn secret_is_checked_by_its_arn() {
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
fn rotation_is_checked_with_the_settings_it_changes() {
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
