//! What `evaluate` does: decide requests and, in `vote`, count votes.
//!
//! It trusts nobody's word: it verifies each proof itself.

mod vote;

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::canonical::{CanonicalError, Digest};
use brevet_domain::decision::{Decision, Outcome, Terms, Verdict};
use brevet_domain::duties::Holding;
use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use serde_json::json;

use crate::journal::Journal;
use crate::port::{
    Also, Evaluator, GrantReader, GrantStore, HoldingsReader, IdSource, PortError, ProofVerifier, RawProof,
};
use crate::refusal::{Refusal, RefusalKind};

pub use vote::Ballot;

/// How often a request is decided anew after another one of the same sponsor came in between. Each time means that
/// somebody else's went through; after that the caller asks again.
const ATTEMPTS: u32 = 8;

/// How many grants of a sponsor are looked at for one decision, at most: those in the way first.
const MAX_LOOKS: usize = 60;

/// How long after its term a grant has surely been reaped if nothing went wrong, in seconds.
const REAPED_S: u32 = 600;

/// The use cases of the evaluate function.
pub struct Decider {
    proofs: Arc<dyn ProofVerifier>,
    policy: Arc<dyn Evaluator>,
    reader: Arc<dyn GrantReader>,
    holdings: Arc<dyn HoldingsReader>,
    journal: Journal,
    deployment: Deployment,
    bounds: Bounds,
}

impl Decider {
    /// Wires the use cases to their ports.
    #[must_use]
    pub fn new(
        proofs: Arc<dyn ProofVerifier>,
        policy: Arc<dyn Evaluator>,
        (reader, holdings): (Arc<dyn GrantReader>, Arc<dyn HoldingsReader>),
        (store, ids): (Arc<dyn GrantStore>, Arc<dyn IdSource>),
        deployment: Deployment,
        bounds: Bounds,
    ) -> Self {
        Self { proofs, policy, reader, holdings, journal: Journal::new(store, ids, "evaluate"), deployment, bounds }
    }

    /// Decides the stored request `id` for whoever `proof` shows, once.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows nobody, there is no such request in time, it does not fit, or policy or the
    /// store cannot be used. Then nothing is decided.
    pub async fn decide(&self, id: GrantId, proof: &RawProof, now: Timestamp) -> Result<(), Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        if let Some(decision) = self.reader.decision(id).await? {
            return own(&decision, &caller, id);
        }
        let request = self.reader.request(id).await?.ok_or_else(|| Refusal::no_such_grant(id))?;
        if now >= request.decide_by {
            let detail = "the request waited too long for its decision and has lapsed: ask again with another key";
            return Err(Refusal::new(RefusalKind::Over, "request_lapsed", detail).about(id));
        }
        let mut raced = None;
        for _ in 0..ATTEMPTS {
            match self.decide_once(&caller, &request, now).await? {
                Ok(()) => return Ok(()),
                // Somebody decided it first, another request of the same sponsor came in between, or the answer was
                // lost: the store tells.
                Err(error) => match self.reader.decision(id).await? {
                    Some(decision) => return own(&decision, &caller, id),
                    None if matches!(error, PortError::Conflict { .. }) => raced = Some(error),
                    None => return Err(error.into()),
                },
            }
        }
        Err(raced.map_or_else(|| Refusal::no_such_grant(id), Refusal::from).about(id))
    }

    async fn decide_once(
        &self,
        caller: &Caller,
        request: &Request,
        now: Timestamp,
    ) -> Result<Result<(), PortError>, Refusal> {
        let mut verdict = self.policy.decide(caller, request, now).await?;
        self.apply_blocks(caller, request, &mut verdict).await?;
        let taken = self.take(caller, request, &mut verdict, now).await?;
        let decision = self.decision(caller, request, verdict, now).map_err(unwritable)?;
        let grant = Grant::decided(&decision, &self.deployment, self.bounds);
        let terms = &decision.terms;
        let detail = json!({
            "outcome": terms.outcome, "determining": terms.determining, "decision_digest": grant.decision_digest,
            "request_digest": terms.request_digest, "bundle_digest": terms.bundle_digest, "proof": terms.proof,
            "identity": terms.identity, "entitlement": terms.entitlement, "task": terms.task, "term_s": terms.term,
        });
        Ok(self.journal.open(&decision, grant, detail, taken.as_slice(), now).await.map(drop))
    }

    /// What the sponsor's identities hold with this grant among it; a denial if it must not be.
    ///
    /// INVARIANT: it is stored in the deciding transaction, so of two requests that race one is decided anew.
    async fn take(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        now: Timestamp,
    ) -> Result<Vec<Also>, Refusal> {
        let waits_s = match &verdict.outcome {
            Outcome::Deny { .. } => return Ok(Vec::new()),
            Outcome::Allow => 0,
            Outcome::NeedsApproval { deadline, .. } => u32::try_from(deadline.seconds_since(now)).unwrap_or(u32::MAX),
        };
        let over_at = now.plus(waits_s).plus(verdict.start_within_s).plus(verdict.term.as_seconds()).plus(REAPED_S);
        let new = Holding {
            grant: request.id,
            identity: caller.identity.id.clone(),
            entitlement: request.ask.entitlement.clone(),
            taken_at: now,
            likely_over_at: over_at,
            remember_s: verdict.duties.remember_s,
            ended_at: None,
        };
        let mut holdings = self.holdings.holdings(&caller.identity.owner).await?;
        // What stands in the way may have ended meanwhile; what is probably over is worth a look when there is time.
        let mut looks = holdings.in_the_way(&new, &verdict.duties);
        looks.truncate(MAX_LOOKS);
        looks.extend(holdings.probably_over(now, 4));
        for id in looks {
            let grant = self.reader.grant(id).await?;
            holdings.note(id, grant.as_ref());
        }
        match holdings.take(new, &verdict.duties, now) {
            Ok(taken) => Ok(vec![Also::Holdings(taken)]),
            Err(error) => {
                verdict.outcome = Outcome::Deny { reason: error.to_string() };
                verdict.determining = vec![rule::DUTIES.to_owned()];
                verdict.template = None;
                Ok(Vec::new())
            }
        }
    }

    async fn apply_blocks(&self, caller: &Caller, request: &Request, verdict: &mut Verdict) -> Result<(), Refusal> {
        let who = &caller.identity;
        let scopes = BlockScope::covering_request(
            &who.id,
            &who.owner,
            who.class,
            &request.ask.entitlement,
            &self.deployment.account,
        );
        if let Some(block) = self.reader.blocks(&scopes).await?.first() {
            verdict.outcome = Outcome::Deny { reason: format!("a block on `{}` stands", block.scope.key()) };
            verdict.determining = vec![rule::BLOCK.to_owned()];
            verdict.nearest = None;
            verdict.template = None;
        }
        Ok(())
    }

    fn decision(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Decision, CanonicalError> {
        let terms = Terms {
            id: request.id,
            request_digest: Digest::of(request)?,
            bundle_digest: verdict.bundle_digest,
            decided_at: now,
            identity: caller.identity.id.clone(),
            class: caller.identity.class,
            sponsor: caller.identity.owner.clone(),
            task: caller.task.clone(),
            proof: caller.proof.clone(),
            entitlement: request.ask.entitlement.clone(),
            term: verdict.term,
            start_within_s: verdict.start_within_s,
            outcome: verdict.outcome,
            determining: verdict.determining,
            template: verdict.template,
            traits: verdict.traits,
        };
        Ok(Decision { id: request.id, terms, votes: Vec::new() })
    }
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decider").finish_non_exhaustive()
    }
}

/// A decision that is there answers whoever asked for it, and nobody else.
fn own(decision: &Decision, caller: &Caller, id: GrantId) -> Result<(), Refusal> {
    if decision.terms.identity == caller.identity.id { Ok(()) } else { Err(Refusal::no_such_grant(id)) }
}

fn unwritable(error: CanonicalError) -> Refusal {
    Refusal::new(RefusalKind::Unfit, "request_unfit", error.to_string())
}
