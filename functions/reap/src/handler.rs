//! Maps schedule ticks, standby ticks and stream records to reap's use case.

use std::sync::Arc;

use brevet_domain::id::{DeploymentId, GrantId};
use brevet_engine::port::Clock;
use brevet_engine::reap::{FoundBy, PassReport, ReaperWithStandby, StandbyOutcome};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::metric;

pub(crate) struct Handler {
    reaper: ReaperWithStandby,
    deployment: DeploymentId,
    clock: Arc<dyn Clock>,
}

impl Handler {
    pub(crate) fn new(reaper: ReaperWithStandby, deployment: DeploymentId, clock: Arc<dyn Clock>) -> Self {
        Self { reaper, deployment, clock }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        let report = match Incoming::read(event.payload).map_err(unexpected)? {
            // The content of a tick is ignored on purpose: the table lists the due grants.
            Incoming::Tick => self.tick().await?,
            Incoming::StandbyTick => self.standby_tick().await?,
            Incoming::Woken { ids, expired, is_killed } => {
                let report = self.woken(&ids, &expired).await?;
                // Only a pass finds the grants that a block covers: the record does not name them.
                if is_killed { self.tick().await? } else { report }
            }
            other @ (Incoming::Http(_) | Incoming::Evaluate { .. } | Incoming::Schedule(_)) => {
                let accepted = "ticks of the schedule, standby ticks and records of the table's stream";
                return Err(unexpected(UnexpectedEvent::instead_of(accepted, &other)));
            }
        };
        serde_json::to_value(report).map_err(|error| diagnostic("UnwritableAnswer", &error.to_string()))
    }

    async fn tick(&self) -> Result<PassReport, Diagnostic> {
        let passed = self.reaper.scheduled().await;
        self.passed(passed.map_err(|error| diagnostic("HeartbeatNotRecorded", &error.chain()))?)
    }

    /// Processes known due grants, or makes a whole pass if the schedule missed its tick.
    async fn standby_tick(&self) -> Result<PassReport, Diagnostic> {
        let outcome = self.reaper.standby_ticked().await;
        let StandbyOutcome { report, is_pass } =
            outcome.map_err(|error| diagnostic("StandbyTickFailed", &error.chain()))?;
        metric::standby_tick(&self.deployment, is_pass, self.clock.now());
        if is_pass {
            tracing::error!("the schedule missed its tick: the standby tick started this pass");
            return self.passed(report);
        }
        if report.n_due > 0 {
            let PassReport { n_due, n_changed, n_ended, n_failed, .. } = report;
            tracing::info!(n_due, n_changed, n_ended, n_failed, "processed known due grants");
        }
        Ok(report)
    }

    /// Fails for a pass that is not good, so that its dead letter and the missing metric raise alarms.
    fn passed(&self, report: PassReport) -> Result<PassReport, Diagnostic> {
        if !report.good {
            let counts = format!("a pass of the reaper failed: {report:?}");
            return Err(diagnostic("BadPass", &counts));
        }
        let PassReport { n_due, n_changed, n_ended, n_failed, n_deny_written, oldest_overdue_s, n_unreviewed, .. } =
            report;
        let PassReport { n_blocks, n_blocked_alive, zero_after_s, n_overdue, n_unacknowledged, is_stopped, .. } =
            report;
        let n_denied_by_time = report.n_denied_by_time;
        tracing::info!(
            n_due,
            n_changed,
            n_ended,
            n_failed,
            n_deny_written,
            n_denied_by_time,
            oldest_overdue_s,
            n_unreviewed,
            "completed a good pass"
        );
        let PassReport { n_rotated, n_unrotated, oldest_rotation_s, .. } = report;
        if n_rotated > 0 || n_unrotated > 0 {
            tracing::info!(n_rotated, n_unrotated, oldest_rotation_s, "rotated secrets of ended grants");
        }
        if report.n_swept > 0 || !report.swept {
            let (n_swept, swept) = (report.n_swept, report.swept);
            tracing::warn!(n_swept, whole = swept, "the sweep found unexplained access or was incomplete");
        }
        if n_blocks > 0 {
            tracing::warn!(n_blocks, n_blocked_alive, zero_after_s, "blocks of the kill switch are in force");
        }
        if n_overdue > 0 || is_stopped {
            tracing::warn!(n_overdue, n_unacknowledged, is_stopped, "grants are overdue or issuing has stopped");
        }
        metric::good_pass(&self.deployment, &report, self.clock.now());
        Ok(report)
    }

    /// A failed removal is left to the next tick. A grant that was not read fails the event, because no tick finds a
    /// grant that only its TTL backstop names. The stream then retries the record and finally writes a dead letter.
    async fn woken(&self, ids: &[GrantId], expired: &[GrantId]) -> Result<PassReport, Diagnostic> {
        let mut report = self.reaper.reaper().wake(ids, FoundBy::Stream).await;
        if !expired.is_empty() {
            tracing::error!(n_expired = expired.len(), "TTL backstops of unfinished grants expired");
            report.add(self.reaper.reaper().wake(expired, FoundBy::Backstop).await);
        }
        if !report.good {
            let counts = format!("not every grant named by the stream was processed: {report:?}");
            return Err(diagnostic("BadWake", &counts));
        }
        let PassReport { n_due, n_changed, n_ended, n_failed, n_deny_written, .. } = report;
        tracing::info!(n_due, n_changed, n_ended, n_failed, n_deny_written, "processed the grants named by the stream");
        Ok(report)
    }
}

fn unexpected(error: UnexpectedEvent) -> Diagnostic {
    diagnostic("UnexpectedEvent", &error.to_string())
}

fn diagnostic(kind: &str, problem: &str) -> Diagnostic {
    tracing::error!(problem, "an event failed");
    Diagnostic { error_type: kind.to_owned(), error_message: problem.to_owned() }
}

#[cfg(test)]
mod tests;
