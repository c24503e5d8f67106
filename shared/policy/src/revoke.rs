//! Rights on the kill switch: whether a person may place, lift or read a block on a scope.

use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Caller, IdentityClass};
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::time::Timestamp;
use cedar_policy::{Context, Entity, RestrictedExpression};

use crate::ask::{Action, Answer, Fault, Question};
use crate::bundle::Bundle;
use crate::entities::uid;

/// The reason why a caller may not use the kill switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeRefusal {
    /// The caller is not in the catalogue in force, or it is registered there with other attributes.
    #[error("`{0}` is not registered in the catalogue in force")]
    Unregistered(IdentityId),
    /// The caller is not human. No policy can allow it.
    #[error("only human identities may use the kill switch, and `{0}` is not human")]
    NotHuman(IdentityId),
    /// No policy permits the action.
    #[error("no policy allows `{who}` to `{action}` on `{scope}`")]
    NotAllowed {
        who: IdentityId,
        /// The action, as policies name it.
        action: &'static str,
        scope: WideScope,
    },
    /// These policies forbid the action.
    #[error("forbidden by policy `{}`", .0.join("`, `"))]
    Forbidden(Vec<String>),
    /// The question could not be evaluated.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Bundle {
    /// Decides whether `caller` may use this right on `scope` at `now`; `placed_by` placed the current block, if any.
    /// Returns the policies that allow it. Only the general policies are evaluated, since a block covers more than one
    /// entitlement.
    ///
    /// # Errors
    ///
    /// [`RevokeRefusal`] if the caller may not, or if a policy could not be evaluated.
    pub fn may_revoke(
        &self,
        caller: &Caller,
        right: Right,
        scope: &WideScope,
        placed_by: Option<&IdentityId>,
        now: Timestamp,
    ) -> Result<Vec<String>, RevokeRefusal> {
        let person = &caller.identity;
        if !self.knows(person) {
            return Err(RevokeRefusal::Unregistered(person.id.clone()));
        }
        if person.class != IdentityClass::Human {
            return Err(RevokeRefusal::NotHuman(person.id.clone()));
        }
        let action = match right {
            Right::Place => Action::Revoke,
            Right::Lift => Action::LiftRevocation,
            Right::Read => Action::ReadRevocation,
        };
        let people = std::iter::once(&person.id).chain(placed_by);
        let world = self.wide_world(people, entity(scope)?)?;
        let resource = uid("Scope", &scope.to_string())?;
        let question = Question::about(&person.id, resource, context(placed_by, now)?)?;
        match world.ask(&question, action)? {
            Answer::Yes(policies) => Ok(policies),
            Answer::No(policies) if policies.is_empty() => {
                let (who, scope) = (person.id.clone(), scope.clone());
                Err(RevokeRefusal::NotAllowed { who, action: action.as_str(), scope })
            }
            Answer::No(policies) => Err(RevokeRefusal::Forbidden(policies)),
        }
    }
}

fn entity(scope: &WideScope) -> Result<Entity, Fault> {
    let text = |name: &str, value: String| (name.to_owned(), RestrictedExpression::new_string(value));
    let attrs = [text("kind", scope.kind().to_owned()), text("name", scope.name())];
    Entity::new_with_tags(uid("Scope", &scope.to_string())?, attrs, [], []).map_err(Fault::question)
}

fn context(placed_by: Option<&IdentityId>, now: Timestamp) -> Result<Context, Fault> {
    let mut pairs = vec![("now".to_owned(), RestrictedExpression::new_datetime(now.to_string()))];
    if let Some(id) = placed_by {
        pairs.push(("placedBy".to_owned(), RestrictedExpression::new_entity_uid(uid("Identity", id.as_str())?)));
    }
    Context::from_pairs(pairs).map_err(Fault::question)
}
