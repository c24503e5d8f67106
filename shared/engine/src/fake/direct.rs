//! The way from intake to the evaluator, without the Invoke between.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::id::GrantId;

use crate::decide::Decider;
use crate::port::{Clock, EvaluateAnswer, EvaluateCall, PortResult, RawProof};

/// The evaluator, called as intake calls it; it goes by its own clock.
#[derive(Debug)]
pub struct Direct<C>(pub Arc<Decider>, pub Arc<C>);

#[async_trait]
impl<C: Clock> EvaluateCall for Direct<C> {
    async fn evaluate(&self, id: GrantId, proof: &RawProof) -> PortResult<EvaluateAnswer> {
        Ok(match self.0.decide(id, proof, self.1.now()).await {
            Ok(()) => EvaluateAnswer::Decided,
            Err(refusal) => EvaluateAnswer::Refused { refusal },
        })
    }
}
