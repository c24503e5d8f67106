//! May this person stop everything that a scope covers, let it go on, or see how it stands?

use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Caller, IdentityClass};
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::time::Timestamp;
use cedar_policy::{Context, Entity, RestrictedExpression};

use crate::ask::{Action, Answer, Fault, Question};
use crate::bundle::Bundle;
use crate::entities::uid;

/// Why somebody has no hand on the kill switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeRefusal {
    /// They are not in the catalogue in force, or are registered there as something else.
    #[error("`{0}` is not registered in the catalogue in force")]
    Unregistered(IdentityId),
    /// Never, whatever policy says.
    #[error("only people have their hands on the kill switch, and `{0}` is none")]
    NotHuman(IdentityId),
    /// No policy allows it.
    #[error("no policy allows `{who}` to `{action}` on `{scope}`")]
    NotAllowed {
        /// Who.
        who: IdentityId,
        /// The action, as policies name it.
        action: &'static str,
        /// On what.
        scope: WideScope,
    },
    /// A policy forbids it.
    #[error("forbidden by policy `{}`", .0.join("`, `"))]
    Forbidden(Vec<String>),
    /// It could not be evaluated.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Bundle {
    /// Judges whether `caller` may do this with `scope` at `now`, whose block `placed_by` placed; the policies that allow
    /// it if so. Only policies that are about no one entitlement alone are asked: a block reaches further than one.
    ///
    /// # Errors
    ///
    /// [`RevokeRefusal`] if not, or if anything could not be evaluated.
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
