//! Whether a person may vote on a decision.

use brevet_domain::decision::{ApproverError, Decision, Outcome, check_approver};
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Caller, IdentityClass};
use brevet_domain::time::Timestamp;

use crate::ask::{Answer, Facts, Fault, GrantFacts};
use crate::bundle::Bundle;
use crate::decide::sorted;

/// The reason why a caller may not vote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The decision does not wait for approval.
    #[error("this request does not wait for an approval")]
    NotAwaited,
    /// An identity or the entitlement is not in the catalogue in force, or is registered there with other attributes.
    #[error("`{0}` is not registered in the catalogue in force as this decision requires")]
    Unregistered(String),
    /// The person is not independent of the request. No policy can allow it.
    #[error(transparent)]
    Apart(#[from] ApproverError),
    /// The decision does not count this person's vote.
    #[error("`{0}` is not among those who may approve this request")]
    NotListed(IdentityId),
    /// No policy permits the vote.
    #[error("no policy allows `{0}` to approve requests for `{1}` like this")]
    NotAllowed(IdentityId, EntitlementId),
    /// These policies forbid the vote.
    #[error("forbidden by policy `{}`", .0.join("`, `"))]
    Forbidden(Vec<String>),
    /// The question could not be evaluated.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Bundle {
    /// Decides whether `approver` may vote on `decision` at `now`. Returns the policies that allow it.
    ///
    /// This bundle decides, even if an older one made the decision: an approver who has left since may not vote.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the person may not vote, or if a policy could not be evaluated.
    pub fn may_approve(&self, approver: &Caller, decision: &Decision, now: Timestamp) -> Result<Vec<String>, Refusal> {
        let terms = &decision.terms;
        if !matches!(terms.outcome, Outcome::NeedsApproval { .. }) {
            return Err(Refusal::NotAwaited);
        }
        let person = &approver.identity;
        let unregistered = |id: &IdentityId| Refusal::Unregistered(id.to_string());
        if !self.knows(person) {
            return Err(unregistered(&person.id));
        }
        let requester = self
            .index()
            .identities
            .get(&terms.identity)
            .filter(|requester| requester.class == terms.class && self.knows(requester))
            .ok_or_else(|| unregistered(&terms.identity))?;
        if self.entitlement(&terms.entitlement).is_none() {
            return Err(Refusal::Unregistered(terms.entitlement.to_string()));
        }
        let human = terms.on_behalf_of().map(|human| {
            let registered = self.index().identities.get(human);
            registered.filter(|one| one.class == IdentityClass::Human).ok_or_else(|| unregistered(human))
        });
        let human = human.transpose()?;
        // Excludes the requester's sponsor at the time of the request, its current owner, and the human it asks for.
        terms.check_approver(person)?;
        check_approver(person, &terms.identity, &requester.owner)?;
        if !decision.approvers().contains(&person.id) {
            return Err(Refusal::NotListed(person.id.clone()));
        }
        let facts = Facts {
            term_s: terms.term.as_seconds(),
            has_ticket: false, // policies on `approve` do not see this and the next two
            on_behalf_of: None,
            is_renewal: false,
            task: terms.task.as_ref().map(|task| task.as_str().to_owned()),
            schedule: None, // a scheduled request never needs approval
            now,
        };
        let mut determining = Vec::new();
        let own = (&terms.identity, &terms.sponsor, terms.class);
        let theirs = human.map(|human| (&human.id, &human.id, human.class));
        for (requester, sponsor, class) in std::iter::once(own).chain(theirs) {
            let id = Some(terms.id);
            let grant = GrantFacts { id, entitlement: &terms.entitlement, requester, sponsor, class };
            let world = self.world(&terms.entitlement, std::iter::once(&person.id), Some(&grant))?;
            match world.on_grant(&person.id, &grant, &facts)? {
                Answer::Yes(policies) => determining.extend(policies),
                Answer::No(policies) if policies.is_empty() => {
                    return Err(Refusal::NotAllowed(person.id.clone(), terms.entitlement.clone()));
                }
                Answer::No(policies) => return Err(Refusal::Forbidden(policies)),
            }
        }
        Ok(sorted(determining))
    }
}
