//! Sessions that `AssumeRole` vends.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Response;
use serde_json::Value;

use crate::caller::{Caller, Session};
use crate::map::{Assume, Call};
use crate::xml;

/// The longest session of a chained role, in seconds.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const MAX_CHAINED_S: u32 = 3_600;

/// AWS's limits on the session duration, of which the emulator enforces only some. A session that assumes a role
/// chains roles.
pub(crate) fn too_long(call: &Call) -> Option<(&'static str, String)> {
    let assume = call.assume.as_ref()?;
    let max = assume.max_duration_s.min(MAX_CHAINED_S);
    let message = if assume.duration_s > max {
        format!(
            "The requested DurationSeconds exceeds {max} seconds, the limit for this role or for roles assumed by role chaining."
        )
    } else if assume.duration_s < 900 {
        "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900".to_owned()
    } else {
        return None;
    };
    Some(("ValidationError", message))
}

/// The session that `answer` to `AssumeRole` vends.
pub(crate) fn vended(
    assume: &Assume,
    by: &Caller,
    answer: &Response<Bytes>,
    issued_at: DateTime<Utc>,
    stripped: bool,
) -> Option<Session> {
    let root = xml::parse(&String::from_utf8_lossy(answer.body()))?;
    let text = |path: &str| root.text_at(&format!("AssumeRoleResult/{path}")).map(str::to_owned);
    // Source identity and transitive tags persist through role chaining.
    let (inherited, inherited_identity) = match by {
        Caller::Bootstrap => (Vec::new(), None),
        Caller::Session(session) => (
            session
                .tags
                .iter()
                .filter(|(key, _)| session.transitive.contains(*key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            session.source_identity.clone(),
        ),
    };
    let mut transitive: BTreeSet<String> = assume.transitive.clone();
    transitive.extend(inherited.iter().map(|(key, _)| key.clone()));
    let mut tags = assume.tags.clone();
    tags.extend(inherited);
    Some(Session {
        access_key: text("Credentials/AccessKeyId")?,
        secret: text("Credentials/SecretAccessKey")?,
        token: text("Credentials/SessionToken")?,
        role_arn: assume.role_arn.clone(),
        arn: text("AssumedRoleUser/Arn")?,
        role_name: assume.role_name.clone(),
        user_id: text("AssumedRoleUser/AssumedRoleId")?,
        policy: match (&assume.policy, stripped) {
            (Some(policy), true) => Some(without_time_deny(policy)),
            (policy, _) => policy.clone(),
        },
        tags,
        transitive,
        source_identity: inherited_identity.or_else(|| assume.source_identity.clone()),
        issued_at,
        expires_at: text("Credentials/Expiration")?.parse().ok()?,
    })
}

/// `policy` without the denies that test `aws:CurrentTime`.
fn without_time_deny(policy: &Value) -> Value {
    let mut policy = policy.clone();
    if let Some(statements) = policy.get_mut("Statement").and_then(Value::as_array_mut) {
        statements.retain(|statement| {
            let denies = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
            let by_time = statement
                .get("Condition")
                .is_some_and(|condition| condition.to_string().contains("\"aws:CurrentTime\""));
            !(denies && by_time)
        });
    }
    policy
}
