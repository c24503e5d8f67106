//! One question to Cedar, and its answer. Any error on the way is a fault, and a fault is never a yes.

use brevet_domain::bundle::Index;
use brevet_domain::entitlement::{Delivery, Entitlement};
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_domain::time::Timestamp;
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, Response,
    Schema,
};
use serde_json::{Value, json};

/// What a policy may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// May this identity have it at all?
    Request,
    /// May it have it without a person?
    AutoApprove,
    /// May this person say yes to this grant?
    Approve,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::AutoApprove => "autoApprove",
            Self::Approve => "approve",
        }
    }
}

/// The circumstances of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The asked term, in seconds.
    pub(crate) term_s: u32,
    /// Whether a ticket is named.
    pub(crate) has_ticket: bool,
    /// The task that the proof names.
    pub(crate) task: Option<String>,
    /// When it is judged.
    pub(crate) now: Timestamp,
}

/// What Cedar said, with the ids of the policies that determined it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Allowed by these.
    Yes(Vec<String>),
    /// Forbidden by these; by none, if nothing allows it.
    No(Vec<String>),
}

/// Why there is no answer. It counts as a denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A policy could not be evaluated. Cedar would skip it: a skipped forbid would be a silent yes.
    #[error("policy `{policy}` cannot be evaluated: {message}")]
    Policy {
        /// Its `@id`.
        policy: String,
        /// What Cedar says.
        message: String,
    },
    /// The question does not fit the schema.
    #[error("the request cannot be put to policy: {0}")]
    Question(String),
}

impl Fault {
    fn question(error: impl std::fmt::Display) -> Self {
        Self::Question(error.to_string())
    }

    /// The policies to name in a decision.
    pub(crate) fn policies(&self) -> Vec<String> {
        match self {
            Self::Policy { policy, .. } => vec![policy.clone()],
            Self::Question(_) => Vec::new(),
        }
    }
}

/// The entities of a whole catalogue, checked against `schema`.
pub(crate) fn catalogue_entities(index: &Index, schema: &Schema) -> Result<Entities, Fault> {
    let mut all: Vec<Value> = Vec::new();
    for identity in index.identities.values() {
        all.push(identity_entity(identity));
        all.extend(
            identity
                .teams
                .iter()
                .map(|team| json!({ "uid": reference("Team", team.as_str()), "attrs": {}, "parents": [] })),
        );
    }
    // Two identities of one team name it twice; Cedar takes each entity once.
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|entity| seen.insert(entity["uid"].to_string()));
    all.extend(index.entitlements.values().map(entitlement_entity));
    Entities::from_json_value(Value::Array(all), Some(schema)).map_err(Fault::question)
}

fn reference(kind: &str, id: &str) -> Value {
    json!({ "type": format!("Brevet::{kind}"), "id": id })
}

fn identity_entity(identity: &Identity) -> Value {
    let mut attrs = json!({ "class": identity.class.as_str() });
    if let (true, Some(attrs)) = (identity.class != IdentityClass::Human, attrs.as_object_mut()) {
        attrs.insert("sponsor".to_owned(), reference("Identity", identity.owner.as_str()));
    }
    let teams = identity.teams.iter().map(|t| reference("Team", t.as_str()));
    json!({
        "uid": reference("Identity", identity.id.as_str()),
        "attrs": attrs,
        "parents": teams.collect::<Vec<_>>(),
    })
}

fn entitlement_entity(entitlement: &Entitlement) -> Value {
    // What a policy may call the target: a session role by its name, an attachment principal by its ARN.
    let (delivery, target) = match &entitlement.delivery {
        Delivery::Session { target, .. } => ("session", target.as_str()),
        Delivery::Inline { principal_arn, .. } => ("inline", principal_arn.as_str()),
        Delivery::Managed { principal_arn, .. } => ("managed", principal_arn.as_str()),
    };
    json!({
        "uid": reference("Entitlement", entitlement.id.as_str()),
        "attrs": {
            "owner": reference("Identity", entitlement.owner.as_str()),
            "delivery": delivery,
            "target": target,
        },
        "parents": [],
    })
}

/// A grant as policies on `approve` see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantFacts<'a> {
    /// Its id; any text, since no policy can name a grant.
    pub(crate) id: Option<GrantId>,
    /// On what.
    pub(crate) entitlement: &'a EntitlementId,
    /// Who asks.
    pub(crate) requester: &'a IdentityId,
    /// Who answers for them.
    pub(crate) sponsor: &'a IdentityId,
    /// The requester's class.
    pub(crate) class: IdentityClass,
}

impl GrantFacts<'_> {
    fn uid(&self) -> Value {
        let id = self.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        reference("Grant", &id)
    }

    fn entity(&self) -> Value {
        json!({
            "uid": self.uid(),
            "attrs": {
                "entitlement": reference("Entitlement", self.entitlement.as_str()),
                "requester": reference("Identity", self.requester.as_str()),
                "sponsor": reference("Identity", self.sponsor.as_str()),
                "requesterClass": self.class.as_str(),
            },
            "parents": [],
        })
    }
}

/// Everything that Cedar needs beside the question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) entities: &'a Entities,
    pub(crate) policies: &'a PolicySet,
}

impl World<'_> {
    /// `entities` and the grant.
    pub(crate) fn entities_with(&self, grant: &GrantFacts<'_>) -> Result<Entities, Fault> {
        let entity = Entity::from_json_value(grant.entity(), Some(self.schema)).map_err(Fault::question)?;
        self.entities.clone().add_entities([entity], Some(self.schema)).map_err(Fault::question)
    }

    /// Whether `who` may `action` (request or have it without a person) on `entitlement`.
    pub(crate) fn on_entitlement(
        &self,
        who: &IdentityId,
        action: Action,
        entitlement: &EntitlementId,
        facts: &Facts,
    ) -> Result<Answer, Fault> {
        let resource = reference("Entitlement", entitlement.as_str());
        self.ask(who, action, resource, facts)
    }

    /// Whether `who` may approve `grant`. The world's entities must hold the grant.
    pub(crate) fn on_grant(&self, who: &IdentityId, grant: &GrantFacts<'_>, facts: &Facts) -> Result<Answer, Fault> {
        self.ask(who, Action::Approve, grant.uid(), facts)
    }

    fn ask(&self, who: &IdentityId, action: Action, resource: Value, facts: &Facts) -> Result<Answer, Fault> {
        let uid = |json| EntityUid::from_json(json).map_err(Fault::question);
        let principal = uid(reference("Identity", who.as_str()))?;
        let (action_uid, resource) = (uid(reference("Action", action.as_str()))?, uid(resource)?);
        // Cedar reads a missing entity as one without attributes or parents; here it denies.
        for needed in [&principal, &resource] {
            if self.entities.get(needed).is_none() {
                return Err(Fault::Question(format!("there is no {needed}")));
            }
        }
        let context = Context::from_json_value(context(action, facts), Some((self.schema, &action_uid)))
            .map_err(Fault::question)?;
        let request =
            Request::new(principal, action_uid, resource, context, Some(self.schema)).map_err(Fault::question)?;
        answer(&Authorizer::new().is_authorized(&request, self.policies, self.entities))
    }
}

fn context(action: Action, facts: &Facts) -> Value {
    let mut context = json!({ "termSeconds": facts.term_s, "now": facts.now.to_string() });
    if let Some(object) = context.as_object_mut() {
        if action != Action::Approve {
            object.insert("hasTicket".to_owned(), json!(facts.has_ticket));
        }
        if let Some(task) = &facts.task {
            object.insert("task".to_owned(), json!(task));
        }
    }
    context
}

fn answer(response: &Response) -> Result<Answer, Fault> {
    // INVARIANT: policy error = deny.
    if let Some(AuthorizationError::PolicyEvaluationError(error)) = response.diagnostics().errors().next() {
        return Err(Fault::Policy { policy: error.policy_id().to_string(), message: error.inner().to_string() });
    }
    let mut policies: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
    policies.sort();
    Ok(match response.decision() {
        Decision::Allow => Answer::Yes(policies),
        Decision::Deny => Answer::No(policies),
    })
}
