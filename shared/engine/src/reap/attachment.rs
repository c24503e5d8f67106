//! Attachments: watched while they live, removed when they end, and read twice to prove it.

use brevet_domain::grant::{Delivery, EffectiveAccess, Event, Grant, Problem, Sighting, State};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{Attachments, PassReport, Reaper};
use crate::journal::StepError;
use crate::port::{Place, PlaceReading, PortError, Seen};

/// How soon a removal that did not go well is tried again at the least, in seconds.
const RETRY_S: u32 = 5;
/// And at the most, before jitter.
const RETRY_MAX_S: u32 = 60;

impl Reaper {
    /// Looks at a live attachment, or goes on removing one.
    pub(super) async fn settle_attachment(&self, grant: Grant, report: &mut PassReport) -> Result<(), StepError> {
        let Some(place) = Place::of(&grant) else { return Ok(()) };
        let grant = if let State::Active { look_at, .. } = &grant.state {
            if look_at.is_some_and(|at| self.ports.clock.now() < at) {
                return Ok(());
            }
            self.watch(grant, &place, report).await?
        } else {
            grant
        };
        self.remove(grant, &place, report).await
    }

    fn attachments(&self) -> Result<&Attachments, PortError> {
        self.ports.attachments.as_ref().ok_or_else(|| PortError::NotDone {
            operation: "iam:GetRolePolicy",
            source: "this function has no adapter for attachment principals".into(),
        })
    }

    /// Altered or gone is drift, and ends the grant.
    async fn watch(&self, grant: Grant, place: &Place, report: &mut PassReport) -> Result<Grant, StepError> {
        let reading = self.attachments()?.principals.read(place).await?;
        let now = self.ports.clock.now();
        let seen = sighting(&reading, now);
        let State::Active { plan_digest, .. } = &grant.state else { return Ok(grant) };
        let event = match plan_digest.map(|digest| reading.against(digest)) {
            Some(Seen::Present) => Event::PresenceObserved(seen),
            Some(Seen::Absent | Seen::Altered) | None => Event::DriftObserved(seen),
        };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    async fn remove(&self, grant: Grant, place: &Place, report: &mut PassReport) -> Result<(), StepError> {
        let State::Revoking(revoking) = &grant.state else { return Ok(()) };
        // The stream may call early: what was put off, or must first be quiet, waits.
        if self.ports.clock.now() < revoking.next_at {
            return Ok(());
        }
        let again = revoking.first_absence.is_some();
        let grant = match again && revoking.effective.is_none() {
            true => self.check_effective(grant, report).await?,
            false => grant,
        };
        let asked_at = self.ports.clock.now();
        let reading = match self.attachments()?.principals.read(place).await {
            Ok(reading) => reading,
            Err(error) => return self.troubled(grant, &error, report).await.map(drop),
        };
        let now = self.ports.clock.now();
        if reading.standing.is_none() {
            // The quiet period runs from the answer of the first reading to the start of the second.
            let event = Event::AbsenceObserved(sighting(&reading, if again { asked_at } else { now }));
            return self.advance(grant, &event, Vec::new(), now, report).await.map(drop);
        }
        // A call that landed after the first absence: that absence counts no more.
        let event = Event::PresenceObserved(sighting(&reading, now));
        let grant = self.advance(grant, &event, Vec::new(), now, report).await?;
        // INVARIANT: recorded first. Of two reapers at once, one alone can write this version, and calls.
        let grant = self.record_removal(grant, place, report).await?;
        let grant = match self.attachments()?.deprovisioner.remove(place).await {
            Ok(()) => grant,
            Err(error) => self.troubled(grant, &error, report).await?,
        };
        // Read back afresh, whatever was answered: the answer of a removal proves nothing.
        let Ok(reading) = self.attachments()?.principals.read(place).await else { return Ok(()) };
        if reading.standing.is_some() {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let event = Event::AbsenceObserved(sighting(&reading, now));
        self.advance(grant, &event, Vec::new(), now, report).await.map(drop)
    }

    async fn record_removal(&self, grant: Grant, place: &Place, report: &mut PassReport) -> Result<Grant, StepError> {
        let (operation, target, policy) = match place {
            Place::Inline { principal_arn, policy_name } => ("iam:DeleteRolePolicy", principal_arn, policy_name),
            Place::Managed { principal_arn, policy_arn } => ("iam:DetachRolePolicy", principal_arn, policy_arn),
        };
        let now = self.ports.clock.now();
        let event = Event::RemovalRecorded {
            operation: operation.to_owned(),
            target: target.clone(),
            policy: policy.clone(),
            document_digest: None,
            next_at: now.plus(back_off(&grant)),
        };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    /// Counts and stores what went wrong; there is no last attempt.
    async fn troubled(&self, grant: Grant, error: &PortError, report: &mut PassReport) -> Result<Grant, StepError> {
        report.n_failed = report.n_failed.saturating_add(1);
        let now = self.ports.clock.now();
        let next_at = now.plus(back_off(&grant));
        let event = Event::RemovalTroubled { problem: Problem::from(error.chain()), next_at };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    /// Before the second absence, so that no end is stored without it. A check that does not answer holds up no end.
    async fn check_effective(&self, grant: Grant, report: &mut PassReport) -> Result<Grant, StepError> {
        let (Delivery::Inline { principal_arn, probes, .. } | Delivery::Managed { principal_arn, probes, .. }) =
            &grant.delivery
        else {
            return Ok(grant);
        };
        let now = self.ports.clock.now();
        let found = if probes.is_empty() {
            EffectiveAccess::Undetermined { why: "no single action to try".to_owned() }
        } else {
            let answer = self.attachments()?.deprovisioner.effective(principal_arn, probes, now).await;
            answer.unwrap_or_else(|error| EffectiveAccess::Undetermined { why: error.chain() })
        };
        if let EffectiveAccess::Residual { policies } = &found {
            tracing::warn!(grant.id = %grant.id, principal.arn = principal_arn, ?policies, "access remains after its end");
        }
        let now = self.ports.clock.now();
        self.advance(grant, &Event::EffectiveAccessChecked(found), Vec::new(), now, report).await
    }
}

fn sighting(reading: &PlaceReading, at: Timestamp) -> Sighting {
    Sighting { at, request_id: reading.request_id.clone() }
}

/// How long to wait after this many removals, in seconds: doubling up to a minute, and up to half of it more, from
/// the grant's own id, so that many that failed together do not come back together.
fn back_off(grant: &Grant) -> u32 {
    let State::Revoking(revoking) = &grant.state else { return RETRY_S };
    let wait = RETRY_S.saturating_mul(2_u32.saturating_pow(revoking.attempts.min(8))).min(RETRY_MAX_S);
    wait.saturating_add(jitter(grant.id, wait))
}

fn jitter(id: GrantId, wait_s: u32) -> u32 {
    let most = u128::from(wait_s.div_ceil(2).max(1));
    id.ulid().random().checked_rem(most).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}
