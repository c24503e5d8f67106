//! Known denials, each with its nearest allowed neighbour. The real decider must answer all of them before the gate
//! listens.
//!
//! The evaluator has answered "allowed" for a missing key and for an unknown option. A gate that no longer denies
//! would let every test pass, so it does not start.

use serde_json::{Map, Value};

use crate::decide::{Decider, DeciderError, Outcome, Question};
use crate::live::Policy;
use crate::map::{Check, Context, table};

/// Each case is a question with two patches. After `denied`, the kind of policy named in `by` must deny it; after
/// `allowed`, it must be allowed. A patch replaces fields; inside `context` it replaces keys, and `null` removes a key.
const CASES: &str = include_str!("battery.json");

/// Context of a case unless the case replaces it.
const CONTEXT: &str = r#"{
    "aws:CurrentTime": ["2026-11-22T12:00:00Z"],
    "aws:EpochTime": ["1795348800"],
    "aws:PrincipalAccount": ["000000000000"],
    "aws:PrincipalArn": ["arn:aws:iam::000000000000:role/brevet/dev/function/brevet-dev-issue"],
    "aws:PrincipalIsAWSService": ["false"],
    "aws:PrincipalType": ["AssumedRole"],
    "aws:RequestedRegion": ["us-east-1"],
    "aws:ResourceAccount": ["000000000000"],
    "aws:SecureTransport": ["true"],
    "aws:TokenIssueTime": ["2026-11-22T11:55:00Z"],
    "aws:ViaAWSService": ["false"],
    "aws:userid": ["AROA1:brevet-dev-issue"]
}"#;

/// Why the gate may not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatteryError {
    #[error("the decider is wrong about {name}: expected {expected}, got {answered}")]
    Wrong {
        name: String,
        /// `denied by …` or `allowed`.
        expected: String,
        answered: String,
    },
    #[error("the decider gave no verdict on: {name}")]
    None {
        name: String,
        #[source]
        source: DeciderError,
    },
    #[error("the battery cannot be read: {0}")]
    Unreadable(String),
}

/// Puts every case to `decider`. Returns the number of correct verdicts.
///
/// # Errors
///
/// [`BatteryError`] naming the first case with a wrong or missing verdict.
pub(crate) async fn run(decider: &Decider) -> Result<usize, BatteryError> {
    let mut n_right: usize = 0;
    for case in cases()? {
        for (outcome, question) in
            [(Outcome::Denied, case.variant("denied")?), (Outcome::Allowed, case.variant("allowed")?)]
        {
            let verdict = decider
                .decide(&question)
                .await
                .map_err(|source| BatteryError::None { name: case.name.clone(), source })?;
            let by = verdict.checks.first().and_then(|check| check.by.clone());
            let (right, expected) = match outcome {
                Outcome::Denied => (
                    verdict.result == Outcome::Denied && by.as_ref() == Some(&case.by),
                    format!("denied by {}", case.by),
                ),
                Outcome::Allowed => (verdict.result == Outcome::Allowed && by.is_none(), "allowed".to_owned()),
            };
            if !right {
                return Err(BatteryError::Wrong {
                    name: case.name.clone(),
                    expected,
                    answered: format!("{verdict:?}"),
                });
            }
            n_right = n_right.saturating_add(1);
        }
    }
    Ok(n_right)
}

struct Case {
    name: String,
    by: String,
    fields: Map<String, Value>,
}

fn cases() -> Result<Vec<Case>, BatteryError> {
    let cases: Vec<Map<String, Value>> =
        serde_json::from_str(CASES).map_err(|error| BatteryError::Unreadable(error.to_string()))?;
    cases
        .into_iter()
        .map(|fields| {
            let text = |name: &str| {
                fields
                    .get(name)
                    .and_then(Value::as_str)
                    .map(str::to_owned)
                    .ok_or_else(|| BatteryError::Unreadable(format!("a case has no `{name}`")))
            };
            Ok(Case { name: text("name")?, by: text("by")?, fields })
        })
        .collect()
}

impl Case {
    fn variant(&self, patch: &str) -> Result<Question, BatteryError> {
        let unreadable = |what: &str| BatteryError::Unreadable(format!("{}: {what}", self.name));
        let mut context: Map<String, Value> =
            serde_json::from_str(CONTEXT).map_err(|error| unreadable(&error.to_string()))?;
        let mut question = Map::new();
        for part in ["question", patch] {
            let fields =
                self.fields.get(part).and_then(Value::as_object).ok_or_else(|| unreadable("no question or patch"))?;
            for (name, value) in fields {
                match value.as_object() {
                    Some(keys) if name == "context" => context.extend(keys.clone()),
                    Some(_) | None => drop(question.insert(name.clone(), value.clone())),
                }
            }
        }
        context.retain(|_, value| !value.is_null());
        let context: Context =
            serde_json::from_value(Value::Object(context)).map_err(|error| unreadable(&error.to_string()))?;
        let text =
            |name: &str| question.get(name).and_then(Value::as_str).ok_or_else(|| unreadable("no action or resource"));
        let policy =
            |name: &str| question.get(name).map(|policy| Policy { name: name.to_owned(), policy: policy.clone() });
        let action = text("action")?;
        let row = table::TABLE.iter().find(|row| row.action == action);
        Ok(Question {
            principal: "arn:aws:sts::000000000000:assumed-role/brevet-dev-issue/brevet-dev-issue".to_owned(),
            identity: ["identity", "attached"].into_iter().filter_map(policy).collect(),
            session: question.get("session").cloned(),
            boundary: policy("boundary").map(|policy| vec![policy]),
            checks: vec![Check {
                action: row.map_or("s3:GetNothing", |row| row.action),
                resource: text("resource")?.to_owned(),
                account: "000000000000".to_owned(),
                context,
                modelled: row.map(|row| row.keys.to_vec()).unwrap_or_default(),
                resource_policy: question.get("trust").cloned(),
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{modules, sabotaged};

    #[tokio::test]
    async fn real_decider_passes_the_battery() {
        let Some(modules) = modules("real_decider_passes_the_battery") else {
            return;
        };
        let decider = Decider::start(&modules).unwrap();
        let n_right = run(&decider).await.unwrap();
        assert_eq!(n_right, cases().unwrap().len() * 2);
        assert!(n_right >= 110, "only {n_right} verdicts");
    }

    /// Each sabotage is a way in which the decider has been wrong or could be. The battery must catch it.
    #[tokio::test]
    async fn battery_catches_a_decider_that_lost_one_protection() {
        let Some(modules) = modules("battery_catches_a_decider_that_lost_one_protection") else {
            return;
        };
        for (good, bad) in [
            // The evaluator ignores options that it does not know.
            ("simulation.sessionPolicy =", "simulation.sessionPolicies ="),
            ("simulation.permissionBoundaryPolicies =", "simulation.permissionBoundaries ="),
            ("simulation.resourcePolicy =", "simulation.resourcePolicies ="),
            // A Deny whose key is missing does not match.
            ("if (unmodelled) return", "if (false) return"),
            ("contextVariables: check.context", "contextVariables: {}"),
            ("dropped.length > 0", "dropped.length > 99"),
            ("answer.resultType !== 'single'", "false"),
            ("answer.overallResult === 'Allowed'", "true"),
        ] {
            let decider = sabotaged(&modules, good, bad);
            let caught = run(&decider).await;
            println!("{bad}: {caught:?}");
            assert!(matches!(caught, Err(BatteryError::Wrong { .. })), "`{bad}` was not caught: {caught:?}");
        }
    }
}
