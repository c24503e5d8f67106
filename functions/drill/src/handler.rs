//! Maps ticks to the drill's use case.

use std::sync::Arc;

use brevet_domain::id::DeploymentId;
use brevet_engine::drill::{DrillReport, Driller};
use brevet_engine::port::Clock;
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::metric;

pub(crate) struct Handler {
    driller: Driller,
    deployment: DeploymentId,
    clock: Arc<dyn Clock>,
}

impl Handler {
    pub(crate) fn new(driller: Driller, deployment: DeploymentId, clock: Arc<dyn Clock>) -> Self {
        Self { driller, deployment, clock }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        match Incoming::read(event.payload).map_err(|error| unexpected(&error))? {
            // The content of a tick is ignored on purpose: the stored records hold the stage of each drill.
            Incoming::Tick => self.tick().await,
            other @ (Incoming::Http(_)
            | Incoming::Evaluate { .. }
            | Incoming::Schedule(_)
            | Incoming::StandbyTick
            | Incoming::Woken { .. }) => Err(unexpected(&UnexpectedEvent::instead_of("ticks of the schedule", &other))),
        }
    }

    /// A failed drill shows in its record, the metric and the issuance gate. The tick that found the failure succeeds.
    async fn tick(&self) -> Result<Value, Diagnostic> {
        let report = self.driller.tick().await;
        let DrillReport { n_passed, n_failed, n_unproved, n_problems, .. } = report;
        if !report.stages.is_empty() || n_problems > 0 {
            tracing::info!(n_passed, n_failed, n_unproved, n_problems, stages = ?report.stages, "advanced the drills");
            metric::drilled(&self.deployment, &report, self.clock.now());
        }
        serde_json::to_value(report).map_err(|error| diagnostic("UnwritableAnswer", error.to_string()))
    }
}

fn unexpected(error: &UnexpectedEvent) -> Diagnostic {
    diagnostic("UnexpectedEvent", error.to_string())
}

fn diagnostic(kind: &str, problem: String) -> Diagnostic {
    tracing::error!(problem, "an event failed");
    Diagnostic { error_type: kind.to_owned(), error_message: problem }
}

#[cfg(test)]
mod tests;
