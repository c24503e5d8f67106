//! Secrets Manager: calls about one secret.

use serde_json::Value;

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
        // AWS does not tell whether a secret exists to who may not read it: ask about one of that name.
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
    Ok(Call { checks: vec![asker.check(&action, "Secret", arn, context)?], ..Call::default() })
}

fn secret_id(body: &Value) -> Option<&str> {
    body.get("SecretId").and_then(Value::as_str)
}
