//! The preview of a plan, rendered as if its grant were activated now. Dry runs show it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{AttachmentPlan, PlanError, PlanTemplate};
use crate::entitlement::Statement;
use crate::time::{Term, Timestamp};

/// The AWS call of a plan. `Debug` leaves policies out, because they are never logged.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Preview {
    /// `AssumeRole`.
    Session {
        role_arn: String,
        session_name: String,
        source_identity: String,
        tags: BTreeMap<String, String>,
        /// `DurationSeconds`.
        duration_s: u32,
        policy: Value,
    },
    /// `PutRolePolicy`.
    Inline { principal_arn: String, policy_name: String, policy: Value },
    /// `AttachRolePolicy`.
    Managed {
        principal_arn: String,
        policy_arn: String,
        /// The actions that the policy allows, as the catalogue declares them.
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
    /// The AWS call for a grant of `term` that is activated at `now`. Clocks differ by at most `skew_s`.
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
