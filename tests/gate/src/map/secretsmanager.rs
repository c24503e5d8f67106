//! Secrets Manager: calls about one secret.

use serde_json::{Value, json};

use super::{Asker, Call, Context, Facts, Needs, Unmapped, put};

pub(super) fn needs(body: &Value) -> Needs {
    Needs { secrets: secret_id(body).map(str::to_owned).into_iter().collect(), ..Needs::default() }
}

pub(super) fn map(asker: &Asker<'_>, body: &Value, facts: &Facts) -> Result<Call, Unmapped> {
    let action = format!("secretsmanager:{}", asker.operation);
    if asker.operation == "ListSecrets" {
        return Ok(Call {
            checks: vec![asker.check(&action, "*", "*".to_owned(), Context::new())?],
            ..Call::default()
        });
    }
    let id = secret_id(body).ok_or_else(|| Unmapped::because("it has no `SecretId`"))?;
    let mut context = Context::new();
    let arn = match facts.secrets.get(id).and_then(Option::as_ref) {
        Some(secret) => {
            for (key, value) in &secret.tags {
                for space in ["aws", "secretsmanager"] {
                    put(&mut context, &format!("{space}:ResourceTag/{key}"), [value.as_str()]);
                }
            }
            secret.arn.clone()
        }
        // AWS does not reveal whether a secret exists to a caller without rights: use an ARN with this name.
        None if id.starts_with("arn:") => id.to_owned(),
        None => asker.arn("secretsmanager", &format!("secret:{id}-000000")),
    };
    put(&mut context, "secretsmanager:SecretId", [arn.as_str()]);
    if asker.operation == "GetSecretValue" {
        for (parameter, key) in
            [("VersionId", "secretsmanager:VersionId"), ("VersionStage", "secretsmanager:VersionStage")]
        {
            put(&mut context, key, body.get(parameter).and_then(Value::as_str));
        }
    }
    let wrote = (asker.operation == "RotateSecret").then(|| {
        let is_changed = body.get("RotationRules").is_some();
        put(&mut context, "secretsmanager:ModifyRotationRules", [is_changed.to_string()]);
        let is_now = body.get("RotateImmediately").and_then(Value::as_bool).unwrap_or(true);
        put(&mut context, "secretsmanager:RotateImmediately", [is_now.to_string()]);
        put(&mut context, "secretsmanager:RotationLambdaARN", body.get("RotationLambdaARN").and_then(Value::as_str));
        json!({ "secret": arn, "token": body.get("ClientRequestToken") })
    });
    Ok(Call { checks: vec![asker.check(&action, "Secret", arn, context)?], wrote, ..Call::default() })
}

fn secret_id(body: &Value) -> Option<&str> {
    body.get("SecretId").and_then(Value::as_str)
}
