//! The parts of a grant's view. No part shows anything that its reader may not see.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::decision::{Decision, Outcome, Step, Tally};
use brevet_domain::entitlement::ParameterValue;
use brevet_domain::grant::{
    Acknowledged, Delivery, EffectiveAccess, EndCause, EndedBy, Grant, Problem, Proof, Reading, Revoking,
    SecretRotation, State, Vend, Vends,
};
use brevet_domain::id::{GrantId, IdentityId, StepName};
use brevet_domain::request::{Justification, Request, Ticket};
use brevet_domain::time::Timestamp;
use serde::Serialize;

/// The request of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// The entitlement's parameters.
    pub parameters: BTreeMap<String, ParameterValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// The human on whose behalf the request was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    /// The grant to renew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<GrantId>,
}

impl RequestView {
    pub(super) fn of(request: &Request) -> Self {
        let ask = &request.ask;
        Self {
            parameters: ask.parameters.clone(),
            ticket: ask.ticket.clone(),
            justification: ask.justification.clone(),
            on_behalf_of: ask.on_behalf_of.clone(),
            renews: ask.renews,
        }
    }
}

/// How access reaches the holder, without the permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeliveryView {
    /// Brevet vends credentials.
    Session,
    /// Brevet puts an inline policy on a role.
    Inline {
        principal_arn: String,
        /// The name of the inline policy on the role.
        policy_name: String,
    },
    /// Brevet attaches a managed policy to a role.
    Managed { principal_arn: String, policy_name: String },
}

impl DeliveryView {
    pub(super) fn of(grant: &Grant) -> Option<Self> {
        if matches!(grant.state, State::Denied { .. }) {
            return None;
        }
        let name = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        Some(match &grant.delivery {
            Delivery::Session { .. } => Self::Session,
            Delivery::Inline { principal_arn, policy_name, .. } => {
                Self::Inline { principal_arn: principal_arn.clone(), policy_name: policy_name.clone() }
            }
            Delivery::Managed { principal_arn, policy_arn, .. } => {
                Self::Managed { principal_arn: principal_arn.clone(), policy_name: name(policy_arn) }
            }
        })
    }
}

/// An awaited approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalView {
    /// The consecutive steps. A vote counts in the first incomplete step.
    pub steps: Vec<StepView>,
    /// When all steps must be complete.
    pub deadline: Timestamp,
}

/// One step of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// The name of the step; `approval` if there is only one.
    pub name: StepName,
    /// How many different people must approve.
    pub needed: u8,
    /// The people who have approved.
    pub approved_by: Vec<IdentityId>,
    /// The people who may approve.
    pub approvers: BTreeSet<IdentityId>,
    /// Whether each approver must have signed in with more than one factor.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// The maximum age of an approver's sign-in at the vote, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

impl StepView {
    /// Shows the step of `tally` with its approvers from the decision; a step unknown to the decision has none.
    pub(super) fn of(tally: &Tally, decision: Option<&Decision>) -> Self {
        let steps: &[Step] = match decision.map(|decision| &decision.terms.outcome) {
            Some(Outcome::NeedsApproval { steps, .. }) => steps,
            Some(Outcome::Allow | Outcome::Deny { .. }) | None => &[],
        };
        let step = steps.iter().find(|step| step.name == tally.step);
        Self {
            name: tally.step.clone(),
            needed: tally.needed,
            approved_by: tally.approved_by.clone(),
            approvers: step.map(|step| step.approvers.clone()).unwrap_or_default(),
            mfa: step.is_some_and(|step| step.mfa),
            auth_within_s: step.and_then(|step| step.auth_within_s),
        }
    }
}

/// The vends of a session, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendsView {
    /// The number of vends.
    pub count: u32,
    /// The last few vends.
    pub last: Vec<Vend>,
}

impl VendsView {
    pub(super) fn of(vends: &Vends) -> Self {
        Self { count: vends.count, last: vends.last.clone() }
    }
}

/// A removal in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokingView {
    /// Why the grant ends.
    pub cause: EndCause,
    /// The identity that asked for the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<IdentityId>,
    /// When revoking began.
    pub since: Timestamp,
    /// The number of attempted removals.
    pub attempts: u32,
    /// The last problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// The first reading that showed the access absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_absence: Option<Reading>,
    /// The latest result of the effective-permission check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
    /// Who acknowledged that the grant is overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

impl RevokingView {
    pub(super) fn of(revoking: &Revoking) -> Self {
        Self {
            cause: revoking.cause,
            by: revoking.by.clone(),
            since: revoking.since,
            attempts: revoking.attempts,
            last_problem: revoking.last_problem.clone(),
            first_absence: revoking.first_absence.clone(),
            effective: revoking.effective.clone(),
            acknowledged: revoking.acknowledged.clone(),
        }
    }
}

/// A proved end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndView {
    /// Why the grant ended.
    pub cause: EndCause,
    /// The proof of ending.
    pub proof: Proof,
    /// When the end was proved.
    pub verified_at: Timestamp,
    /// What ended the access first.
    pub ended_by: EndedBy,
    /// The result of the effective-permission check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
}

/// A secret to rotate after the end of the grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RotationView {
    /// The ARN of the secret. A trailing `-??????` stands for the suffix that Secrets Manager adds to a name.
    pub secret: String,
    /// How many times the secret must be rotated.
    pub times: u8,
    /// How many rotations were observed as complete.
    pub done: u8,
    /// How many rotations were requested.
    pub attempts: u32,
    /// The last problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// When the secret is checked next; omitted once all rotations are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl RotationView {
    /// Returns no rotations until the end is proved. Until then `rotate`, from the decision, names the secrets.
    pub(super) fn all(grant: &Grant) -> Vec<Self> {
        let State::Ended { verified_at, .. } = &grant.state else { return Vec::new() };
        grant.rotations.iter().map(|rotation| Self::of(rotation, *verified_at)).collect()
    }

    fn of(rotation: &SecretRotation, ended_at: Timestamp) -> Self {
        Self {
            secret: rotation.secret.clone(),
            times: rotation.times,
            done: rotation.done,
            attempts: rotation.attempts,
            last_problem: rotation.last_problem.clone(),
            next_at: rotation.is_pending().then(|| rotation.next_at.unwrap_or(ended_at)),
        }
    }
}
