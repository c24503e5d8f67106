//! Finds the one registered identity that a token's claims prove.

use std::collections::BTreeSet;

use brevet_domain::bundle::Index;
use brevet_domain::id::IssuerId;
use brevet_domain::identity::{Identity, ProofRule, Task};

use crate::claims::Claims;
use crate::error::ProofError;

/// The identity that the claims of `issuer` prove, and its task.
///
/// # Errors
///
/// [`ProofError::Unregistered`], [`ProofError::Ambiguous`], or one of the task errors.
pub(crate) fn identify(
    claims: &Claims,
    issuer: &IssuerId,
    index: &Index,
) -> Result<(Identity, Option<Task>), ProofError> {
    let is_met = |rule: &&ProofRule| rule_is_met(rule, claims, issuer);
    let mut proved = index.identities.values().filter(|identity| identity.proofs.iter().any(|rule| is_met(&rule)));
    let identity = match (proved.next(), proved.next()) {
        (Some(identity), None) => identity,
        (None, _) => {
            return Err(ProofError::Unregistered { issuer: issuer.clone() });
        }
        (Some(first), Some(second)) => {
            return Err(ProofError::Ambiguous { first: first.id.clone(), second: second.id.clone() });
        }
    };
    let rules = identity.proofs.iter().filter(is_met);
    let task_claims: BTreeSet<_> = rules.map(|rule| rule.task.as_deref()).collect();
    let mut task_claims = task_claims.into_iter();
    let task = match (task_claims.next().flatten(), task_claims.next()) {
        (_, Some(_)) => {
            return Err(ProofError::TaskAmbiguous { identity: identity.id.clone() });
        }
        (None, None) => None,
        (Some(claim), None) => Some(task(claims, claim, identity)?),
    };
    Ok((identity.clone(), task))
}

/// Whether `claims` meet `rule`. No token meets a rule without claims: else every caller of its issuer would.
fn rule_is_met(rule: &ProofRule, claims: &Claims, issuer: &IssuerId) -> bool {
    rule.issuer == *issuer
        && !rule.claims.is_empty()
        && rule.claims.iter().all(|(name, value)| claims.text(name).as_ref() == Some(value))
}

fn task(claims: &Claims, claim: &str, identity: &Identity) -> Result<Task, ProofError> {
    let text = claims
        .text(claim)
        .ok_or_else(|| ProofError::TaskMissing { identity: identity.id.clone(), claim: claim.to_owned() })?;
    Task::try_from(text).map_err(|source| ProofError::InvalidTask {
        identity: identity.id.clone(),
        claim: claim.to_owned(),
        source,
    })
}
