//! Delegations: what a human lets another identity request on their behalf. Only that human can store one.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::delegation::{Delegation, MAX_DELEGATES, Scope};
use brevet_domain::duties::Holdings;
use brevet_domain::grant::{EndCause, Grant};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Audience, Caller, IdentityClass};
use brevet_domain::time::Timestamp;

use super::{Decider, unwritable};
use crate::port::{Mark, PortError, RawProof};
use crate::refusal::{Refusal, RefusalKind};

/// How often a conflict with another change of the same human is retried.
const ATTEMPTS: u32 = 8;

impl Decider {
    /// Stores what the caller, a human, lets `to` request on their behalf from now on: `scope`, which may end it.
    ///
    /// Live grants that rest on the previous version and that the new one does not cover are marked to be ended, in the
    /// same transaction. An unchanged scope is not written again.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not a human's, `to` cannot have delegations, `scope` is out of bounds, or the store
    /// does not answer. Nothing is stored then.
    pub async fn delegate(
        &self,
        proof: &RawProof,
        to: &IdentityId,
        scope: Scope,
        now: Timestamp,
    ) -> Result<Delegation, Refusal> {
        // INVARIANT: the token's audience is approvals, which intake never sees: intake cannot delegate.
        let caller = self.human(proof, now).await?;
        scope.check(now).map_err(|error| invalid("invalid_delegation", error.to_string()))?;
        if matches!(scope, Scope::Given { .. }) {
            self.check_delegate(to, now).await?;
        }
        let by = &caller.identity.id;
        let mut raced = PortError::Conflict { operation: "delegate" };
        for _ in 0..ATTEMPTS {
            let before = self.delegations.delegation(by, to).await?;
            match &before {
                Some(before) if before.scope == scope => return Ok(before.clone()),
                None if matches!(scope, Scope::Ended) => {
                    let detail = format!("you have no delegation to `{to}`");
                    return Err(Refusal::new(RefusalKind::NotFound, "delegation_not_found", detail));
                }
                None if self.delegations.delegations_of(by).await?.len() >= MAX_DELEGATES => {
                    let detail = format!(
                        "a human can delegate to at most {MAX_DELEGATES} identities, past delegations \
                                 included"
                    );
                    return Err(Refusal::new(RefusalKind::Conflict, "delegations_full", detail));
                }
                Some(_) | None => {}
            }
            let new = next(&caller, to, before.as_ref(), scope.clone(), now)?;
            let held = self.holdings.holdings(by).await?;
            let ends = self.ends(&new, &held).await?;
            match self.delegations.delegate(&new, &ends, held.version).await {
                Ok(()) => return Ok(new),
                Err(error @ PortError::Conflict { .. }) => raced = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(raced.into())
    }

    /// The latest version of each of the caller's delegations, including ended and past ones.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not a human's, or the store does not answer.
    pub async fn delegations(&self, proof: &RawProof, now: Timestamp) -> Result<Vec<Delegation>, Refusal> {
        let caller = self.human(proof, now).await?;
        Ok(self.delegations.delegations_of(&caller.identity.id).await?)
    }

    async fn human(&self, proof: &RawProof, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class == IdentityClass::Human {
            return Ok(caller);
        }
        let detail = "only humans can delegate: the catalogue says what a machine may request";
        Err(Refusal::new(RefusalKind::Forbidden, "delegator_not_human", detail))
    }

    async fn check_delegate(&self, to: &IdentityId, now: Timestamp) -> Result<(), Refusal> {
        let registered = self.policy.registered(to, now).await?;
        if registered.is_some_and(|identity| identity.class != IdentityClass::Human) {
            return Ok(());
        }
        let detail = format!("`{to}` is not a registered pipeline, workload or agent: delegate to one of these");
        Err(invalid("delegate_unknown", detail))
    }

    /// The marks that end grants that rest on an earlier version and are not covered by `new`.
    async fn ends(&self, new: &Delegation, held: &Holdings) -> Result<Vec<Mark>, Refusal> {
        let mut over = Vec::new();
        let live = held.held.iter().filter(|holding| holding.ended_at.is_none() && holding.identity == new.to);
        for id in live.map(|holding| holding.grant) {
            let grant = self.reader.grant(id).await?;
            let rests = |grant: &Grant| grant.on_behalf_of.as_ref() == Some(&new.by) && !grant.state.is_terminal();
            over.extend(grant.filter(|grant| rests(grant) && !new.keeps(grant)).map(|grant| grant.id));
        }
        let scopes: Vec<_> = over.iter().map(|id| BlockScope::Grant(*id)).collect();
        let marked = self.reader.blocks(&scopes).await?;
        over.retain(|id| marked.iter().all(|block| block.scope != BlockScope::Grant(*id)));
        let mark = |id| {
            let (scope, cause, by) = (BlockScope::Grant(id), EndCause::Revoked, new.by.clone());
            Mark { id, block: Block { scope, cause, by, at: new.at } }
        };
        Ok(over.into_iter().map(mark).collect())
    }
}

fn next(
    caller: &Caller,
    to: &IdentityId,
    before: Option<&Delegation>,
    scope: Scope,
    now: Timestamp,
) -> Result<Delegation, Refusal> {
    Ok(Delegation {
        by: caller.identity.id.clone(),
        to: to.clone(),
        version: before.map_or(0, |before| before.version).saturating_add(1),
        prev: before.map_or(Ok(Digest::ZERO), Delegation::digest).map_err(unwritable)?,
        scope,
        // Even if the clock went back, this version must not expire before the one that it replaces.
        at: before.map_or(now, |before| now.max(before.at)),
        proof: caller.proof.clone(),
    })
}

fn invalid(code: &'static str, detail: String) -> Refusal {
    Refusal::new(RefusalKind::Invalid, code, detail)
}
