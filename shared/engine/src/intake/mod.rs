//! The use cases of `intake`: submit requests, show grants, accept releases. Intake can only ask and give back.

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::evidence::{Entry, Head};
use brevet_domain::grant::EndCause;
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::reaper_health::{IssuanceGate, IssuancePolicy, ReaperHealth, Stop};
use brevet_domain::request::{Ask, DECIDE_WITHIN_S, Justification, Request, Ticket};
use brevet_domain::time::{Term, Timestamp};

use crate::catalogue::Catalogue;
use crate::port::{
    EvaluateAnswer, EvaluateCall, EvaluatorError, GrantPage, GrantReader, IdSource, KeyClaim, Mark, PortError,
    ProofVerifier, RawProof, RequestStore,
};
use crate::records::GrantRecords;
use crate::refusal::{Refusal, RefusalKind};

/// The use cases of the intake function.
pub struct Intake {
    pub proofs: Arc<dyn ProofVerifier>,
    pub catalogue: Arc<Catalogue>,
    pub requests: Arc<dyn RequestStore>,
    pub reader: Arc<dyn GrantReader>,
    pub evaluator: Arc<dyn EvaluateCall>,
    pub ids: Arc<dyn IdSource>,
    pub issuance_policy: IssuancePolicy,
}

/// The answer to a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The age of the reaper's last good pass.
    pub heartbeat_age_s: Option<u64>,
    /// The bundle in force.
    pub bundle: Option<Digest>,
    /// Why the issuance gate is closed, if it is. Issuing on a single principal may be stopped even if it is open.
    pub stop: Option<Stop>,
    /// The overdue grants that the reaper's health record names.
    pub n_overdue: usize,
    /// Those that nobody has acknowledged.
    pub n_unacknowledged: usize,
}

/// What a renewal changes; the rest is taken from the request that it renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalChanges {
    /// Counted from the renewal's own activation.
    pub term_s: Term,
    pub ticket: Option<Ticket>,
    pub justification: Option<Justification>,
}

impl Intake {
    /// Stores a request under an idempotency key and has the evaluator decide it.
    ///
    /// The same key with the same body returns the same grant, and resumes a request that is still undecided.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof, the key or the request is invalid, or if a port does not answer.
    pub async fn submit(&self, proof: &RawProof, key: &str, ask: Ask, now: Timestamp) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        // 1. A request that can never be granted is refused before anything is stored.
        self.check(&caller, &ask, now).await?;
        // 2. One key names one request.
        let claim = self.claim(&caller, key, &ask, now).await?;
        // 3. Record the request. If one is stored under this id already, that one stands.
        let request = Request { id: claim.id, ask, asked_at: now, decide_by: now.plus(DECIDE_WITHIN_S) };
        let standing = self.requests.put_request(&request).await?;
        let records = GrantRecords::read(&self.reader, claim.id).await?;
        if records.grant.is_some() || now >= standing.decide_by {
            return Ok(records);
        }
        // 4. The evaluator verifies the proof and reads the stored request itself; intake passes on nothing else.
        match self.evaluator.evaluate(claim.id, proof).await {
            Ok(EvaluateAnswer::Decided) => {}
            Ok(EvaluateAnswer::Refused { refusal }) => return Err(refusal),
            // A lost answer is unknown: the store shows whether the request was decided.
            Err(error) => {
                let records = GrantRecords::read(&self.reader, claim.id).await?;
                if records.grant.is_none() {
                    return Err(Refusal::from(error).about(claim.id));
                }
                return Ok(records);
            }
        }
        Ok(GrantRecords::read(&self.reader, claim.id).await?)
    }

    /// Submits a renewal of grant `id`: a new request with the same content except for `changes`, decided afresh.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Self::submit`], and if the caller holds no such grant.
    pub async fn renew(
        &self,
        proof: &RawProof,
        key: &str,
        id: GrantId,
        changes: RenewalChanges,
        now: Timestamp,
    ) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        let grant = records.visible_to(id, &caller.identity.id)?;
        let Some(before) = records.request.as_ref().filter(|_| grant.identity == caller.identity.id) else {
            return Err(Refusal::no_such_grant(id));
        };
        let RenewalChanges { term_s, ticket, justification } = changes;
        let ask = Ask { term_s, ticket, justification, renews: Some(id), ..before.ask.clone() };
        // The evaluator checks by itself that the renewed grant was decided for this content.
        self.submit(proof, key, ask, now).await
    }

    async fn check(&self, caller: &Caller, ask: &Ask, now: Timestamp) -> Result<(), Refusal> {
        let id = &ask.entitlement;
        let listing = self.catalogue.still_using(now, |bundle| async move { bundle.listing(id).await }).await;
        let listing = listing.map_err(unusable_bundle)?;
        let entitlement = listing.ok_or_else(|| EvaluatorError::UnknownEntitlement(id.clone()))?.entitlement;
        entitlement.check(caller.identity.class, ask).map_err(EvaluatorError::InvalidRequest)?;
        Ok(())
    }

    async fn claim(&self, caller: &Caller, key: &str, ask: &Ask, now: Timestamp) -> Result<KeyClaim, Refusal> {
        let body_digest = Digest::of(ask)
            .map_err(|error| Refusal::new(RefusalKind::Invalid, "invalid_request", error.to_string()))?;
        let claim = KeyClaim {
            caller: caller.identity.id.clone(),
            key: key.to_owned(),
            body_digest,
            id: self.ids.grant_id(now),
            at: now,
        };
        let standing = self.requests.claim_key(&claim).await?;
        if standing.body_digest == body_digest {
            return Ok(standing);
        }
        let detail = "this `Idempotency-Key` was used with another body: send the same body, or use another key";
        Err(Refusal::new(RefusalKind::Conflict, "idempotency_key_reused", detail).about(standing.id))
    }

    /// Shows one grant to its holder, to the human who answers for it, or to an approver.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid or the caller may not see the grant.
    pub async fn show(&self, proof: &RawProof, id: GrantId, now: Timestamp) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        records.visible_to(id, &caller.identity.id)?;
        Ok(records)
    }

    /// Lists the caller's own grants, newest first.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof or the cursor is invalid, or the index does not answer.
    pub async fn list(
        &self,
        proof: &RawProof,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<GrantPage, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let page = self.reader.grants_of(&caller.identity.id, cursor, limit).await;
        page.map_err(|error| Refusal::of_page(error, cursor))
    }

    /// Shows a grant's evidence after entry `after`, and the head that the chain must end in.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid or the caller may not see the grant.
    pub async fn evidence(
        &self,
        proof: &RawProof,
        id: GrantId,
        after: u64,
        limit: u32,
        now: Timestamp,
    ) -> Result<(Head, Vec<Entry>), Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        let head = records.visible_to(id, &caller.identity.id)?.evidence;
        Ok((head, self.reader.evidence(id, after, limit).await?))
    }

    /// Marks a grant to be withdrawn or ended, for its holder or the human who answers for it.
    ///
    /// Intake only stores a mark: the reaper's one code path removes access. A grant that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid, the caller may not release the grant, or the mark cannot be stored.
    pub async fn release(&self, proof: &RawProof, id: GrantId, now: Timestamp) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        let grant = records.visible_to(id, &caller.identity.id)?;
        let by = &caller.identity.id;
        if !grant.belongs_to(by) {
            let detail = "only the holder, the human who answers for it, or the human it is held on behalf of can release a \
                 grant";
            return Err(Refusal::new(RefusalKind::Forbidden, "not_holder", detail).about(id));
        }
        if !grant.state.is_terminal() {
            let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: by.clone(), at: now };
            self.requests.put_mark(&Mark { id, block }).await?;
        }
        Ok(records)
    }

    /// Reads the issuance gate and the bundle in force.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the store does not answer.
    pub async fn health(&self, now: Timestamp) -> Result<Health, Refusal> {
        let reaper_health = self.reader.reaper_health().await?;
        let bundle = self.catalogue.current(now).await.ok().map(|bundle| bundle.digest());
        let stop = match ReaperHealth::issuance_gate(reaper_health.as_ref(), None, now, self.issuance_policy) {
            IssuanceGate::Open => None,
            IssuanceGate::Closed(stop) => Some(stop),
        };
        let overdue: Vec<_> = reaper_health
            .iter()
            .flat_map(|reaper_health| reaper_health.late.overdue(now, self.issuance_policy.overdue_s))
            .collect();
        let n_unacknowledged = overdue.iter().filter(|late| !late.acknowledged).count();
        let heartbeat_age_s = reaper_health.as_ref().map(|reaper_health| now.seconds_since(reaper_health.read_up_to));
        Ok(Health { heartbeat_age_s, bundle, stop, n_overdue: overdue.len(), n_unacknowledged })
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

fn unusable_bundle(error: PortError) -> Refusal {
    EvaluatorError::Unavailable(Box::new(error)).into()
}
