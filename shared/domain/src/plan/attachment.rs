//! Attachments: policies on principals that cannot take new credentials.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{PlanError, PlanTemplate, allow, fill};
use crate::canonical::{Digest, canonical};
use crate::deny::MAX_ROLE_INLINE;
use crate::entitlement::{Holder, Statement};
use crate::id::IdentityId;
use crate::settings::Deployment;
use crate::time::{Term, Timestamp};

/// The maximum number of actions that are tried against AWS's simulator after the end.
const MAX_PROBES: usize = 8;

/// An inline attachment without its deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InlineTemplate {
    /// The role that the policy is put on.
    pub principal_arn: String,
    /// The policy's name. It derives from the grant id, so that a retry is the same call.
    pub policy_name: String,
    /// The allowed actions, with every parameter filled in.
    pub statements: Vec<Statement>,
    /// The holder of the role.
    pub holder: Holder,
}

/// A managed attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedTemplate {
    /// The role that the policy is attached to.
    pub principal_arn: String,
    pub policy_arn: String,
    /// The actions that the policy allows, as the catalogue declares them.
    pub statements: Vec<Statement>,
    /// The holder of the role.
    pub holder: Holder,
}

/// One IAM call that attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentPlan {
    /// `PutRolePolicy`.
    Inline {
        principal_arn: String,
        policy_name: String,
        /// The policy, as canonical JSON.
        document: String,
    },
    /// `AttachRolePolicy`.
    Managed { principal_arn: String, policy_arn: String },
}

/// One action on one resource, tried against AWS's simulator after access must be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub action: String,
    pub resource: String,
}

/// The probes after access must be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    pub tried: Vec<Probe>,
    /// The number of pairs of action and resource that are not tried. If it is not 0, no result shows that all access
    /// is gone.
    pub n_untried: u32,
}

impl AttachmentPlan {
    #[must_use]
    pub fn principal_arn(&self) -> &str {
        match self {
            Self::Inline { principal_arn, .. } | Self::Managed { principal_arn, .. } => principal_arn,
        }
    }

    /// The digest that is stored before the call: that of the document or of the policy's ARN.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Inline { document, .. } => Digest::of_bytes(document.as_bytes()),
            Self::Managed { policy_arn, .. } => Digest::of_bytes(policy_arn.as_bytes()),
        }
    }
}

impl PlanTemplate {
    /// Renders the attachment of a grant that ends at `deadline`, `term` after its start.
    ///
    /// Every statement carries both limits itself: it applies from the start less `skew_s` until the deadline. The
    /// start derives from stored data, so that a new attempt is the same call.
    ///
    /// # Errors
    ///
    /// [`PlanError::OtherDelivery`] for a session; [`PlanError::OwnTimeLimit`] or [`PlanError::Outlives`] for a
    /// statement that cannot be limited; [`PlanError::InlineTooLong`] if the policy does not fit.
    pub fn attachment(&self, deadline: Timestamp, term: Term, skew_s: u32) -> Result<AttachmentPlan, PlanError> {
        match self {
            Self::Session(_) => Err(PlanError::OtherDelivery),
            Self::Managed(template) => Ok(AttachmentPlan::Managed {
                principal_arn: template.principal_arn.clone(),
                policy_arn: template.policy_arn.clone(),
            }),
            Self::Inline(template) => {
                let from = deadline.minus(term.as_seconds()).minus(skew_s);
                let limited = template.statements.iter().map(|statement| limit(statement, from, deadline));
                let statements: Vec<_> =
                    limited.map(|statement| statement.map(|statement| allow(&statement))).collect::<Result<_, _>>()?;
                let document = canonical(&json!({ "Version": "2012-10-17", "Statement": statements }))?;
                let size = document.chars().count();
                if size > MAX_ROLE_INLINE {
                    return Err(PlanError::InlineTooLong { size });
                }
                let (principal_arn, policy_name) = (template.principal_arn.clone(), template.policy_name.clone());
                Ok(AttachmentPlan::Inline { principal_arn, policy_name, document })
            }
        }
    }

    /// The probes to try against AWS's simulator after the end, and the number left out; empty for a session.
    ///
    /// A probe is one action of a statement on one of its resources; the first resources come first. Actions with a
    /// wildcard cannot be tried. The number of the others is limited, so that the end does not wait for them.
    #[must_use]
    pub fn probes(&self) -> Probes {
        let statements: &[Statement] = match self {
            Self::Session(_) => &[],
            Self::Inline(template) => &template.statements,
            Self::Managed(template) => &template.statements,
        };
        let mut pairs: Vec<(usize, Probe)> = Vec::new();
        for statement in statements {
            for (nth, resource) in statement.resources.iter().enumerate() {
                let probe = |action: &String| (nth, Probe { action: action.clone(), resource: resource.clone() });
                pairs.extend(statement.actions.iter().map(probe));
            }
        }
        pairs.sort_by_key(|(nth, _)| *nth);
        let n_pairs = pairs.len();
        let plain = pairs.into_iter().map(|(_, probe)| probe).filter(|probe| !probe.action.contains(['*', '?']));
        let tried: Vec<_> = plain.take(MAX_PROBES).collect();
        let n_untried = u32::try_from(n_pairs.saturating_sub(tried.len())).unwrap_or(u32::MAX);
        Probes { tried, n_untried }
    }
}

/// INVARIANT: every Allow carries its own time limit.
fn limit(statement: &Statement, from: Timestamp, deadline: Timestamp) -> Result<Statement, PlanError> {
    for action in &statement.actions {
        // A wildcard in the service could match `iam` and `sts` too.
        let service = action.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if service.contains(['*', '?']) || ["iam", "sts"].contains(&service.as_str()) {
            return Err(PlanError::Outlives(action.clone()));
        }
    }
    let mut limited = statement.clone();
    let own = |key: &String| ["aws:currenttime", "aws:epochtime"].contains(&key.to_ascii_lowercase().as_str());
    if let Some(key) = limited.conditions.values().flat_map(BTreeMap::keys).find(|key| own(key)) {
        return Err(PlanError::OwnTimeLimit(key.clone()));
    }
    for (operator, at) in [("DateGreaterThanEquals", from), ("DateLessThan", deadline)] {
        // IAM ignores the case of operators: a second block of the same operator might replace ours.
        let double = |name: &&String| name.eq_ignore_ascii_case(operator) && *name != operator;
        if let Some(name) = limited.conditions.keys().find(double) {
            return Err(PlanError::OwnTimeLimit(name.clone()));
        }
        let keys = limited.conditions.entry(operator.to_owned()).or_default();
        keys.insert("aws:CurrentTime".to_owned(), vec![at.policy_form()]);
    }
    Ok(limited)
}

/// The principal that the catalogue names, for the requester `identity`.
///
/// # Errors
///
/// [`PlanError::Principal`] or [`PlanError::NotHolder`].
pub(super) fn principal(
    deployment: &Deployment,
    text: &str,
    holder: &Holder,
    identity: &IdentityId,
) -> Result<String, PlanError> {
    // Only deployment variables are filled in: no parameter chooses a principal.
    let mut variables = super::variables(deployment, &BTreeMap::new());
    variables.insert("deployment".to_owned(), deployment.id.to_string());
    let arn = fill(text, &variables)?;
    let prefix = format!("arn:{}:iam::{}:role/", deployment.partition, deployment.account);
    let word = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    let name = arn.strip_prefix(&prefix).filter(|name| name.chars().all(word) && !name.is_empty());
    // Session roles, functions and other installations lie under `/brevet/`. Of these, only this installation's own
    // attachment principals may have attachments.
    let own = format!("brevet/{}/attachment/", deployment.id);
    let foreign = |name: &str| name.starts_with("brevet/") && !name.starts_with(&own);
    if name.is_none_or(|name| foreign(name) || name.ends_with('/')) {
        return Err(PlanError::Principal(arn));
    }
    if !holder.admits(identity) {
        return Err(PlanError::NotHolder(identity.clone()));
    }
    Ok(arn)
}

#[cfg(test)]
mod tests;
