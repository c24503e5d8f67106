//! Secrets that ended grants name: rotated once the grant can no longer read them, and observed to be rotated.
//!
//! Rotations come last in a pass and have a list of their own, so that their failures neither hold up a removal nor
//! make a pass a bad one. There is no attempt limit. A rotation counts only by its own version: the holder may
//! have read a version from a rotation that began before the grant's end.

use brevet_domain::canonical::Digest;
use brevet_domain::grant::{Event, Grant, Problem, Reading, SecretRotation};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use futures_util::stream::StreamExt as _;

use super::attachment::jitter;
use super::{AT_ONCE, PassReport, Reaper, note};
use crate::journal::StepError;
use crate::port::{PortError, VersionStage};

/// The shortest wait before a rotation is checked again, in seconds.
const RETRY_S: u32 = 30;
/// The longest wait, before jitter of up to half of it: wait, tick and check fit into the alarm's period of an hour.
const RETRY_MAX_S: u32 = 2_160;

impl Reaper {
    /// Continues the rotations that are due, until `until`; the next tick does the rest.
    pub(super) async fn rotate_due(&self, started: Timestamp, until: Timestamp, report: &mut PassReport) {
        let mut lists = self.rotations(started, until);
        let found_by = report.found_by;
        let parts = lists.lines().map(|(_, line)| async move {
            let mut report = PassReport::begun(found_by);
            report.note_rotating(started.seconds_since(line.next_at));
            if let Err(error) = self.rotate_for(line.id, until, &mut report).await {
                note(line.id, &error, &mut report);
            }
            report
        });
        report.add_all(parts.buffer_unordered(AT_ONCE)).await;
        report.n_failed = report.n_failed.saturating_add(u32::from(!lists.is_readable));
        if lists.is_whole {
            report.note_rotating(0);
        }
    }

    async fn rotate_for(&self, id: GrantId, until: Timestamp, report: &mut PassReport) -> Result<(), StepError> {
        if self.ports.clock.now() >= until {
            return Ok(());
        }
        let Some(mut grant) = self.ports.reader.grant(id).await? else { return Ok(()) };
        report.note_rotating(grant.rotating_for_s(self.ports.clock.now()).unwrap_or(0));
        let secrets: Vec<String> = grant.pending_rotations().map(|rotation| rotation.secret.clone()).collect();
        for secret in secrets {
            if self.ports.clock.now() < until {
                grant = self.rotate(grant, &secret, report).await?;
            }
        }
        Ok(())
    }

    /// Takes one step for one secret: reads the result of the last call, and makes the next one.
    async fn rotate(&self, grant: Grant, secret: &str, report: &mut PassReport) -> Result<Grant, StepError> {
        let asked_at = self.ports.clock.now();
        let Some(rotation) =
            pending(&grant, secret).filter(|rotation| rotation.next_at.is_none_or(|at| at <= asked_at))
        else {
            return Ok(grant);
        };
        let (token, next_token) = (rotation.asked.map(|asked| asked.token), grant.next_token(rotation));
        let Some(token) = token else { return self.call_rotation(grant, secret, next_token, None, report).await };
        // A lost answer is unknown, so AWS is read before it is called again.
        let reading = match self.ports.rotator.read_version(secret, token).await {
            Ok(reading) => reading,
            Err(error) => return self.record_rotation_trouble(grant, secret, &error, report).await,
        };
        let (token, again) = match reading.stage {
            VersionStage::Current => {
                let reading = Reading { at: asked_at, request_id: reading.request_id };
                let event = Event::RotationObserved { secret: secret.to_owned(), token, reading };
                let grant = self.advance(grant, &event, Vec::new(), self.ports.clock.now(), report).await?;
                report.n_rotated = report.n_rotated.saturating_add(1);
                // With alternating users, the second rotation begins only after the first is done.
                let next_token = pending(&grant, secret).map(|rotation| grant.next_token(rotation));
                let Some(token) = next_token else { return Ok(grant) };
                return self.call_rotation(grant, secret, token, None, report).await;
            }
            // Repeated with the same token, Secrets Manager retries the rotation that it could not finish.
            VersionStage::Pending => (token, "the rotation is still under way, or stopped halfway"),
            VersionStage::Absent => (next_token, "the rotation did not begin, or its version has been replaced since"),
        };
        self.call_rotation(grant, secret, token, Some(again.to_owned().into()), report).await
    }

    /// Records a call, then makes it.
    async fn call_rotation(
        &self,
        grant: Grant,
        secret: &str,
        token: Digest,
        again: Option<Problem>,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        report.n_unrotated = report.n_unrotated.saturating_add(u32::from(again.is_some()));
        let recorded_at = self.ports.clock.now();
        let event = Event::RotationRecorded {
            secret: secret.to_owned(),
            token,
            fence: grant.bounds.fence(recorded_at),
            next_at: recorded_at.plus(back_off(&grant, secret)),
            again,
        };
        // INVARIANT: recorded first. Of two concurrent reapers only one can write this version, and only it calls.
        let grant = self.advance(grant, &event, Vec::new(), recorded_at, report).await?;
        // The fence allows one call's time up to here; a call started later might take effect after it.
        if self.ports.clock.now() > recorded_at.plus(grant.bounds.call_s) {
            return Ok(grant);
        }
        match self.ports.rotator.rotate(secret, token).await {
            Ok(()) => Ok(grant),
            Err(error) => self.record_rotation_trouble(grant, secret, &error, report).await,
        }
    }

    async fn record_rotation_trouble(
        &self,
        grant: Grant,
        secret: &str,
        error: &PortError,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        report.n_unrotated = report.n_unrotated.saturating_add(1);
        tracing::warn!(grant.id = %grant.id, secret, problem = error.chain(), "a secret could not be rotated in this pass");
        let now = self.ports.clock.now();
        let next_at = now.plus(back_off(&grant, secret));
        let event = Event::RotationTroubled { secret: secret.to_owned(), problem: error.chain().into(), next_at };
        self.advance(grant, &event, Vec::new(), now, report).await
    }
}

fn pending<'a>(grant: &'a Grant, secret: &str) -> Option<&'a SecretRotation> {
    grant.pending_rotations().find(|rotation| rotation.secret == secret)
}

/// The wait after the failures in a row, in seconds: doubling, plus up to half of it.
fn back_off(grant: &Grant, secret: &str) -> u32 {
    let troubles = pending(grant, secret).map_or(0, |rotation| rotation.troubles);
    let wait_s = RETRY_S.saturating_mul(2_u32.saturating_pow(troubles.min(8))).min(RETRY_MAX_S);
    wait_s.saturating_add(jitter(grant.id, wait_s))
}
