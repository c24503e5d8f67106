//! Delegations: what a human lets another identity ask for on their behalf, stored by the human alone.

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

/// How often a change is tried anew after something else of the same human came in between.
const ATTEMPTS: u32 = 8;

impl Decider {
    /// Stores what the caller, a human, lets `to` ask for on their behalf from now on: `scope`, or nothing any more.
    ///
    /// Live grants that rest on what was there before and that the new version does not cover are marked to be ended, in
    /// the same transaction. What says nothing new is not written again.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows no human, `to` is none that anything can be delegated to, `scope` is out of
    /// bounds, or the store does not answer. Then nothing is stored.
    pub async fn delegate(
        &self,
        proof: &RawProof,
        to: &IdentityId,
        scope: Scope,
        now: Timestamp,
    ) -> Result<Delegation, Refusal> {
        // INVARIANT: a token for approvals, which intake never sees: whoever takes requests in cannot delegate.
        let caller = self.human(proof, now).await?;
        scope.check(now).map_err(|error| unfit("delegation_unfit", error.to_string()))?;
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
                    let detail = format!("there is no delegation of yours to `{to}`");
                    return Err(Refusal::new(RefusalKind::NotFound, "delegation_not_found", detail));
                }
                None if self.delegations.delegations_of(by).await?.len() >= MAX_DELEGATES => {
                    let detail =
                        format!("one human can have delegations for {MAX_DELEGATES} identities, past ones included");
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

    /// The latest version of each of the caller's delegations, ended and past ones too.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows no human, or the store does not answer.
    pub async fn delegations(&self, proof: &RawProof, now: Timestamp) -> Result<Vec<Delegation>, Refusal> {
        let caller = self.human(proof, now).await?;
        Ok(self.delegations.delegations_of(&caller.identity.id).await?)
    }

    async fn human(&self, proof: &RawProof, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class == IdentityClass::Human {
            return Ok(caller);
        }
        let detail = "only a human has delegations: what a machine may ask for is said in the catalogue";
        Err(Refusal::new(RefusalKind::Forbidden, "delegator_not_human", detail))
    }

    async fn check_delegate(&self, to: &IdentityId, now: Timestamp) -> Result<(), Refusal> {
        let registered = self.policy.registered(to, now).await?;
        if registered.is_some_and(|identity| identity.class != IdentityClass::Human) {
            return Ok(());
        }
        let detail = format!("`{to}` is no registered pipeline, workload or agent: only to such is anything delegated");
        Err(unfit("delegate_unknown", detail))
    }

    /// The marks that end what rests on an earlier version and must not go on under `new`.
    async fn ends(&self, new: &Delegation, held: &Holdings) -> Result<Vec<Mark>, Refusal> {
        let mut over = Vec::new();
        let live = held.held.iter().filter(|one| one.ended_at.is_none() && one.identity == new.to);
        for id in live.map(|one| one.grant) {
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
        // A clock that went back must not have this version dropped before the one that it replaces.
        at: before.map_or(now, |before| now.max(before.at)),
        proof: caller.proof.clone(),
    })
}

fn unfit(code: &'static str, detail: String) -> Refusal {
    Refusal::new(RefusalKind::Unfit, code, detail)
}
