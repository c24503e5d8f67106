//! One question to Cedar, and its answer. Any error on the way is a fault, and a fault is never a yes.

use std::cell::RefCell;

use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::IdentityClass;
use brevet_domain::rule;
use brevet_domain::time::Timestamp;
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, Response,
    RestrictedExpression, Schema,
};

use crate::entities::uid;

/// What a policy may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// May this identity have it at all?
    Request,
    /// May it have it without a person?
    AutoApprove,
    /// May this person say yes to this grant?
    Approve,
    /// May this person stop all that a scope covers?
    Revoke,
    /// May this person let it go on?
    LiftRevocation,
    /// May this person see how it stands?
    ReadRevocation,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::AutoApprove => "autoApprove",
            Self::Approve => "approve",
            Self::Revoke => "revoke",
            Self::LiftRevocation => "liftRevocation",
            Self::ReadRevocation => "readRevocation",
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
    /// The schedule that asks, if nobody does.
    pub(crate) schedule: Option<String>,
    /// The human on whose behalf it is asked.
    pub(crate) on_behalf_of: Option<IdentityId>,
    /// Whether it carries on another grant.
    pub(crate) is_renewal: bool,
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
    pub(crate) fn question(error: impl std::fmt::Display) -> Self {
        Self::Question(error.to_string())
    }

    /// The policies and rules to name in a decision.
    pub(crate) fn policies(&self) -> Vec<String> {
        match self {
            Self::Policy { policy, .. } => vec![policy.clone()],
            Self::Question(_) => vec![rule::UNEVALUATED.to_owned()],
        }
    }
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
    fn uid(&self) -> Result<EntityUid, Fault> {
        let id = self.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        uid("Grant", &id)
    }

    /// The entity.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if it cannot be written.
    pub(crate) fn entity(&self) -> Result<Entity, Fault> {
        let is = |name: &str, kind, id| {
            Ok::<_, Fault>((name.to_owned(), RestrictedExpression::new_entity_uid(uid(kind, id)?)))
        };
        let attrs = [
            is("entitlement", "Entitlement", self.entitlement.as_str())?,
            is("requester", "Identity", self.requester.as_str())?,
            is("sponsor", "Identity", self.sponsor.as_str())?,
            ("requesterClass".to_owned(), RestrictedExpression::new_string(self.class.as_str().to_owned())),
        ];
        Entity::new_with_tags(self.uid()?, attrs, [], []).map_err(Fault::question)
    }
}

/// Everything that Cedar needs beside the question: no more entities than the question can lead to.
#[derive(Clone, Debug)]
pub(crate) struct World<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) entities: Entities,
    pub(crate) policies: &'a PolicySet,
}

/// Who asks about what, in which circumstances: of one such, several things may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    principal: EntityUid,
    resource: EntityUid,
    context: Context,
}

impl Question {
    /// Whether `who` may have `entitlement`, one way or another.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if it cannot be put to policy.
    pub(crate) fn new(who: &IdentityId, entitlement: &EntitlementId, facts: &Facts) -> Result<Self, Fault> {
        let (principal, resource) = (uid("Identity", who.as_str())?, uid("Entitlement", entitlement.as_str())?);
        Ok(Self { principal, resource, context: context(Action::Request, facts)? })
    }
}

impl Question {
    /// `who` about `resource`, in these circumstances.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if it cannot be put to policy.
    pub(crate) fn about(who: &IdentityId, resource: EntityUid, context: Context) -> Result<Self, Fault> {
        Ok(Self { principal: uid("Identity", who.as_str())?, resource, context })
    }
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread asked Cedar.
    pub(crate) static N_ASKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl World<'_> {
    /// Whether `who` may approve `grant`. The world's entities must hold the grant.
    pub(crate) fn on_grant(&self, who: &IdentityId, grant: &GrantFacts<'_>, facts: &Facts) -> Result<Answer, Fault> {
        let (principal, resource) = (uid("Identity", who.as_str())?, grant.uid()?);
        let context = context(Action::Approve, facts)?;
        self.ask(&Question { principal, resource, context }, Action::Approve)
    }

    /// Whether `action` is allowed.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it could not be evaluated: a denial.
    pub(crate) fn ask(&self, question: &Question, action: Action) -> Result<Answer, Fault> {
        let Question { principal, resource, context } = question.clone();
        // Cedar reads a missing entity as one without attributes or parents; here it denies.
        for needed in [&principal, &resource] {
            if self.entities.get(needed).is_none() {
                return Err(Fault::Question(format!("there is no {needed}")));
            }
        }
        // The schema is asked about the context here.
        let action = uid("Action", action.as_str())?;
        let request = Request::new(principal, action, resource, context, Some(self.schema)).map_err(Fault::question)?;
        #[cfg(test)]
        N_ASKED.with(|n| n.set(n.get().saturating_add(1)));
        answer(&Authorizer::new().is_authorized(&request, self.policies, &self.entities))
    }
}

/// `now` for Cedar, which parses the name of its `datetime` function each time: a third of a decision's time. Many questions
/// are asked about one instant, so each thread keeps the last.
fn datetime(now: Timestamp) -> RestrictedExpression {
    std::thread_local! {
        static LAST: RefCell<Option<(Timestamp, RestrictedExpression)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((at, expression)) if *at == now => expression.clone(),
        _ => last.insert((now, RestrictedExpression::new_datetime(now.to_string()))).1.clone(),
    })
}

fn context(action: Action, facts: &Facts) -> Result<Context, Fault> {
    let mut pairs = vec![
        ("termSeconds".to_owned(), RestrictedExpression::new_long(facts.term_s.into())),
        ("now".to_owned(), datetime(facts.now)),
    ];
    if action != Action::Approve {
        pairs.push(("hasTicket".to_owned(), RestrictedExpression::new_bool(facts.has_ticket)));
        pairs.push(("isRenewal".to_owned(), RestrictedExpression::new_bool(facts.is_renewal)));
        if let Some(human) = &facts.on_behalf_of {
            let human = uid("Identity", human.as_str())?;
            pairs.push(("onBehalfOf".to_owned(), RestrictedExpression::new_entity_uid(human)));
        }
        if let Some(schedule) = &facts.schedule {
            pairs.push(("schedule".to_owned(), RestrictedExpression::new_string(schedule.clone())));
        }
    }
    if let Some(task) = &facts.task {
        pairs.push(("task".to_owned(), RestrictedExpression::new_string(task.clone())));
    }
    Context::from_pairs(pairs).map_err(Fault::question)
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
