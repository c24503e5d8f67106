//! The parts of a grant's view: each shows what it is named after, and nothing that its reader may not see.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::decision::{Decision, Outcome, Step, Tally};
use brevet_domain::entitlement::ParameterValue;
use brevet_domain::grant::{
    Acknowledged, Delivery, EffectiveAccess, EndCause, EndedBy, Grant, Problem, Proof, Revoking, SecretRotation,
    Sighting, State, Vend, Vends,
};
use brevet_domain::id::{GrantId, IdentityId, StepName};
use brevet_domain::request::{Justification, Request, Ticket};
use brevet_domain::time::Timestamp;
use serde::Serialize;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// The entitlement's parameters.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// The human on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    /// The grant to carry on.
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

/// How access reaches the holder: never what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeliveryView {
    /// Credentials are vended.
    Session,
    /// An inline policy is put on a role.
    Inline {
        /// The role.
        principal_arn: String,
        /// The policy's name on it.
        policy_name: String,
    },
    /// A managed policy is attached to a role.
    Managed {
        /// The role.
        principal_arn: String,
        /// The policy's name.
        policy_name: String,
    },
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

/// Whose approval is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalView {
    /// The steps, one after the other: votes are counted in the first that lacks somebody.
    pub steps: Vec<StepView>,
    /// Until when all of them.
    pub deadline: Timestamp,
}

/// One step of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Its name; `approval` where there is but one.
    pub name: StepName,
    /// How many different people must say yes.
    pub needed: u8,
    /// Who has.
    pub approved_by: Vec<IdentityId>,
    /// Who may.
    pub approvers: BTreeSet<IdentityId>,
    /// Whether each must show more than one factor.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// How many seconds before the vote each may have signed in at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

impl StepView {
    /// The step of `tally` as the decision has it. One that it does not have has no approvers.
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

/// What was vended: never a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendsView {
    /// How many times.
    pub count: u32,
    /// The last few.
    pub last: Vec<Vend>,
}

impl VendsView {
    pub(super) fn of(vends: &Vends) -> Self {
        Self { count: vends.count, last: vends.last.clone() }
    }
}

/// A removal that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokingView {
    /// Why it ends.
    pub cause: EndCause,
    /// Who asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<IdentityId>,
    /// Since when.
    pub since: Timestamp,
    /// Removals attempted.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// The first reading that showed it gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_absence: Option<Sighting>,
    /// What the check of effective permissions found since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
    /// Who in charge knows that it is overdue.
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
    /// Why it ended.
    pub cause: EndCause,
    /// How that is known.
    pub proof: Proof,
    /// When it became known.
    pub verified_at: Timestamp,
    /// What ended it first.
    pub ended_by: EndedBy,
    /// What the check of effective permissions found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAccess>,
}

/// A secret that is rotated since the grant's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RotationView {
    /// Its ARN; `-??????` at its end stands for what Secrets Manager adds to a name.
    pub secret: String,
    /// How often it is to be rotated.
    pub times: u8,
    /// How many rotations were seen done.
    pub done: u8,
    /// Rotations asked for.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<Problem>,
    /// When it is looked at next; left out once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl RotationView {
    /// Nothing before the end is proved: until then the decision says what will be rotated.
    pub(super) fn all(grant: &Grant) -> Vec<Self> {
        let State::Ended { verified_at, .. } = &grant.state else { return Vec::new() };
        grant.rotations.iter().map(|one| Self::of(one, *verified_at)).collect()
    }

    fn of(one: &SecretRotation, ended_at: Timestamp) -> Self {
        Self {
            secret: one.secret.clone(),
            times: one.times,
            done: one.done,
            attempts: one.attempts,
            last_problem: one.last_problem.clone(),
            next_at: one.is_pending().then(|| one.next_at.unwrap_or(ended_at)),
        }
    }
}
