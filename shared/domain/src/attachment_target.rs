//! The target of an attachment: one policy on one principal.

use serde::{Deserialize, Serialize};

use crate::grant::{Delivery, Grant, State};

/// One policy on one principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "delivery", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttachmentTarget {
    /// An inline policy, by name.
    Inline { principal_arn: String, policy_name: String },
    /// A managed policy.
    Managed { principal_arn: String, policy_arn: String },
}

impl AttachmentTarget {
    /// The target of `grant`; `None` for a session.
    #[must_use]
    pub fn of(grant: &Grant) -> Option<Self> {
        match &grant.delivery {
            Delivery::Session { .. } => None,
            Delivery::Inline { principal_arn, policy_name, .. } => {
                Some(Self::Inline { principal_arn: principal_arn.clone(), policy_name: policy_name.clone() })
            }
            Delivery::Managed { principal_arn, policy_arn, .. } => {
                Some(Self::Managed { principal_arn: principal_arn.clone(), policy_arn: policy_arn.clone() })
            }
        }
    }

    /// Whether `grant` explains this attachment: the grant is recorded for this target, and its end is not proved.
    #[must_use]
    pub fn is_held_by(&self, grant: &Grant) -> bool {
        let may_exist = matches!(grant.state, State::Activating { .. } | State::Active { .. } | State::Revoking(_));
        may_exist && Self::of(grant).as_ref() == Some(self)
    }
}
