//! Checks that an entitlement can be rendered for every valid request, by rendering it with the longest values.

use std::collections::BTreeMap;

use brevet_domain::entitlement::{Delivery, Entitlement, Holder, Parameter, ParameterValue, Rotation};
use brevet_domain::id::GrantId;
use brevet_domain::plan::{PlanError, PlanTemplate, rotations};
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;

use super::finding::{Findings, chain};
use super::form::{EntitlementForm, StatementForm};

/// 2030-01-01T00:00:00Z. Every instant in a policy has the same length.
const SOME_INSTANT: i64 = 1_893_456_000;

/// The longest name of a secret, in characters, including the suffix that Secrets Manager adds.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html> (512, and 7 more)
const MAX_SECRET_NAME: usize = 519;

/// Reports an entitlement that cannot be rendered: its policy is too long, a condition collides with the grant's time
/// limit, or no action can be simulated after the grant ends.
pub(super) fn check(file: &str, form: &EntitlementForm, entitlement: &Entitlement, findings: &mut Findings) {
    let Some(sample) = RenderSample::longest() else {
        findings.whole(file, "the longest rendering cannot be computed");
        return;
    };
    // Statements are rendered one by one first, so that a finding has its place.
    for (n, statement) in form.statements.value.iter().enumerate() {
        let own = entitlement.statements.get(n).cloned().into_iter().collect();
        let alone = Entitlement { statements: own, ..entitlement.clone() };
        if let Err(PlanError::OwnTimeLimit(key)) = sample.render(&as_inline(&alone)) {
            own_time_limit(file, statement, &key, findings);
            return;
        }
    }
    for (form, rotation) in form.rotate.iter().zip(sample.rotations(entitlement).unwrap_or_default()) {
        let name = rotation.secret.split(":secret:").nth(1).unwrap_or_default();
        let n = name.chars().count();
        if n > MAX_SECRET_NAME {
            let message = format!(
                "with the longest parameters, the secret's name has {n} characters; it may have at most {MAX_SECRET_NAME}; shorten it or `max_length`"
            );
            findings.at(file, &form.value.secret, message);
        }
    }
    let rendered = sample.render(entitlement);
    if let Some(problem) = rendered.as_ref().err().and_then(problem) {
        findings.at(file, &form.statements, problem);
    }
    let attached = !matches!(entitlement.delivery, Delivery::Session { .. });
    if attached
        && !form.statements.value.is_empty()
        && rendered.is_ok_and(|template| template.probes().tried.is_empty())
    {
        let message = "every action contains a wildcard, so none can be simulated after the grant ends; name at least one in full, e.g. `s3:GetObject`";
        findings.at(file, &form.statements, message);
    }
}

fn problem(error: &PlanError) -> Option<String> {
    match error {
        // The check of the form reports these, with their places.
        PlanError::UnknownVariable(_) | PlanError::Unclosed(_) | PlanError::Outlives(_) => None,
        PlanError::TooLong { .. } | PlanError::InlineTooLong { .. } | PlanError::Canonical(_) => {
            Some(format!("with the longest parameters, {}; shorten statements or `max_length`", chain(error)))
        }
        PlanError::OwnTimeLimit(_) | PlanError::Principal(_) | PlanError::NotHolder(_) | PlanError::OtherDelivery => {
            Some(chain(error))
        }
    }
}

fn own_time_limit(file: &str, statement: &StatementForm, key: &str, findings: &mut Findings) {
    let message = format!(
        "an attachment's statement cannot have a condition on `{key}`: the grant's own time limit uses it; remove it, and limit the time by `context.now` in a policy"
    );
    // The name is a condition key, or an operator that equals one of the limit's own except for its case.
    let named = |operator: &String, name: &String| operator == key || name == key;
    let places = statement.conditions.iter().flat_map(|(operator, keys)| {
        keys.iter().filter(move |(name, _)| named(operator, name)).map(|(_, values)| values)
    });
    match places.into_iter().next() {
        Some(values) => findings.at(file, values, message),
        None => findings.at(file, &statement.actions, message),
    }
}

/// The same entitlement as an inline attachment. The statements of a managed policy must be able to carry a time limit,
/// too, although the policy itself carries none.
fn as_inline(entitlement: &Entitlement) -> Entitlement {
    match &entitlement.delivery {
        Delivery::Session { .. } | Delivery::Inline { .. } => entitlement.clone(),
        Delivery::Managed { principal_arn, holder, .. } => Entitlement {
            delivery: Delivery::Inline { principal_arn: principal_arn.clone(), holder: holder.clone() },
            ..entitlement.clone()
        },
    }
}

/// A sample deployment with the longest names, and a sample grant, to render plans with.
pub(super) struct RenderSample {
    pub(super) deployment: Deployment,
    grant: GrantId,
}

impl RenderSample {
    pub(super) fn longest() -> Option<Self> {
        let deployment = Deployment {
            id: "longestdep".parse().ok()?,
            account: "000000000000".parse().ok()?,
            partition: "aws-us-gov".to_owned(),
            region: "ap-southeast-99".to_owned(), // as long as any Region's name, and one more
        };
        Some(Self { deployment, grant: "grt_00000000000000000000000000".parse().ok()? })
    }

    /// Renders the plan with the longest possible values.
    fn render(&self, entitlement: &Entitlement) -> Result<PlanTemplate, PlanError> {
        let parameters = longest_values(entitlement);
        let who = match &entitlement.delivery {
            Delivery::Inline { holder: Holder::Single(holder), .. }
            | Delivery::Managed { holder: Holder::Single(holder), .. } => holder,
            Delivery::Session { .. } | Delivery::Inline { .. } | Delivery::Managed { .. } => &entitlement.owner,
        };
        let template = PlanTemplate::for_grant(&self.deployment, entitlement, &parameters, who, None, self.grant)?;
        template.check(Timestamp::from_seconds(SOME_INSTANT), entitlement.max_term)?;
        Ok(template)
    }

    fn rotations(&self, entitlement: &Entitlement) -> Result<Vec<Rotation>, PlanError> {
        rotations(&self.deployment, entitlement, &longest_values(entitlement))
    }
}

/// The longest possible value of each parameter.
fn longest_values(entitlement: &Entitlement) -> BTreeMap<String, ParameterValue> {
    let value = |parameter: &Parameter| match parameter {
        Parameter::Text { max_length, .. } => {
            let n = usize::try_from(*max_length).unwrap_or(0).clamp(1, ParameterValue::MAX);
            ParameterValue::try_from("x".repeat(n)).ok()
        }
        // The longest number is one of the two bounds.
        Parameter::Integer { min, max } => {
            let longest = [min.to_string(), max.to_string()].into_iter().max_by_key(String::len);
            longest.and_then(|text| ParameterValue::try_from(text).ok())
        }
        Parameter::Enum { values } => values.iter().max_by_key(|value| value.as_str().len()).cloned(),
        Parameter::Date { .. } => ParameterValue::try_from("2026-11-22".to_owned()).ok(),
    };
    let values = |(name, parameter): (&String, &Parameter)| Some((name.clone(), value(parameter)?));
    entitlement.parameters.iter().filter_map(values).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entitlement(delivery: serde_json::Value, n: usize) -> Entitlement {
        let resources: Vec<_> = (0..n).map(|n| format!("arn:{n}:${{p}}")).collect();
        serde_json::from_value(json!({
            "id": "xx", "owner": "dana", "description": "d", "delivery": delivery, "max_term": 60,
            "start_within_s": 60, "parameters": { "p": { "type": "text", "pattern": "[a-z]+", "max_length": 256 } },
            "statements": [{ "actions": ["s3:GetObject"], "resources": resources }],
            "approval": { "count": 1, "within_s": 60 },
        }))
        .unwrap()
    }

    #[test]
    fn longest_rendering_is_checked_against_the_size_limits() {
        let sample = RenderSample::longest().unwrap();
        let session = json!({ "session": { "target": "tt", "credential_s": 900, "iam_allowed": false } });
        assert!(sample.render(&entitlement(session.clone(), 1)).is_ok());
        let error = sample.render(&entitlement(session, 8)).unwrap_err();
        assert!(matches!(error, PlanError::TooLong { size } if size > 2_048), "{error}");
        let arn = "arn:${partition}:iam::${account}:role/brevet/${deployment}/attachment/brevet-${deployment}-x";
        let inline = json!({ "inline": { "principal_arn": arn, "holder": { "single": "batch" } } });
        assert!(sample.render(&entitlement(inline.clone(), 8)).is_ok());
        let error = sample.render(&entitlement(inline, 40)).unwrap_err();
        assert!(matches!(error, PlanError::InlineTooLong { size } if size > 10_240), "{error}");
    }

    #[test]
    fn longest_value_is_found_for_each_type_of_parameter() {
        let session = json!({ "session": { "target": "tt", "credential_s": 900, "iam_allowed": false } });
        for (parameter, n) in [
            (json!({ "type": "text", "pattern": "a+", "max_length": 17 }), 17),
            (json!({ "type": "integer", "min": -1000, "max": 999 }), 5),
            (json!({ "type": "integer", "min": 0, "max": 999 }), 3),
            (json!({ "type": "enum", "values": ["a", "bcd", "ef"] }), 3),
            (json!({ "type": "date" }), 10),
        ] {
            let mut entitlement = entitlement(session.clone(), 1);
            entitlement.parameters.insert("p".to_owned(), serde_json::from_value(parameter.clone()).unwrap());
            assert_eq!(longest_values(&entitlement)["p"].as_str().len(), n, "{parameter}");
        }
    }
}
