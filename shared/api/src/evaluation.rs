//! `POST /v1/evaluations`, the dry run of a decision, and `GET /v1/entitlements`, what the caller may request.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Step, Traits, Verdict};
use brevet_domain::entitlement::{Delivery, Entitlement, JustificationRule, Outliving, Parameter, Risk, TicketRule};
use brevet_domain::id::{EntitlementId, EnvironmentName, IdentityId};
use brevet_domain::identity::{Caller, IdentityClass, Task};
use brevet_domain::nearest::Nearest;
use brevet_domain::offer::{Offer, OfferOption};
use brevet_domain::plan::Preview;
use brevet_domain::reaper_health::IssuanceGate;
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

use crate::answer::HealthStatus;

/// The decision that a request would get. Evaluating stores nothing and reserves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationView {
    /// The identity that would ask.
    pub identity: IdentityId,
    /// The class of the identity.
    pub class: IdentityClass,
    /// The human who is accountable for the identity.
    pub sponsor: IdentityId,
    /// The task from the identity's proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The requested entitlement.
    pub entitlement: EntitlementId,
    /// The term, from activation.
    pub term_s: Term,
    /// How long after approval the grant could be started, in seconds.
    pub start_within_s: u32,
    /// `allow`, `deny` with its `reason`, or `needs_approval` with `steps` and `deadline`.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The policies and built-in rules that determine the outcome.
    pub determining: Vec<String>,
    /// For a denial, the nearest request that would be allowed, if one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// The bundle that the request was evaluated under.
    pub bundle: Digest,
    /// Further properties of the entitlement: risk, environment, secrets to rotate, effects that outlive the grant.
    #[serde(flatten)]
    pub traits: Traits,
    /// The AWS calls of an activation now. The grant id in them is a placeholder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Preview>,
    /// Whether Brevet issues access now.
    pub issuing: HealthStatus,
}

impl EvaluationView {
    /// The decision that `caller` would get for `entitlement`.
    #[must_use]
    pub fn of(
        caller: Caller,
        entitlement: EntitlementId,
        verdict: Verdict,
        plan: Option<Preview>,
        issuance_gate: IssuanceGate,
    ) -> Self {
        Self {
            identity: caller.identity.id,
            class: caller.identity.class,
            sponsor: caller.identity.owner,
            task: caller.task,
            entitlement,
            term_s: verdict.term,
            start_within_s: verdict.start_within_s,
            outcome: verdict.outcome,
            determining: verdict.determining,
            nearest: verdict.nearest,
            bundle: verdict.bundle_digest,
            traits: verdict.traits,
            plan,
            issuing: match issuance_gate {
                IssuanceGate::Open => HealthStatus::Ok,
                IssuanceGate::Closed(_) => HealthStatus::Stopped,
            },
        }
    }
}

/// A page of the entitlements that the caller may request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntitlementList {
    /// A short or empty page is not necessarily the last.
    pub entitlements: Vec<EntitlementLine>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// An entitlement that the caller may request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntitlementLine {
    pub id: EntitlementId,
    /// The purpose of the entitlement.
    pub description: String,
    /// The human who is accountable for the entitlement.
    pub owner: IdentityId,
    /// `session`, `inline` or `managed`.
    pub delivery: &'static str,
    /// The harm that misuse can do.
    pub risk: Risk,
    /// The environment that the entitlement gives access to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Whether the entitlement is for emergencies.
    pub break_glass: bool,
    /// The parameters of a request; each is required exactly once.
    pub parameters: BTreeMap<String, ParameterView>,
    /// Whether a request must name a ticket, and the pattern of its key.
    pub ticket: TicketRule,
    /// Whether a request must carry a justification, and how long.
    pub justification: JustificationRule,
    /// How long after approval a grant can be started, in seconds.
    pub start_within_s: u32,
    /// The options for obtaining the entitlement, at least one.
    pub options: Vec<OfferOptionView>,
    /// The number of grants that the caller may hold at once, over all entitlements.
    pub max_live: NonZeroU32,
    /// The number of times in a row that a grant may be renewed.
    pub max_renewals: u32,
    /// Allowed actions whose effect does not end with the grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

/// A parameter: its bounds, and the requirement in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterView {
    /// The type and bounds from the catalogue.
    #[serde(flatten)]
    pub form: Parameter,
    /// The requirement on a value, in words.
    pub must: String,
}

/// One option for obtaining an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferOptionView {
    /// Whether this option requires a ticket.
    pub needs_ticket: bool,
    /// The maximum term.
    pub max_term_s: Term,
    /// The required approval; omitted if none is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<NeededApproval>,
}

/// A required approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeededApproval {
    /// The consecutive steps: the number of approvers, the eligible people, and the authentication required of them.
    pub steps: Vec<Step>,
    /// The time for all steps together, in seconds.
    pub within_s: u64,
}

impl EntitlementLine {
    /// Shows `offer`, evaluated at `now`.
    #[must_use]
    pub fn of(offer: Offer, now: Timestamp) -> Self {
        let Offer { entitlement, options, class_limits } = offer;
        let Entitlement { id, owner, description, parameters, ticket, justification, start_within_s, .. } = entitlement;
        let view = |(name, form): (String, Parameter)| {
            let must = form.to_string();
            (name, ParameterView { form, must })
        };
        Self {
            id,
            description,
            owner,
            delivery: match entitlement.delivery {
                Delivery::Session { .. } => "session",
                Delivery::Inline { .. } => "inline",
                Delivery::Managed { .. } => "managed",
            },
            risk: entitlement.risk,
            environment: entitlement.environment,
            break_glass: entitlement.break_glass.is_some(),
            parameters: parameters.into_iter().map(view).collect(),
            ticket,
            justification,
            start_within_s,
            options: options.into_iter().map(|option| OfferOptionView::of(option, now)).collect(),
            max_live: class_limits.max_live,
            max_renewals: class_limits.max_renewals,
            outlives: entitlement.outlives,
        }
    }
}

impl OfferOptionView {
    fn of(option: OfferOption, now: Timestamp) -> Self {
        let approval = match option.outcome {
            Outcome::Allow | Outcome::Deny { .. } => None,
            Outcome::NeedsApproval { steps, deadline } => {
                Some(NeededApproval { steps, within_s: deadline.seconds_since(now) })
            }
        };
        Self { needs_ticket: option.needs_ticket, max_term_s: option.max_term, approval }
    }
}
