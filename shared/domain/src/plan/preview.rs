//! A plan as it would be rendered if its grant were activated now: for whoever asks what a request would come to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{AttachmentPlan, PlanError, PlanTemplate};
use crate::entitlement::Statement;
use crate::time::{Term, Timestamp};

/// What AWS would be asked. `Debug` leaves policies out: they are never logged.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Preview {
    /// `AssumeRole`.
    Session {
        /// The session role.
        role_arn: String,
        /// The STS session name.
        session_name: String,
        /// The STS source identity.
        source_identity: String,
        /// Session tags.
        tags: BTreeMap<String, String>,
        /// `DurationSeconds`.
        duration_s: u32,
        /// The inline session policy.
        policy: Value,
    },
    /// `PutRolePolicy`.
    Inline {
        /// The role.
        principal_arn: String,
        /// The policy's name.
        policy_name: String,
        /// The policy.
        policy: Value,
    },
    /// `AttachRolePolicy`.
    Managed {
        /// The role.
        principal_arn: String,
        /// The policy.
        policy_arn: String,
        /// What the catalogue says that the policy allows.
        statements: Vec<Statement>,
    },
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session { .. } => "Session { .. }",
            Self::Inline { .. } => "Inline { .. }",
            Self::Managed { .. } => "Managed { .. }",
        })
    }
}

impl PlanTemplate {
    /// What AWS would be asked for a grant of `term` that is activated at `now`, where clocks differ by `skew_s` at most.
    ///
    /// # Errors
    ///
    /// The [`PlanError`] of the rendering.
    pub fn preview(&self, now: Timestamp, term: Term, skew_s: u32) -> Result<Preview, PlanError> {
        let deadline = now.plus(term.as_seconds());
        let statements = match self {
            Self::Session(template) => {
                let plan = template.render(deadline, now)?;
                return Ok(Preview::Session {
                    role_arn: plan.role_arn,
                    session_name: plan.session_name,
                    source_identity: plan.source_identity,
                    tags: plan.tags,
                    duration_s: plan.duration_s,
                    policy: document(&plan.policy),
                });
            }
            Self::Inline(_) => Vec::new(),
            Self::Managed(template) => template.statements.clone(),
        };
        Ok(match self.attachment(deadline, term, skew_s)? {
            AttachmentPlan::Inline { principal_arn, policy_name, document: text } => {
                Preview::Inline { principal_arn, policy_name, policy: document(&text) }
            }
            AttachmentPlan::Managed { principal_arn, policy_arn } => {
                Preview::Managed { principal_arn, policy_arn, statements }
            }
        })
    }
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
