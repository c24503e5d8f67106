//! Ticks, echoes and stream records to the use case of reap.

use std::sync::Arc;

use brevet_domain::id::{DeploymentId, GrantId};
use brevet_engine::port::Clock;
use brevet_engine::reap::{EchoingReaper, FoundBy, Heard, PassReport};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::metric;

pub(crate) struct Handler {
    reaper: EchoingReaper,
    deployment: DeploymentId,
    clock: Arc<dyn Clock>,
}

impl Handler {
    pub(crate) fn new(reaper: EchoingReaper, deployment: DeploymentId, clock: Arc<dyn Clock>) -> Self {
        Self { reaper, deployment, clock }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        let report = match Incoming::read(event.payload).map_err(unexpected)? {
            // What a tick carries is ignored on purpose: the table says what is due.
            Incoming::Tick => self.tick().await?,
            Incoming::Echo => self.echo().await?,
            Incoming::Woken { ids, burnt, is_killed } => {
                let report = self.woken(&ids, &burnt).await?;
                // What a block covers is found by a pass, and by no name.
                if is_killed { self.tick().await? } else { report }
            }
            other @ (Incoming::Http(_) | Incoming::Evaluate { .. } | Incoming::Schedule(_)) => {
                let wanted = "ticks of the schedule, echoes, and records of the table's stream";
                return Err(unexpected(UnexpectedEvent::instead_of(wanted, &other)));
            }
        };
        serde_json::to_value(report).map_err(|error| diagnostic("UnwritableAnswer", &error.to_string()))
    }

    async fn tick(&self) -> Result<PassReport, Diagnostic> {
        let passed = self.reaper.scheduled().await;
        self.passed(passed.map_err(|error| diagnostic("HeartNotRecorded", &error.chain()))?)
    }

    /// What was known to be due, or a whole pass where the schedule did not come.
    async fn echo(&self) -> Result<PassReport, Diagnostic> {
        let heard = self.reaper.echoed().await;
        let Heard { report, is_pass } = heard.map_err(|error| diagnostic("EchoFailed", &error.chain()))?;
        metric::echo(&self.deployment, is_pass, self.clock.now());
        if is_pass {
            tracing::error!("the schedule did not come: an echo of the last pass made this one");
            return self.passed(report);
        }
        if report.n_due > 0 {
            let PassReport { n_due, n_changed, n_ended, n_failed, .. } = report;
            tracing::info!(n_due, n_changed, n_ended, n_failed, "looked at what was known to be due");
        }
        Ok(report)
    }

    /// A pass that is not good fails, so that its dead letter and the silent metric raise alarms.
    fn passed(&self, report: PassReport) -> Result<PassReport, Diagnostic> {
        if !report.good {
            let counts = format!("a pass of the reaper was not good: {report:?}");
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
            "made a good pass"
        );
        let PassReport { n_rotated, n_unrotated, oldest_rotation_s, .. } = report;
        if n_rotated > 0 || n_unrotated > 0 {
            tracing::info!(n_rotated, n_unrotated, oldest_rotation_s, "rotated secrets of grants that ended");
        }
        if report.n_swept > 0 || !report.swept {
            let (n_swept, swept) = (report.n_swept, report.swept);
            tracing::warn!(n_swept, whole = swept, "swept what no live grant explains");
        }
        if n_blocks > 0 {
            tracing::warn!(n_blocks, n_blocked_alive, zero_after_s, "blocks of the kill switch stand");
        }
        if n_overdue > 0 || is_stopped {
            tracing::warn!(n_overdue, n_unacknowledged, is_stopped, "grants are overdue");
        }
        metric::good_pass(&self.deployment, &report, self.clock.now());
        Ok(report)
    }

    /// A removal that fails is left to the next tick. A grant that was not looked at is not: where only its fuse knows of
    /// it, no tick finds it. The stream names it again, and then leaves a letter.
    async fn woken(&self, ids: &[GrantId], burnt: &[GrantId]) -> Result<PassReport, Diagnostic> {
        let mut report = self.reaper.reaper().wake(ids, FoundBy::Stream).await;
        if !burnt.is_empty() {
            tracing::error!(n_burnt = burnt.len(), "fuses burnt down: their grants should have ended long ago");
            report.add(self.reaper.reaper().wake(burnt, FoundBy::Fuse).await);
        }
        if !report.good {
            let counts = format!("not everything that the stream named was looked at: {report:?}");
            return Err(diagnostic("BadWake", &counts));
        }
        let PassReport { n_due, n_changed, n_ended, n_failed, n_deny_written, .. } = report;
        tracing::info!(n_due, n_changed, n_ended, n_failed, n_deny_written, "looked at what the stream named");
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
