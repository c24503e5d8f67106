//! Entitlements: requestable units of access, and the parameters that narrow them.

mod approval;
mod check;
mod parameter;
mod rules;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{EntitlementId, EnvironmentName, IdentityId, PolicyName, TargetName};
use crate::identity::IdentityClass;
use crate::review::BreakGlassUse;
use crate::time::Term;

pub use approval::{Approval, RequiredStep, StepRule, When};
pub use check::InvalidRequest;
pub use parameter::{Parameter, ParameterValue, ParameterValueError};
pub use rules::{JustificationRule, Requirement, Risk, Rotation, TicketRule};

/// A requestable unit of access, with its rules. Policies decide who may have it; these rules can only tighten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    pub id: EntitlementId,
    /// The human who is accountable for it.
    pub owner: IdentityId,
    /// The purpose, in one line.
    pub description: String,
    /// The way in which access reaches its holder.
    pub delivery: Delivery,
    /// The maximum term of every class that [`Self::max_term_of`] does not name, whatever a policy says.
    pub max_term: Term,
    /// The maximum term per class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_term_of: BTreeMap<IdentityClass, Term>,
    /// The harm that misuse can do.
    #[serde(default)]
    pub risk: Risk,
    /// The environment that it reaches, if the catalogue names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The time for the start after approval, in seconds.
    pub start_within_s: u32,
    /// The parameters. A request must give each exactly once.
    pub parameters: BTreeMap<String, Parameter>,
    /// The Allow statements. `${name}` stands for a parameter; `${account}`, `${partition}` and `${region}` for the
    /// deployment's.
    pub statements: Vec<Statement>,
    /// The approvals that are needed unless a policy waives them.
    pub approval: Approval,
    /// The rule on the ticket of a request.
    #[serde(default, skip_serializing_if = "TicketRule::is_default")]
    pub ticket: TicketRule,
    /// The rule on the justification of a request.
    #[serde(default, skip_serializing_if = "JustificationRule::is_default")]
    pub justification: JustificationRule,
    /// Secrets to rotate after the end, because the holder may have read them; their ARNs may hold variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotate: Vec<Rotation>,
    /// Entitlements that identities of one sponsor must not hold together with this one. The value is how long a grant
    /// still conflicts after its end, in seconds. Each conflict stands in both of its entitlements.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<EntitlementId, u32>,
    /// Set for break-glass, which may contain permissions that no other entitlement may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// Set for the expiry drill. A canary is issued even while a drill fails; otherwise no drill could pass again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// Allowed actions whose effect outlives the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

/// The break-glass settings of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The human who reviews each use.
    pub reviewer: IdentityId,
    /// The maximum age of the reaper's last good pass at the use, in seconds, if it differs from the installation's
    /// limit. The broken reaper may itself be the emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_max_age_s: Option<u32>,
    /// Whether it may be used while grants are overdue, even on its own principal: the use may repair the cause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_overdue: bool,
}

/// An action that issues, opens or reveals something that outlives the grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outliving {
    /// The IAM name of the action.
    pub action: String,
    /// What remains, and until when.
    pub why: String,
}

/// The way in which access reaches its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delivery {
    /// STS credentials vended against the grant.
    Session {
        /// The session role that is assumed.
        target: TargetName,
        /// The lifetime of one vended credential, in seconds: 900 to 3 600.
        ///
        /// A Lambda's own role makes each vend role chaining, which AWS caps at one hour.
        /// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
        credential_s: u32,
        /// Whether the session may call IAM. Only break-glass may; its end is then never proved by construction.
        iam_allowed: bool,
    },
    /// An inline policy on a principal, one per grant.
    Inline {
        /// The role; `${account}`, `${partition}` and `${deployment}` stand for the deployment's, parameters never.
        principal_arn: String,
        /// The holder of the principal.
        holder: Holder,
    },
    /// A managed policy attached to a principal. It carries no time limit: its end depends on the reaper.
    Managed {
        /// The role, as above.
        principal_arn: String,
        /// The policy; it lies under the deployment's own path.
        policy: PolicyName,
        /// The holder of the principal.
        holder: Holder,
    },
}

/// The holder of an attachment principal. An attachment elevates everybody who uses the principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// One identity. Only its grants may attach a policy to the principal.
    Single(IdentityId),
    /// Several identities, as the catalogue declares.
    Shared,
}

impl Holder {
    /// Whether a grant of `identity` may attach a policy to the principal.
    #[must_use]
    pub fn admits(&self, identity: &IdentityId) -> bool {
        match self {
            Self::Single(holder) => holder == identity,
            Self::Shared => true,
        }
    }
}

/// Conditions of a statement: operator, key, values.
pub type Conditions = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// One Allow statement of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The IAM names of the actions.
    pub actions: Vec<String>,
    pub resources: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: Conditions,
}

impl Entitlement {
    /// The maximum term of `class`; the class limits may be stricter still.
    #[must_use]
    pub fn longest_term(&self, class: IdentityClass) -> Term {
        self.max_term_of.get(&class).copied().unwrap_or(self.max_term)
    }

    /// The break-glass settings that each use records; `None` for other entitlements.
    #[must_use]
    pub fn break_glass_use(&self) -> Option<BreakGlassUse> {
        self.break_glass.as_ref().map(|glass| BreakGlassUse {
            reviewer: glass.reviewer.clone(),
            owner: self.owner.clone(),
            heartbeat_max_age_s: glass.heartbeat_max_age_s,
            while_overdue: glass.while_overdue,
        })
    }

    /// Whether a person must approve whatever a policy waives: true for critical risk without break-glass.
    #[must_use]
    pub fn needs_people(&self) -> bool {
        self.risk == Risk::Critical && self.break_glass.is_none()
    }
}
