//! A dry run: the answer that a request would get, from the decision's own code. Writes nothing.

use brevet_domain::decision::Verdict;
use brevet_domain::grant::Delivery;
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::plan::Preview;
use brevet_domain::reaper_health::{IssuanceGate, IssuancePolicy, ReaperHealth};
use brevet_domain::request::{Ask, DECIDE_WITHIN_S, Request};
use brevet_domain::time::Timestamp;

use super::Decider;
use crate::port::{EvaluatorError, RawProof};
use crate::refusal::Refusal;

/// The answer that a request would get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    pub caller: Caller,
    /// The verdict, with blocks and holdings applied.
    pub verdict: Verdict,
    /// The AWS changes if the grant were activated at once; absent for a denial. Names are those of [`GrantId::NONE`].
    pub plan: Option<Preview>,
    /// Whether it would be issued now.
    pub issuance_gate: IssuanceGate,
}

impl Decider {
    /// Judges `ask` at `now` as if it were submitted. `issuance_policy` holds the limits for issuing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Self::decide`]: the proof or the request is invalid, or a port does not answer.
    pub async fn rehearse(
        &self,
        proof: &RawProof,
        ask: Ask,
        issuance_policy: IssuancePolicy,
        now: Timestamp,
    ) -> Result<Rehearsal, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let request = Request { id: GrantId::NONE, ask, asked_at: now, decide_by: now.plus(DECIDE_WITHIN_S) };
        let verdict = self.policy.decide(&caller, &request, now).await?;
        // INVARIANT: the transaction items are dropped: a dry run holds nothing.
        let (verdict, ..) = self.weigh(&caller, &request, verdict, now).await?;
        let preview = verdict.template.as_ref().map(|plan| plan.preview(now, verdict.term, self.bounds.skew_s));
        let plan = preview.transpose().map_err(|error| EvaluatorError::Unavailable(error.into()))?;
        let reaper_health = self.reader.reaper_health().await?;
        let template = verdict.template.as_ref();
        let delivery = template.map(|plan| Delivery::of(Some(plan), &self.deployment, GrantId::NONE));
        let issuance_policy = issuance_policy.of(verdict.traits.break_glass.as_ref()).for_canary(verdict.traits.canary);
        let issuance_gate = ReaperHealth::issuance_gate(
            reaper_health.as_ref(),
            delivery.as_ref().map(Delivery::principal),
            now,
            issuance_policy,
        );
        Ok(Rehearsal { caller, verdict, plan, issuance_gate })
    }
}
