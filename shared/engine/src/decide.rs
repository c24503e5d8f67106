//! What `evaluate` does: decide requests, in `vote` count votes, in `delegate` take delegations, in `scheduled` decide what
//! the catalogue asks for, and in `rehearse` say what would be decided.
//!
//! It trusts nobody's word: it verifies each proof itself. `basis` finds what a request rests on beside policy, `holdings`
//! what it must not be held beside.

mod basis;
mod delegate;
mod holdings;
mod rehearse;
mod review;
mod scheduled;
mod vote;

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::canonical::{CanonicalError, Digest};
use brevet_domain::decision::{Decision, Outcome, Terms, Verdict};
use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use serde_json::json;

use self::basis::{AsOf, Basis};
use self::holdings::waits_s;
use self::review::use_awaits_review;
use crate::journal::Journal;
use crate::port::{
    Also, Delegations, Evaluator, GrantReader, GrantStore, HoldingsReader, IdSource, PortError, ProofVerifier,
    RawProof, ReviewReader, UseWatch,
};
use crate::refusal::{Refusal, RefusalKind};

pub use rehearse::Rehearsal;
pub use review::{ReviewBallot, Reviews};
pub use scheduled::{SchedulePass, Turn};
pub use vote::Ballot;

/// How often a request is decided anew after another one of the same sponsor came in between. Each time means that
/// somebody else's went through; after that the caller asks again.
const ATTEMPTS: u32 = 8;

/// What decisions rest on: grants and their records, what is held, what is delegated, and what awaits a review.
pub type Readers = (Arc<dyn GrantReader>, Arc<dyn HoldingsReader>, Arc<dyn Delegations>, Arc<dyn ReviewReader>);

/// The use cases of the evaluate function.
pub struct Decider {
    proofs: Arc<dyn ProofVerifier>,
    policy: Arc<dyn Evaluator>,
    reader: Arc<dyn GrantReader>,
    holdings: Arc<dyn HoldingsReader>,
    delegations: Arc<dyn Delegations>,
    reviews: Arc<dyn ReviewReader>,
    watch: Arc<dyn UseWatch>,
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
        (reader, holdings, delegations, reviews): Readers,
        watch: Arc<dyn UseWatch>,
        (store, ids): (Arc<dyn GrantStore>, Arc<dyn IdSource>),
        deployment: Deployment,
        bounds: Bounds,
    ) -> Self {
        let journal = Journal::new(store, ids, "evaluate");
        Self { proofs, policy, reader, holdings, delegations, reviews, watch, journal, deployment, bounds }
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
        let verdict = self.policy.decide(caller, request, now).await?;
        Ok(self.settle(caller, request, verdict, now).await?.map(drop))
    }

    /// Writes down what comes of `verdict`: that outcome.
    async fn settle(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Result<Outcome, PortError>, Refusal> {
        let (verdict, basis, also) = self.weigh(caller, request, verdict, now).await?;
        let decision = self.decision(caller, request, verdict, basis, now).map_err(unwritable)?;
        let grant = Grant::decided(&decision, &self.deployment, self.bounds);
        let terms = &decision.terms;
        let detail = json!({
            "outcome": terms.outcome, "determining": terms.determining, "decision_digest": grant.decision_digest,
            "request_digest": terms.request_digest, "bundle_digest": terms.bundle_digest, "proof": terms.proof,
            "identity": terms.identity, "entitlement": terms.entitlement, "task": terms.task, "term_s": terms.term,
            "delegation": terms.delegation, "renewal": terms.renewal,
        });
        let opened = self.journal.open(&decision, grant, detail, &also, now).await;
        if let Ok(Grant { id, identity, entitlement, review: Some(_), state, .. }) = &opened
            && !state.is_terminal()
        {
            self.watch.used(*id, identity, entitlement, now);
        }
        Ok(opened.map(|_| decision.terms.outcome))
    }

    /// What comes of `verdict` at `now`, what it rests on, and what is stored with the decision. Writes nothing.
    async fn weigh(
        &self,
        caller: &Caller,
        request: &Request,
        mut verdict: Verdict,
        now: Timestamp,
    ) -> Result<(Verdict, Basis, Vec<Also>), Refusal> {
        self.apply_blocks(caller, request, &mut verdict).await?;
        let as_of = AsOf { waits_s: waits_s(&verdict, now), decided_at: now };
        let basis = self.basis(caller, request, &mut verdict, as_of, now).await?;
        let mut also = self.take(caller, request, &mut verdict, as_of, now).await?;
        also.extend(use_awaits_review(caller, request, &verdict, now));
        also.extend(basis.still());
        Ok((verdict, basis, also))
    }

    async fn apply_blocks(&self, caller: &Caller, request: &Request, verdict: &mut Verdict) -> Result<(), Refusal> {
        let who = &caller.identity;
        let scopes = BlockScope::covering_request(
            (&who.id, &who.owner, who.class),
            request.ask.on_behalf_of.as_ref(),
            &request.ask.entitlement,
            &self.deployment.account,
        );
        if let Some(block) = self.reader.blocks(&scopes).await?.first() {
            deny(verdict, format!("a block on `{}` stands", block.scope.key()), rule::BLOCK);
        }
        Ok(())
    }

    fn decision(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: Verdict,
        basis: Basis,
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
            delegation: basis.delegation,
            renewal: basis.renewal,
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

/// Makes a verdict a denial by a rule that is not the catalogue's.
fn deny(verdict: &mut Verdict, reason: String, rule: &str) {
    verdict.outcome = Outcome::Deny { reason };
    verdict.determining = vec![rule.to_owned()];
    (verdict.nearest, verdict.template) = (None, None);
}

fn unwritable(error: CanonicalError) -> Refusal {
    Refusal::new(RefusalKind::Unfit, "request_unfit", error.to_string())
}
