//! One question to Cedar, and its answer. Any error on the way is a [`Fault`], and a fault denies.

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

/// An action of the policy schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// May this identity have the entitlement at all?
    Request,
    /// May the identity have the entitlement without approval by a person?
    AutoApprove,
    /// May this person approve this grant?
    Approve,
    /// May this person place a kill-switch block on this scope?
    Revoke,
    /// May this person lift the block?
    LiftRevocation,
    /// May this person read the state of the block?
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

/// The context of a request, as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The requested term, in seconds.
    pub(crate) term_s: u32,
    /// Whether the request names a ticket.
    pub(crate) has_ticket: bool,
    /// The task that the proof names.
    pub(crate) task: Option<String>,
    /// The schedule that asks, if the request is scheduled.
    pub(crate) schedule: Option<String>,
    /// The human on whose behalf the requester asks.
    pub(crate) on_behalf_of: Option<IdentityId>,
    /// Whether the request renews another grant.
    pub(crate) is_renewal: bool,
    /// The instant of the decision.
    pub(crate) now: Timestamp,
}

/// Cedar's answer, with the ids of the determining policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Allowed by these policies.
    Yes(Vec<String>),
    /// Forbidden by these policies. The list is empty if no policy permits it.
    No(Vec<String>),
}

/// The reason why Cedar gave no answer. A fault counts as a denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A policy could not be evaluated. Cedar skips such a policy, and a skipped forbid would silently allow.
    #[error("policy `{policy}` cannot be evaluated: {message}")]
    Policy {
        /// The `@id` of the policy.
        policy: String,
        /// Cedar's error text.
        message: String,
    },
    /// The question does not fit the schema.
    #[error("the request cannot be evaluated: {0}")]
    Question(String),
}

impl Fault {
    pub(crate) fn question(error: impl std::fmt::Display) -> Self {
        Self::Question(error.to_string())
    }

    /// The policies and rules that a decision names as determining.
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
    /// The id of the grant. Any text will do for the entity, since no policy can name a grant.
    pub(crate) id: Option<GrantId>,
    pub(crate) entitlement: &'a EntitlementId,
    pub(crate) requester: &'a IdentityId,
    pub(crate) sponsor: &'a IdentityId,
    /// The requester's class.
    pub(crate) class: IdentityClass,
}

impl GrantFacts<'_> {
    fn uid(&self) -> Result<EntityUid, Fault> {
        let id = self.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        uid("Grant", &id)
    }

    /// The Cedar entity of the grant.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if the entity cannot be built.
    pub(crate) fn entity(&self) -> Result<Entity, Fault> {
        let reference = |name: &str, kind, id| {
            Ok::<_, Fault>((name.to_owned(), RestrictedExpression::new_entity_uid(uid(kind, id)?)))
        };
        let attrs = [
            reference("entitlement", "Entitlement", self.entitlement.as_str())?,
            reference("requester", "Identity", self.requester.as_str())?,
            reference("sponsor", "Identity", self.sponsor.as_str())?,
            ("requesterClass".to_owned(), RestrictedExpression::new_string(self.class.as_str().to_owned())),
        ];
        Entity::new_with_tags(self.uid()?, attrs, [], []).map_err(Fault::question)
    }
}

/// Everything that Cedar needs besides the question. It holds only the entities that the question can reach.
#[derive(Clone, Debug)]
pub(crate) struct World<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) entities: Entities,
    pub(crate) policies: &'a PolicySet,
}

/// A principal, a resource and a context. Several actions may be asked about one question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    principal: EntityUid,
    resource: EntityUid,
    context: Context,
}

impl Question {
    /// A question whether `who` may have `entitlement`.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if the question does not fit the schema.
    pub(crate) fn new(who: &IdentityId, entitlement: &EntitlementId, facts: &Facts) -> Result<Self, Fault> {
        let (principal, resource) = (uid("Identity", who.as_str())?, uid("Entitlement", entitlement.as_str())?);
        Ok(Self { principal, resource, context: context(Action::Request, facts)? })
    }
}

impl Question {
    /// A question of `who` about `resource`, in this context.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if the question does not fit the schema.
    pub(crate) fn about(who: &IdentityId, resource: EntityUid, context: Context) -> Result<Self, Fault> {
        Ok(Self { principal: uid("Identity", who.as_str())?, resource, context })
    }
}

#[cfg(test)]
std::thread_local! {
    /// The number of Cedar evaluations on this thread.
    pub(crate) static N_ASKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl World<'_> {
    /// Asks whether `who` may approve `grant`. The entities must include the grant.
    pub(crate) fn on_grant(&self, who: &IdentityId, grant: &GrantFacts<'_>, facts: &Facts) -> Result<Answer, Fault> {
        let (principal, resource) = (uid("Identity", who.as_str())?, grant.uid()?);
        let context = context(Action::Approve, facts)?;
        self.ask(&Question { principal, resource, context }, Action::Approve)
    }

    /// Asks whether `action` is allowed.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the question could not be evaluated: a denial.
    pub(crate) fn ask(&self, question: &Question, action: Action) -> Result<Answer, Fault> {
        let Question { principal, resource, context } = question.clone();
        // Cedar treats a missing entity as one without attributes or parents. Here a missing entity denies.
        for needed in [&principal, &resource] {
            if self.entities.get(needed).is_none() {
                return Err(Fault::Question(format!("there is no {needed}")));
            }
        }
        // `Request::new` validates the context against the schema.
        let action = uid("Action", action.as_str())?;
        let request = Request::new(principal, action, resource, context, Some(self.schema)).map_err(Fault::question)?;
        #[cfg(test)]
        N_ASKED.with(|n| n.set(n.get().saturating_add(1)));
        answer(&Authorizer::new().is_authorized(&request, self.policies, &self.entities))
    }
}

/// `now` as a Cedar expression. Cedar parses the name of its `datetime` function each time, a third of a decision's
/// time. Many questions concern one instant, so each thread keeps the last expression.
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
