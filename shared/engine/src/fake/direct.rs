//! Calls the evaluator from intake directly, without a Lambda invocation.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::id::GrantId;

use crate::evaluate::decide::Decider;
use crate::port::{Clock, EvaluateAnswer, EvaluateCall, PortResult, RawProof};

/// An evaluator with a clock of its own, called as intake calls it.
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
