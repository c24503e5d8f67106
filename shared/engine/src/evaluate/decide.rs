//! The use cases of `evaluate`: decide requests; in `vote` count votes; in `delegate` store delegations; in `scheduled`
//! decide what the catalogue schedules; and in `rehearse` show what would be decided.
//!
//! Each use case verifies the proof itself. `basis` finds the delegation or predecessor of a request, `holdings` the
//! grants that exclude it.

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

use self::basis::{AsOf, DecisionBasis};
use self::holdings::waits_s;
use self::review::use_awaits_review;
use crate::journal::Journal;
use crate::port::{
    Delegations, Evaluator, GrantReader, GrantStore, HoldingsReader, IdSource, PortError, ProofVerifier, RawProof,
    ReviewReader, TransactionItem, UseWatch,
};
use crate::refusal::{Refusal, RefusalKind};

pub use rehearse::Rehearsal;
pub use review::{ReviewBallot, Reviews};
pub use scheduled::{ScheduleOutcome, SchedulePass};
pub use vote::Ballot;

/// How often a request is decided again after a conflict with another request of the same sponsor. Each conflict means
/// that the other one went through; after the last, the caller must retry.
const ATTEMPTS: u32 = 8;

/// Reads of grants and their records, of holdings, delegations and awaited reviews.
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

    /// Decides the stored request `id` for the caller whom `proof` identifies, once.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid, the request does not exist, has lapsed or is invalid, or policy or the
    /// store cannot be used. Nothing is decided then.
    pub async fn decide(&self, id: GrantId, proof: &RawProof, now: Timestamp) -> Result<(), Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        if let Some(decision) = self.reader.decision(id).await? {
            return own(&decision, &caller, id);
        }
        let request = self.reader.request(id).await?.ok_or_else(|| Refusal::no_such_grant(id))?;
        if now >= request.decide_by {
            let detail = "the request waited too long for its decision and has lapsed: send it again with another key";
            return Err(Refusal::new(RefusalKind::Over, "request_lapsed", detail).about(id));
        }
        let mut raced = None;
        for _ in 0..ATTEMPTS {
            match self.decide_once(&caller, &request, now).await? {
                Ok(()) => return Ok(()),
                // A conflict (a concurrent decision, or another request of the same sponsor) or a lost answer: the
                // store shows whether a decision is stored.
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

    /// Stores the decision that follows from `verdict`, and returns its outcome.
    async fn settle(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Result<Outcome, PortError>, Refusal> {
        let (verdict, basis, items) = self.weigh(caller, request, verdict, now).await?;
        let decision = self.decision(caller, request, verdict, basis, now).map_err(unwritable)?;
        let grant = Grant::decided(&decision, &self.deployment, self.bounds);
        let terms = &decision.terms;
        let detail = json!({
            "outcome": terms.outcome, "determining": terms.determining, "decision_digest": grant.decision_digest,
            "request_digest": terms.request_digest, "bundle_digest": terms.bundle_digest, "proof": terms.proof,
            "identity": terms.identity, "entitlement": terms.entitlement, "task": terms.task, "term_s": terms.term,
            "delegation": terms.delegation, "renewal": terms.renewal,
        });
        let opened = self.journal.open(&decision, grant, detail, &items, now).await;
        if let Ok(Grant { id, identity, entitlement, review: Some(_), state, .. }) = &opened
            && !state.is_terminal()
        {
            self.watch.used(*id, identity, entitlement, now);
        }
        Ok(opened.map(|_| decision.terms.outcome))
    }

    /// Applies blocks, basis and holdings to `verdict`, and returns what is stored with the decision. Writes nothing.
    async fn weigh(
        &self,
        caller: &Caller,
        request: &Request,
        mut verdict: Verdict,
        now: Timestamp,
    ) -> Result<(Verdict, DecisionBasis, Vec<TransactionItem>), Refusal> {
        self.apply_blocks(caller, request, &mut verdict).await?;
        let as_of = AsOf { waits_s: waits_s(&verdict, now), decided_at: now };
        let basis = self.basis(caller, request, &mut verdict, as_of, now).await?;
        let mut items = self.take(caller, request, &mut verdict, as_of, now).await?;
        items.extend(use_awaits_review(caller, request, &verdict, now));
        items.extend(basis.still_delegated());
        Ok((verdict, basis, items))
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
            deny(verdict, format!("a block on `{}` covers this request", block.scope.key()), rule::BLOCK);
        }
        Ok(())
    }

    fn decision(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: Verdict,
        basis: DecisionBasis,
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

/// Checks that the caller made the request behind a stored decision; to others it does not exist.
fn own(decision: &Decision, caller: &Caller, id: GrantId) -> Result<(), Refusal> {
    if decision.terms.identity == caller.identity.id { Ok(()) } else { Err(Refusal::no_such_grant(id)) }
}

/// Turns a verdict into a denial by a built-in rule.
fn deny(verdict: &mut Verdict, reason: String, rule: &str) {
    verdict.outcome = Outcome::Deny { reason };
    verdict.determining = vec![rule.to_owned()];
    (verdict.nearest, verdict.template) = (None, None);
}

fn unwritable(error: CanonicalError) -> Refusal {
    Refusal::new(RefusalKind::Invalid, "invalid_request", error.to_string())
}
