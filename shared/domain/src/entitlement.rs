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

pub use approval::{Approval, Asked, StepRule, When};
pub use check::MisfitError;
pub use parameter::{Parameter, ParameterValue, ParameterValueError};
pub use rules::{JustificationRule, Need, Risk, Rotation, TicketRule};

/// A requestable unit of access, with its rules. Policies decide who may have it; what is here only tightens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    /// Its name.
    pub id: EntitlementId,
    /// The human who answers for it.
    pub owner: IdentityId,
    /// What it is for, in one line.
    pub description: String,
    /// How access reaches its holder.
    pub delivery: Delivery,
    /// The longest term, whatever a policy says, of every class that [`Self::max_term_of`] does not name.
    pub max_term: Term,
    /// The longest term of a class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_term_of: BTreeMap<IdentityClass, Term>,
    /// How much harm its misuse can do.
    #[serde(default)]
    pub risk: Risk,
    /// Where it reaches, if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// How long after approval the grant may still be started, in seconds.
    pub start_within_s: u32,
    /// Parameters that a request must give, each exactly once.
    pub parameters: BTreeMap<String, Parameter>,
    /// What it allows; `${name}` stands for a parameter, `${account}`, `${partition}` and `${region}` for the deployment's.
    pub statements: Vec<Statement>,
    /// Who must say yes where no policy waives it.
    pub approval: Approval,
    /// Whether a request names a ticket, and what one looks like.
    #[serde(default, skip_serializing_if = "TicketRule::is_default")]
    pub ticket: TicketRule,
    /// Whether a request says why, and at what length.
    #[serde(default, skip_serializing_if = "JustificationRule::is_default")]
    pub justification: JustificationRule,
    /// Secrets to rotate at the end, since whoever has read them knows them; their ARNs may hold variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotate: Vec<Rotation>,
    /// What must not be held by identities of one sponsor together with it: how long after the end of one the other
    /// still conflicts, in seconds. A conflict stands in both of its entitlements.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<EntitlementId, u32>,
    /// Marked for emergencies: it may hold what no other entitlement may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// Marked for the expiry drill: it is issued while a drill shows nothing, or none could pass again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// What it allows whose effect does not end with the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

/// What marks an entitlement for emergencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The human who reviews each use.
    pub reviewer: IdentityId,
    /// How old the reaper's last good pass may be when it is used, in seconds, where that is not the installation's limit:
    /// an emergency may be one of ending, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heart_max_age_s: Option<u32>,
    /// Whether it may be used while grants are overdue, on its own principal too: what is broken may be what it repairs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_overdue: bool,
}

/// An action that hands out, opens or reveals what does not end with the grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outliving {
    /// The action, as IAM names it.
    pub action: String,
    /// What stays, and until when.
    pub why: String,
}

/// How access reaches its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delivery {
    /// STS credentials vended against the grant.
    Session {
        /// The session role that is assumed.
        target: TargetName,
        /// How long one vended credential lives, in seconds: 900 to 3 600.
        ///
        /// A Lambda's own role makes each vend role chaining, which AWS caps at one hour.
        /// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
        credential_s: u32,
        /// Whether the session may touch IAM. Only break-glass may, and its end is then never proved by construction.
        iam_allowed: bool,
    },
    /// An inline policy on a principal, one a grant.
    Inline {
        /// The role; `${account}`, `${partition}` and `${deployment}` stand for the deployment's, parameters never.
        principal_arn: String,
        /// Who holds the principal.
        holder: Holder,
    },
    /// A managed policy attached to a principal. It carries no time limit: its end depends on the reaper.
    Managed {
        /// The role, as above.
        principal_arn: String,
        /// The policy, which lies under the deployment's own path.
        policy: PolicyName,
        /// Who holds the principal.
        holder: Holder,
    },
}

/// Who holds an attachment principal: what is attached to it elevates all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// One identity; nobody else may have anything attached to it.
    Single(IdentityId),
    /// Several, and the catalogue says so.
    Shared,
}

impl Holder {
    /// Whether `identity` may have something attached to the principal.
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
    /// Actions, as IAM names them.
    pub actions: Vec<String>,
    /// Resource ARNs.
    pub resources: Vec<String>,
    /// Conditions, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: Conditions,
}

impl Entitlement {
    /// The longest term of `class`; its lane may be tighter still.
    #[must_use]
    pub fn longest_term(&self, class: IdentityClass) -> Term {
        self.max_term_of.get(&class).copied().unwrap_or(self.max_term)
    }

    /// What is kept of its mark with each use, if it is for emergencies.
    #[must_use]
    pub fn break_glass_use(&self) -> Option<BreakGlassUse> {
        self.break_glass.as_ref().map(|glass| BreakGlassUse {
            reviewer: glass.reviewer.clone(),
            owner: self.owner.clone(),
            heart_max_age_s: glass.heart_max_age_s,
            while_overdue: glass.while_overdue,
        })
    }

    /// Whether a person must say yes whatever a policy waives: to what is critical, unless it is for emergencies.
    #[must_use]
    pub fn needs_people(&self) -> bool {
        self.risk == Risk::Critical && self.break_glass.is_none()
    }
}
