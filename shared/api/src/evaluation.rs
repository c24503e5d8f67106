//! `POST /v1/evaluations` and `GET /v1/entitlements`: what would be said, and what may be asked for.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Step, Traits, Verdict};
use brevet_domain::entitlement::{Delivery, Entitlement, JustificationRule, Outliving, Parameter, Risk, TicketRule};
use brevet_domain::heart::Pulse;
use brevet_domain::id::{EntitlementId, EnvironmentName, IdentityId};
use brevet_domain::identity::{Caller, IdentityClass, Task};
use brevet_domain::nearest::Nearest;
use brevet_domain::offer::{Offer, Way};
use brevet_domain::plan::Preview;
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

use crate::answer::HealthStatus;

/// What would be said to a request. Nothing of it is stored or held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationView {
    /// Who would ask.
    pub identity: IdentityId,
    /// Its class.
    pub class: IdentityClass,
    /// The human who answers for it.
    pub sponsor: IdentityId,
    /// Its task, from its proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// On what.
    pub entitlement: EntitlementId,
    /// For how long, from activation.
    pub term_s: Term,
    /// How long after approval it could be started, in seconds.
    pub start_within_s: u32,
    /// `allow`, `deny` with its `reason`, or `needs_approval` with `steps` and `deadline`.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The policies and built-in rules that determine it.
    pub determining: Vec<String>,
    /// For a denial, the nearest request that would pass, if one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// The bundle that it was judged under.
    pub bundle: Digest,
    /// What its entitlement says of it beside.
    #[serde(flatten)]
    pub traits: Traits,
    /// What AWS would be asked if it were activated now; the grant's name in it is a placeholder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Preview>,
    /// Whether it would be issued just now.
    pub issuing: HealthStatus,
}

impl EvaluationView {
    /// The view of what would be said to `caller` about `entitlement`.
    #[must_use]
    pub fn of(
        caller: Caller,
        entitlement: EntitlementId,
        verdict: Verdict,
        plan: Option<Preview>,
        pulse: Pulse,
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
            issuing: match pulse {
                Pulse::Beating => HealthStatus::Ok,
                Pulse::Stopped(_) => HealthStatus::Stopped,
            },
        }
    }
}

/// A page of what the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntitlementList {
    /// The page; it may be short, or empty, and not the last.
    pub entitlements: Vec<EntitlementLine>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// An entitlement that the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntitlementLine {
    /// Its name.
    pub id: EntitlementId,
    /// What it is for.
    pub description: String,
    /// The human who answers for it.
    pub owner: IdentityId,
    /// `session`, `inline` or `managed`.
    pub delivery: &'static str,
    /// How much harm its misuse can do.
    pub risk: Risk,
    /// Where it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Whether it is for emergencies.
    pub break_glass: bool,
    /// What a request must give, each exactly once.
    pub parameters: BTreeMap<String, ParameterView>,
    /// Whether it names a ticket, and what one looks like.
    pub ticket: TicketRule,
    /// Whether it says why, and at what length.
    pub justification: JustificationRule,
    /// How long after approval a grant can be started, in seconds.
    pub start_within_s: u32,
    /// How it can be had, at least one way.
    pub ways: Vec<WayView>,
    /// How many grants the caller may hold at once, on whatever entitlements.
    pub max_live: NonZeroU32,
    /// How often in a row a grant may be renewed.
    pub max_renewals: u32,
    /// What it allows whose effect does not end with a grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

/// A parameter: its bounds, and what a value must do in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterView {
    /// Its type and bounds, as the catalogue has them.
    #[serde(flatten)]
    pub form: Parameter,
    /// What a value must do.
    pub must: String,
}

/// One way to have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayView {
    /// Whether a ticket has to be named for it.
    pub needs_ticket: bool,
    /// For how long at most.
    pub max_term_s: Term,
    /// Who has to say yes; left out where nobody has to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<NeededApproval>,
}

/// Whose yes is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeededApproval {
    /// The steps, one after the other: how many of whom, and what they must show.
    pub steps: Vec<Step>,
    /// How long they have for all of them, in seconds.
    pub within_s: u64,
}

impl EntitlementLine {
    /// The line of `offer`, as it was judged at `now`.
    #[must_use]
    pub fn of(offer: Offer, now: Timestamp) -> Self {
        let Offer { entitlement, ways, lane } = offer;
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
            ways: ways.into_iter().map(|way| WayView::of(way, now)).collect(),
            max_live: lane.max_live,
            max_renewals: lane.max_renewals,
            outlives: entitlement.outlives,
        }
    }
}

impl WayView {
    fn of(way: Way, now: Timestamp) -> Self {
        let approval = match way.outcome {
            Outcome::Allow | Outcome::Deny { .. } => None,
            Outcome::NeedsApproval { steps, deadline } => {
                Some(NeededApproval { steps, within_s: deadline.seconds_since(now) })
            }
        };
        Self { needs_ticket: way.needs_ticket, max_term_s: way.max_term, approval }
    }
}
