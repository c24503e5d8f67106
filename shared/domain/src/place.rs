//! Where an attachment stands: one policy on one principal.

use serde::{Deserialize, Serialize};

use crate::grant::{Delivery, Grant, State};

/// One policy on one principal: what a grant put there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "delivery", rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// An inline policy, by name.
    Inline {
        /// The role.
        principal_arn: String,
        /// The policy's name.
        policy_name: String,
    },
    /// A managed policy.
    Managed {
        /// The role.
        principal_arn: String,
        /// The policy.
        policy_arn: String,
    },
}

impl Place {
    /// Where `grant` is attached; nothing for a session.
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

    /// Whether `grant` explains what stands here: it is recorded to be attached here, and its end is not proved.
    #[must_use]
    pub fn is_held_by(&self, grant: &Grant) -> bool {
        let may_stand = matches!(grant.state, State::Activating { .. } | State::Active { .. } | State::Revoking(_));
        may_stand && Self::of(grant).as_ref() == Some(self)
    }
}
