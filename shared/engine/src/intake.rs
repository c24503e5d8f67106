//! What `intake` does: take a request in, show grants, take releases. It can ask and give back, no more.

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::evidence::{Entry, Head};
use brevet_domain::grant::EndCause;
use brevet_domain::heart::{Heart, Pulse, Stop, Tolerance};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::request::{Ask, DECIDE_WITHIN_S, Justification, Request, Ticket};
use brevet_domain::time::{Term, Timestamp};

use crate::catalogue::Catalogue;
use crate::port::{
    EvaluateAnswer, EvaluateCall, EvaluatorError, GrantPage, GrantReader, IdSource, KeyClaim, Mark, PortError,
    ProofVerifier, RawProof, RequestStore,
};
use crate::refusal::{Refusal, RefusalKind};
use crate::report::Report;

/// The use cases of the intake function.
pub struct Intake {
    /// Who is asking.
    pub proofs: Arc<dyn ProofVerifier>,
    /// What may be asked for.
    pub catalogue: Arc<Catalogue>,
    /// What it writes.
    pub requests: Arc<dyn RequestStore>,
    /// What it reads.
    pub reader: Arc<dyn GrantReader>,
    /// The evaluator.
    pub evaluator: Arc<dyn EvaluateCall>,
    /// Names for requests.
    pub ids: Arc<dyn IdSource>,
    /// What issuing puts up with.
    pub tolerance: Tolerance,
}

/// Whether Brevet can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The age of the reaper's last good pass, in seconds.
    pub heart_age_s: Option<u64>,
    /// The bundle that is decided under.
    pub bundle: Option<Digest>,
    /// Why nothing is issued, if the reaper's heart says so. On single principals it may be stopped all the same.
    pub stop: Option<Stop>,
    /// Grants that are overdue, as far as the heart names them.
    pub n_overdue: usize,
    /// Those of them that nobody acknowledged.
    pub n_unacknowledged: usize,
}

/// What a renewal says anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anew {
    /// For how long, from its own activation.
    pub term_s: Term,
    /// The ticket that it is for.
    pub ticket: Option<Ticket>,
    /// Why.
    pub justification: Option<Justification>,
}

impl Intake {
    /// Takes a request in under an idempotency key and has it decided.
    ///
    /// The same key with the same body answers the same grant, and resumes a request that was not decided.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof, the key or the request is not right, or something needed does not answer.
    pub async fn submit(&self, proof: &RawProof, key: &str, ask: Ask, now: Timestamp) -> Result<Report, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        // 1. What can never be granted is refused before anything is stored.
        self.check(&caller, &ask, now).await?;
        // 2. One key, one request.
        let claim = self.claim(&caller, key, &ask, now).await?;
        // 3. Record what is asked; the request that stands is the first one.
        let request = Request { id: claim.id, ask, asked_at: now, decide_by: now.plus(DECIDE_WITHIN_S) };
        let standing = self.requests.put_request(&request).await?;
        let report = Report::read(&self.reader, claim.id).await?;
        if report.grant.is_some() || now >= standing.decide_by {
            return Ok(report);
        }
        // 4. The evaluator verifies the proof itself and reads the request itself: nothing else is handed over.
        match self.evaluator.evaluate(claim.id, proof).await {
            Ok(EvaluateAnswer::Decided) => {}
            Ok(EvaluateAnswer::Refused { refusal }) => return Err(refusal),
            // A lost answer is unknown: the store tells.
            Err(error) => {
                let report = Report::read(&self.reader, claim.id).await?;
                if report.grant.is_none() {
                    return Err(Refusal::from(error).about(claim.id));
                }
                return Ok(report);
            }
        }
        Ok(Report::read(&self.reader, claim.id).await?)
    }

    /// Takes a renewal of grant `id` in: the same again but for what is said anew, decided afresh.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Self::submit`], and if the caller has no such grant.
    pub async fn renew(
        &self,
        proof: &RawProof,
        key: &str,
        id: GrantId,
        anew: Anew,
        now: Timestamp,
    ) -> Result<Report, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let report = Report::read(&self.reader, id).await?;
        let grant = report.seen_by(id, &caller.identity.id)?;
        let Some(before) = report.request.as_ref().filter(|_| grant.identity == caller.identity.id) else {
            return Err(Refusal::no_such_grant(id));
        };
        let Anew { term_s, ticket, justification } = anew;
        let ask = Ask { term_s, ticket, justification, renews: Some(id), ..before.ask.clone() };
        // The evaluator sees for itself that this is what the grant was decided about.
        self.submit(proof, key, ask, now).await
    }

    async fn check(&self, caller: &Caller, ask: &Ask, now: Timestamp) -> Result<(), Refusal> {
        let id = &ask.entitlement;
        let listing = self.catalogue.still_using(now, |bundle| async move { bundle.listing(id).await }).await;
        let listing = listing.map_err(unusable_bundle)?;
        let entitlement = listing.ok_or_else(|| EvaluatorError::UnknownEntitlement(id.clone()))?.entitlement;
        entitlement.check(caller.identity.class, ask).map_err(EvaluatorError::Misfit)?;
        Ok(())
    }

    async fn claim(&self, caller: &Caller, key: &str, ask: &Ask, now: Timestamp) -> Result<KeyClaim, Refusal> {
        let body_digest =
            Digest::of(ask).map_err(|error| Refusal::new(RefusalKind::Unfit, "request_unfit", error.to_string()))?;
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
        let detail = "this Idempotency-Key was used with another body: send the same body, or another key";
        Err(Refusal::new(RefusalKind::Conflict, "idempotency_key_reused", detail).about(standing.id))
    }

    /// Shows one grant to its holder, the human who answers for it, or an approver.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not right or the caller may not see it.
    pub async fn show(&self, proof: &RawProof, id: GrantId, now: Timestamp) -> Result<Report, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let report = Report::read(&self.reader, id).await?;
        report.seen_by(id, &caller.identity.id)?;
        Ok(report)
    }

    /// Lists the caller's own grants, newest first.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not right or the index does not answer.
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

    /// Shows a grant's evidence after entry `after`, with the head that the chain must end in.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not right or the caller may not see the grant.
    pub async fn evidence(
        &self,
        proof: &RawProof,
        id: GrantId,
        after: u64,
        limit: u32,
        now: Timestamp,
    ) -> Result<(Head, Vec<Entry>), Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let report = Report::read(&self.reader, id).await?;
        let head = report.seen_by(id, &caller.identity.id)?.evidence;
        Ok((head, self.reader.evidence(id, after, limit).await?))
    }

    /// Marks a grant to be withdrawn or ended, for its holder or the human who answers for it.
    ///
    /// Only marks: one code path, the reaper's, removes access. A grant that is over stays as it is.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not right, the caller may not, or the mark cannot be stored.
    pub async fn release(&self, proof: &RawProof, id: GrantId, now: Timestamp) -> Result<Report, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let report = Report::read(&self.reader, id).await?;
        let grant = report.seen_by(id, &caller.identity.id)?;
        let by = &caller.identity.id;
        if !grant.belongs_to(by) {
            let detail =
                "only its holder, or a human who answers for it or has it held on their behalf, can release a grant";
            return Err(Refusal::new(RefusalKind::Forbidden, "not_holder", detail).about(id));
        }
        if !grant.state.is_terminal() {
            let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: by.clone(), at: now };
            self.requests.put_mark(&Mark { id, block }).await?;
        }
        Ok(report)
    }

    /// Whether the reaper's heart lets anything be issued, and a bundle is in force.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the store does not answer.
    pub async fn health(&self, now: Timestamp) -> Result<Health, Refusal> {
        let heart = self.reader.heart().await?;
        let bundle = self.catalogue.current(now).await.ok().map(|bundle| bundle.digest());
        let stop = match Heart::pulse(heart.as_ref(), None, now, self.tolerance) {
            Pulse::Beating => None,
            Pulse::Stopped(stop) => Some(stop),
        };
        let overdue: Vec<_> =
            heart.iter().flat_map(|heart| heart.late.overdue(now, self.tolerance.overdue_s)).collect();
        let n_unacknowledged = overdue.iter().filter(|late| !late.acknowledged).count();
        let heart_age_s = heart.as_ref().map(|heart| now.seconds_since(heart.read_up_to));
        Ok(Health { heart_age_s, bundle, stop, n_overdue: overdue.len(), n_unacknowledged })
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
