//! `SimulatePrincipalPolicy`, which the gate itself answers with the decider's evaluator.
//!
//! The emulator's own simulator compares actions and resources as text and ignores conditions. It would report an
//! expired attachment as allowed, and a wildcard match as denied, so its answer would be no evidence. The gate
//! enforces and logs the call and applies faults as for any other, but does not forward it.
//!
//! As in AWS, the simulator uses the principal's policies and boundary in force and *only* the given context: without
//! `aws:CurrentTime` among the entries, no time condition holds. It answers one result for each action on each
//! resource, on one page. It refuses unmodelled input (policies as input, resource policies, another caller).
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::inbound::{Form, Inbound};
use crate::live::{Policy, Role};
use crate::map::Service;
use crate::proxy::Gate;
use crate::record::{Decision, Entry};
use crate::refuse::Refusal;
use crate::xml::escape;

/// Parameters of AWS's simulator that this one does not model.
const NOT_MODELLED: &[&str] = &[
    "PolicyInputList",
    "PermissionsBoundaryPolicyInputList",
    "ResourcePolicy",
    "ResourceOwner",
    "CallerArn",
    "ResourceHandlingOption",
    "Marker",
];

const KEY_TYPES: &[&str] = &["string", "numeric", "boolean", "ip", "binary", "date"];

/// The values of one context key.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Values {
    values: Vec<String>,
    /// Whether the key's type is a list type.
    list: bool,
}

/// The question of a call to the simulator.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct UnverifiedSimulation {
    actions: Vec<String>,
    resources: Vec<String>,
    context: BTreeMap<String, Values>,
}

/// The decider's answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Simulated {
    /// A result for each action on each resource.
    Results(Vec<Outcome>),
    /// The question is invalid.
    Invalid(String),
    /// The question could not be evaluated.
    Error(String),
}

/// The result for one action on one resource.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Outcome {
    action: String,
    resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    decision: String,
    /// Names of the policies whose statements determined the decision.
    matched: Vec<String>,
    /// Context keys that the policies for this action use and that the call did not give.
    missing: Vec<String>,
    /// Whether the boundary allows it; `None` without a boundary.
    bounded: Option<bool>,
}

/// Reads the question in `form`.
///
/// # Errors
///
/// AWS's sentence, or the gate's for an unmodelled parameter.
pub(crate) fn parse(form: &Form) -> Result<UnverifiedSimulation, String> {
    let failed = |what: &str, constraint: &str| {
        format!("1 validation error detected: Value at '{what}' failed to satisfy constraint: Member must {constraint}")
    };
    if let Some(name) = NOT_MODELLED.iter().find(|name| form.has_prefix(name)) {
        return Err(format!("the gate's simulator does not model `{name}`"));
    }
    let texts = |name: &str| form.members(name, None).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let actions = texts("ActionNames");
    if actions.is_empty() {
        return Err(failed("actionNames", "not be null"));
    }
    if actions.iter().any(|action| !(3..=128).contains(&action.chars().count())) {
        return Err(failed("actionNames", "have length between 3 and 128"));
    }
    let mut resources = texts("ResourceArns");
    if resources.is_empty() {
        resources.push("*".to_owned());
    }
    if let Some(resource) = resources.iter().find(|arn| *arn != "*" && arn.splitn(6, ':').count() < 6) {
        return Err(format!("Invalid resource ARN: {resource}"));
    }
    let mut context = BTreeMap::new();
    for (index, name) in (1_usize..).zip(form.members("ContextEntries", Some("ContextKeyName"))) {
        let of = |field: &str| format!("ContextEntries.member.{index}.{field}");
        let values: Vec<String> = form.members(&of("ContextKeyValues"), None).into_iter().map(str::to_owned).collect();
        let kind = form.field(&of("ContextKeyType")).unwrap_or_default();
        let list = kind.ends_with("List");
        if !KEY_TYPES.contains(&kind.strip_suffix("List").unwrap_or(kind)) {
            return Err(failed("contextEntries.contextKeyType", "satisfy enum value set"));
        }
        if values.is_empty() || (!list && values.len() > 1) {
            return Err(format!("Invalid context values for {name} of type {kind}"));
        }
        context.insert(name.to_owned(), Values { values, list });
    }
    Ok(UnverifiedSimulation { actions, resources, context })
}

impl Gate {
    /// Answers the allowed call `inbound` from the policies in force now.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] for a question that AWS would reject, a principal that does not exist, or policies that
    /// cannot be evaluated.
    pub(crate) async fn simulate(&self, inbound: &Inbound, entry: &mut Entry) -> Result<Response<Bytes>, Refusal> {
        let answer = self.simulated(inbound, entry).await;
        answer.map_err(|(code, message)| {
            entry.decision = Decision::Invalid;
            entry.reason = Some(message.clone());
            Refusal::Invalid { code, message }
        })
    }

    async fn simulated(&self, inbound: &Inbound, entry: &mut Entry) -> Result<Response<Bytes>, (&'static str, String)> {
        let form = inbound.form();
        let asked = parse(&form).map_err(|why| ("ValidationError", why))?;
        let source = form.field("PolicySourceArn").unwrap_or_default();
        let name = source.rsplit('/').next().unwrap_or_default();
        let unevaluated = |why: String| ("PolicyEvaluation", why);
        let role = self
            .live
            .role(name)
            .await
            .map_err(|error| unevaluated(error.to_string()))?
            .filter(|role| role.arn == source)
            .ok_or_else(|| ("NoSuchEntity", format!("The role with name {name} cannot be found.")))?;
        let question = json!({ "simulate": {
            "principal": role.arn,
            "identity": named(&role),
            "boundary": role.boundary.as_ref().map(|policy| vec![managed(policy)]),
            "actions": asked.actions,
            "resources": asked.resources,
            "account": self.config.account,
            "context": asked.context,
        } });
        let outcomes = match self.decider.simulate(question).await.map_err(|error| unevaluated(error.to_string()))? {
            Simulated::Results(outcomes) => outcomes,
            Simulated::Invalid(why) => return Err(("ValidationError", why)),
            Simulated::Error(why) => return Err(unevaluated(why)),
        };
        let results = outcomes
            .iter()
            .map(|one| json!({ "action": one.action, "resource": one.resource, "decision": one.decision }));
        entry.simulated = Some(results.collect());
        let id = format!("gate-{:08}", entry.n);
        entry.request_id = Some(id.clone());
        let mut answer = Response::new(Bytes::from(answer(&outcomes, &id)));
        let headers = answer.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("text/xml"));
        if let Ok(id) = id.parse() {
            headers.insert("x-amzn-requestid", id);
        }
        Ok(answer)
    }
}

/// Whether the gate answers `operation` here.
pub(crate) fn is_ours(service: Option<Service>, operation: &str) -> bool {
    service == Some(Service::Iam) && operation == "SimulatePrincipalPolicy"
}

/// The role's policies with the names of AWS's simulator: `role_<role>_<policy>` for an inline one, the name without
/// path for a managed one.
fn named(role: &Role) -> Vec<Policy> {
    let inline = role
        .inline
        .iter()
        .map(|inline| Policy { name: format!("role_{}_{}", role.name, inline.name), policy: inline.policy.clone() });
    inline.chain(role.attached.iter().map(managed)).collect()
}

fn managed(policy: &Policy) -> Policy {
    let name = policy.name.rsplit('/').next().unwrap_or_default();
    Policy { name: name.to_owned(), policy: policy.policy.clone() }
}

fn answer(outcomes: &[Outcome], request_id: &str) -> String {
    let mut results = String::new();
    for Outcome { action, resource, decision, matched, missing, bounded } in outcomes {
        let matched: String = matched
            .iter()
            .map(|name| {
                let name = escape(name);
                format!("<member><SourcePolicyId>{name}</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType></member>")
            })
            .collect();
        let missing: String = missing.iter().map(|key| format!("<member>{}</member>", escape(key))).collect();
        let bounded = bounded.map_or_else(String::new, |allowed| {
            format!("<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>{allowed}</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>")
        });
        let (action, resource) = (escape(action), escape(resource));
        // Writing to a string cannot fail.
        write!(
            results,
            "<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName><EvalDecision>{decision}</EvalDecision><MatchedStatements>{matched}</MatchedStatements><MissingContextValues>{missing}</MissingContextValues>{bounded}</member>"
        )
        .ok();
    }
    format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults></SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
}

#[cfg(test)]
mod tests;
