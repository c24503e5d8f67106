//! A dry run: what would be said to a request, by the decision's own code. Writes nothing and takes nothing.

use brevet_domain::decision::Verdict;
use brevet_domain::grant::Delivery;
use brevet_domain::heart::{Heart, Pulse, Tolerance};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::plan::Preview;
use brevet_domain::request::{Ask, DECIDE_WITHIN_S, Request};
use brevet_domain::time::Timestamp;

use super::Decider;
use crate::port::{EvaluatorError, RawProof};
use crate::refusal::Refusal;

/// What would be said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Whom the proof showed.
    pub caller: Caller,
    /// What would be decided, with blocks and what else is held looked at.
    pub verdict: Verdict,
    /// What AWS would be asked if the grant were activated at once; none for a denial. Its names are those of
    /// [`GrantId::NONE`].
    pub plan: Option<Preview>,
    /// Whether it would be issued just now.
    pub pulse: Pulse,
}

impl Decider {
    /// Judges what `proof`'s caller asks for at `now`, as if it were asked in earnest. `tolerance` is what issuing
    /// puts up with.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Self::decide`]: the proof shows nobody, the request does not fit, or something is not there.
    pub async fn rehearse(
        &self,
        proof: &RawProof,
        ask: Ask,
        tolerance: Tolerance,
        now: Timestamp,
    ) -> Result<Rehearsal, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let request = Request { id: GrantId::NONE, ask, asked_at: now, decide_by: now.plus(DECIDE_WITHIN_S) };
        let verdict = self.policy.decide(&caller, &request, now).await?;
        // INVARIANT: what it would take is dropped: nothing is held by having asked.
        let (verdict, ..) = self.weigh(&caller, &request, verdict, now).await?;
        let preview = verdict.template.as_ref().map(|plan| plan.preview(now, verdict.term, self.bounds.skew_s));
        let plan = preview.transpose().map_err(|error| EvaluatorError::Unavailable(error.into()))?;
        let heart = self.reader.heart().await?;
        let template = verdict.template.as_ref();
        let delivery = template.map(|plan| Delivery::of(Some(plan), &self.deployment, GrantId::NONE));
        let tolerance = tolerance.of(verdict.traits.break_glass.as_ref()).for_canary(verdict.traits.canary);
        let pulse = Heart::pulse(heart.as_ref(), delivery.as_ref().map(Delivery::principal), now, tolerance);
        Ok(Rehearsal { caller, verdict, plan, pulse })
    }
}
