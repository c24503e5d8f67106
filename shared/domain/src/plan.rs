//! Plans: the exact AWS calls that realise a grant, as data.
//!
//! A decision carries a [`PlanTemplate`]; the recorded deadline turns it into a [`SessionPlan`] or an
//! [`AttachmentPlan`]. All derive from stored data, so the issuer can check that the plan belongs to the decision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical::{CanonicalError, Digest, canonical};
use crate::deny::MAX_ROLE_INLINE;
use crate::entitlement::{Conditions, Delivery, Entitlement, ParameterValue, Rotation, Statement};
use crate::id::{GrantId, IdentityId};
use crate::identity::Task;
use crate::settings::Deployment;
use crate::time::{Term, Timestamp};

mod attachment;
mod preview;

pub use attachment::{AttachmentPlan, InlineTemplate, ManagedTemplate, Probe, Probes};
pub use preview::Preview;

/// The maximum size of an inline session policy, in characters.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
pub const MAX_SESSION_POLICY: usize = 2_048;

/// The shortest lifetime of an STS credential, in seconds. Source: as above.
pub const MIN_CREDENTIAL_S: u32 = 900;

/// A plan without its deadline. The fields identify the form; the session's form predates the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PlanTemplate {
    /// Vends credentials.
    Session(SessionTemplate),
    /// Puts an inline policy.
    Inline(InlineTemplate),
    /// Attaches a managed policy.
    Managed(ManagedTemplate),
}

/// The plan of a session without its deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTemplate {
    pub role_arn: String,
    /// The STS session name. It derives from the grant id, so that a retry is the same call.
    pub session_name: String,
    pub source_identity: IdentityId,
    pub tags: BTreeMap<String, String>,
    /// The lifetime of one credential, in seconds.
    pub credential_s: u32,
    /// The allowed actions, with every parameter filled in.
    pub statements: Vec<Statement>,
    /// Whether the session may call IAM.
    pub iam_allowed: bool,
}

/// One `AssumeRole` call.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionPlan {
    pub role_arn: String,
    pub session_name: String,
    pub source_identity: String,
    pub tags: BTreeMap<String, String>,
    /// `DurationSeconds`.
    pub duration_s: u32,
    /// The inline session policy.
    pub policy: String,
    /// The SHA-256 of the policy's text.
    pub policy_digest: Digest,
}

impl std::fmt::Debug for SessionPlan {
    /// Leaves the policy out: session policies are never logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionPlan")
            .field("session_name", &self.session_name)
            .field("policy_digest", &self.policy_digest)
            .finish_non_exhaustive()
    }
}

/// The reason why a plan cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A statement uses an unknown parameter.
    #[error("a statement uses `${{{0}}}`, which is not a parameter of the entitlement")]
    UnknownVariable(String),
    /// A statement has a `${` without `}`.
    #[error("a statement has `${{` without `}}`: `{0}`")]
    Unclosed(String),
    /// The session policy is too long.
    #[error("the session policy has {size} characters; STS takes at most {MAX_SESSION_POLICY}")]
    TooLong {
        /// The size in characters.
        size: usize,
    },
    /// The inline policy is too long.
    #[error("the inline policy has {size} characters; IAM takes at most {MAX_ROLE_INLINE} on a role")]
    InlineTooLong {
        /// The size in characters.
        size: usize,
    },
    /// The principal cannot have attachments.
    #[error(
        "`{0}` is not an attachment principal: name the ARN of a role of this account; under `/brevet/` only roles of \
         this installation's `attachment/` are allowed"
    )]
    Principal(String),
    /// The principal has a single holder, who is not the requester.
    #[error("the principal has a single holder other than `{0}`, and the catalogue does not mark it as shared")]
    NotHolder(IdentityId),
    /// A statement has its own time limit, which the plan's limit would replace.
    #[error(
        "a statement of an attachment has a condition on `{0}`: remove it, because the plan sets its own time limit"
    )]
    OwnTimeLimit(String),
    /// An attached statement could create something that outlives the grant.
    #[error(
        "a statement of an attachment allows `{0}`: remove it, because what `iam` and `sts` create could outlive the grant"
    )]
    Outlives(String),
    /// The template has another delivery.
    #[error("the plan has another delivery")]
    OtherDelivery,
    /// The plan has no JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl PlanTemplate {
    /// Renders the template of `entitlement` for one grant.
    ///
    /// # Errors
    ///
    /// [`PlanError::UnknownVariable`] or [`PlanError::Unclosed`] if a statement cannot be filled in.
    pub fn for_grant(
        deployment: &Deployment,
        entitlement: &Entitlement,
        parameters: &BTreeMap<String, ParameterValue>,
        identity: &IdentityId,
        task: Option<&Task>,
        grant: GrantId,
    ) -> Result<Self, PlanError> {
        let variables = variables(deployment, parameters);
        let statements: Vec<Statement> =
            entitlement.statements.iter().map(|s| fill_statement(s, &variables)).collect::<Result<_, _>>()?;
        let (target, credential_s, iam_allowed) = match &entitlement.delivery {
            Delivery::Session { target, credential_s, iam_allowed } => (target, *credential_s, *iam_allowed),
            Delivery::Inline { principal_arn, holder } => {
                let principal_arn = attachment::principal(deployment, principal_arn, holder, identity)?;
                let policy_name = deployment.inline_policy_name(grant);
                return Ok(Self::Inline(InlineTemplate {
                    principal_arn,
                    policy_name,
                    statements,
                    holder: holder.clone(),
                }));
            }
            Delivery::Managed { principal_arn, policy, holder } => {
                let principal_arn = attachment::principal(deployment, principal_arn, holder, identity)?;
                let policy_arn = deployment.managed_policy_arn(policy);
                return Ok(Self::Managed(ManagedTemplate {
                    principal_arn,
                    policy_arn,
                    statements,
                    holder: holder.clone(),
                }));
            }
        };
        let mut tags = BTreeMap::from([
            ("brevet:grant".to_owned(), grant.to_string()),
            ("brevet:identity".to_owned(), identity.to_string()),
            ("brevet:entitlement".to_owned(), entitlement.id.to_string()),
        ]);
        if let Some(task) = task {
            tags.insert("brevet:task".to_owned(), task.as_str().to_owned());
        }
        Ok(Self::Session(SessionTemplate {
            role_arn: deployment.session_role_arn(target),
            session_name: deployment.session_name(grant),
            source_identity: identity.clone(),
            tags,
            credential_s,
            statements,
            iam_allowed,
        }))
    }

    /// The template on behalf of `human`: a session names the human in its own tag. The session stays the requester's.
    #[must_use]
    pub fn on_behalf_of(mut self, human: Option<&IdentityId>) -> Self {
        if let (Self::Session(session), Some(human)) = (&mut self, human) {
            session.tags.insert("brevet:on-behalf-of".to_owned(), human.to_string());
        }
        self
    }

    /// The template of a session.
    ///
    /// # Errors
    ///
    /// [`PlanError::OtherDelivery`] for another delivery.
    pub fn session(&self) -> Result<&SessionTemplate, PlanError> {
        match self {
            Self::Session(template) => Ok(template),
            Self::Inline(_) | Self::Managed(_) => Err(PlanError::OtherDelivery),
        }
    }

    /// Renders the `AssumeRole` call, see [`SessionTemplate::render`].
    ///
    /// # Errors
    ///
    /// [`PlanError::OtherDelivery`] for another delivery; otherwise the errors of that function.
    pub fn render(&self, deadline: Timestamp, now: Timestamp) -> Result<SessionPlan, PlanError> {
        self.session()?.render(deadline, now)
    }

    /// Checks that the template can be rendered at `now` for `term`.
    ///
    /// # Errors
    ///
    /// The [`PlanError`] of the rendering.
    pub fn check(&self, now: Timestamp, term: Term) -> Result<(), PlanError> {
        let deadline = now.plus(term.as_seconds());
        match self {
            Self::Session(template) => template.render(deadline, now).map(drop),
            Self::Inline(_) | Self::Managed(_) => self.attachment(deadline, term, 0).map(drop),
        }
    }
}

impl SessionTemplate {
    /// Renders the `AssumeRole` call of a vend at `now` for a grant that ends at `deadline`.
    ///
    /// The policy denies everything from the deadline on, because only an explicit deny also overrides a resource
    /// policy that names the session. It denies `sts:*`, because a chained session or a web identity token would
    /// outlive the grant.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
    ///
    /// # Errors
    ///
    /// [`PlanError::TooLong`] if the policy does not fit into a session policy.
    pub fn render(&self, deadline: Timestamp, now: Timestamp) -> Result<SessionPlan, PlanError> {
        let policy = self.policy(deadline)?;
        let size = policy.chars().count();
        if size > MAX_SESSION_POLICY {
            return Err(PlanError::TooLong { size });
        }
        let remaining = u32::try_from(deadline.seconds_since(now)).unwrap_or(u32::MAX);
        Ok(SessionPlan {
            role_arn: self.role_arn.clone(),
            session_name: self.session_name.clone(),
            source_identity: self.source_identity.to_string(),
            tags: self.tags.clone(),
            duration_s: self.credential_s.min(remaining.max(MIN_CREDENTIAL_S)),
            policy_digest: Digest::of_bytes(policy.as_bytes()),
            policy,
        })
    }

    fn policy(&self, deadline: Timestamp) -> Result<String, CanonicalError> {
        let mut statements: Vec<Value> = self.statements.iter().map(allow).collect();
        statements.push(json!({
            "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": deadline.policy_form() } },
        }));
        let never: &[&str] = if self.iam_allowed { &["sts:*"] } else { &["iam:*", "sts:*"] };
        statements.push(json!({ "Effect": "Deny", "Action": never, "Resource": "*" }));
        canonical(&json!({ "Version": "2012-10-17", "Statement": statements }))
    }
}

/// The secrets to rotate after the end of a grant of `entitlement`, with every parameter filled in.
///
/// # Errors
///
/// [`PlanError::UnknownVariable`] or [`PlanError::Unclosed`] if a name cannot be filled in.
pub fn rotations(
    deployment: &Deployment,
    entitlement: &Entitlement,
    parameters: &BTreeMap<String, ParameterValue>,
) -> Result<Vec<Rotation>, PlanError> {
    let variables = variables(deployment, parameters);
    let filled =
        |rotation: &Rotation| Ok(Rotation { secret: fill(&rotation.secret, &variables)?, times: rotation.times });
    entitlement.rotate.iter().map(filled).collect()
}

fn allow(statement: &Statement) -> Value {
    let mut rendered = json!({ "Effect": "Allow", "Action": statement.actions, "Resource": statement.resources });
    if let (false, Some(object)) = (statement.conditions.is_empty(), rendered.as_object_mut()) {
        object.insert("Condition".to_owned(), json!(statement.conditions));
    }
    rendered
}

fn variables(deployment: &Deployment, parameters: &BTreeMap<String, ParameterValue>) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<_, _> =
        parameters.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect();
    // Inserted last, so that no parameter can replace them.
    variables.insert("account".to_owned(), deployment.account.to_string());
    variables.insert("partition".to_owned(), deployment.partition.clone());
    variables.insert("region".to_owned(), deployment.region.clone());
    variables
}

fn fill_statement(statement: &Statement, variables: &BTreeMap<String, String>) -> Result<Statement, PlanError> {
    let all = |texts: &[String]| texts.iter().map(|text| fill(text, variables)).collect::<Result<Vec<_>, _>>();
    let mut conditions = Conditions::new();
    for (operator, keys) in &statement.conditions {
        let filled = keys.iter().map(|(key, values)| Ok((key.clone(), all(values)?)));
        conditions.insert(operator.clone(), filled.collect::<Result<_, PlanError>>()?);
    }
    Ok(Statement { actions: statement.actions.clone(), resources: all(&statement.resources)?, conditions })
}

/// Fills every `${name}` in `text`. A filled value is never read again for variables.
///
/// # Errors
///
/// [`PlanError::UnknownVariable`] for a name that `variables` lacks, [`PlanError::Unclosed`] for `${` without `}`.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<String, PlanError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| PlanError::Unclosed(text.to_owned()))?;
        filled.push_str(before);
        filled.push_str(variables.get(name).ok_or_else(|| PlanError::UnknownVariable(name.to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests;
