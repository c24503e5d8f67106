//! Attachments: watched while they live, removed when they end, and read twice to prove it.

use std::collections::BTreeSet;

use brevet_domain::count::Count;
use brevet_domain::grant::{Applied, Delivery, EffectiveAccess, Event, Grant, Problem, Sighting, State};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{PassReport, Reaper};
use crate::journal::StepError;
use crate::port::{Also, Place, PlaceReading, PortError, PortResult, Seen};

/// How often a removal is tried while the claim that was recorded for it holds. Each try has the adapter's own attempts.
const TRIES: u32 = 5;
/// How soon a removal that did not go well is tried again at the least, in seconds.
const RETRY_S: u32 = 5;
/// And at the most, before jitter: the first times, so that what is in the way for a minute or two holds nothing up for
/// longer, and from then on.
const RETRY_SOON_MAX_S: u32 = 20;
const SOON: u32 = 12;
const RETRY_MAX_S: u32 = 60;

impl Reaper {
    /// Looks at a live attachment, or goes on removing one. Answers what became of it.
    pub(super) async fn settle_attachment(&self, grant: Grant, report: &mut PassReport) -> Result<Grant, StepError> {
        let Some(place) = self.own_place(&grant) else { return Ok(grant) };
        let grant = if let State::Active { look_at, .. } = &grant.state {
            if look_at.is_some_and(|at| self.ports.clock.now() < at) {
                return Ok(grant);
            }
            self.watch(grant, &place, report).await?
        } else {
            grant
        };
        self.remove(grant, &place, report).await
    }

    /// Where the grant is attached. Whoever may write grants must not be able to name another policy of the principal
    /// for removal: an inline policy is looked for under the name that the grant's id gives it, and no other; a managed one
    /// only where its name is this installation's. A grant that names another stays overdue, and stops its principal.
    fn own_place(&self, grant: &Grant) -> Option<Place> {
        let place = Place::of(grant)?;
        let (principal_arn, named) = match place {
            Place::Managed { ref policy_arn, .. } if !self.deployment.is_managed(policy_arn) => {
                tracing::error!(grant.id = %grant.id, policy_arn, "a grant names a managed policy of another installation: it is left alone");
                return None;
            }
            Place::Managed { .. } => return Some(place),
            Place::Inline { principal_arn, policy_name } => (principal_arn, policy_name),
        };
        let policy_name = self.deployment.inline_policy_name(grant.id);
        if named != policy_name {
            tracing::error!(grant.id = %grant.id, named, "a grant names a policy that is not its own: it is left alone");
        }
        Some(Place::Inline { principal_arn, policy_name })
    }

    /// Altered or gone is drift, and ends the grant.
    async fn watch(&self, grant: Grant, place: &Place, report: &mut PassReport) -> Result<Grant, StepError> {
        let reading = self.ports.attachments.principals.read(place).await?;
        let now = self.ports.clock.now();
        let seen = sighting(&reading, now);
        let State::Active { plan_digest, .. } = &grant.state else { return Ok(grant) };
        let event = match plan_digest.map(|digest| reading.against(digest)) {
            Some(Seen::Present) => Event::PresenceObserved(seen),
            Some(Seen::Absent | Seen::Altered) | None => Event::DriftObserved(seen),
        };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    async fn remove(&self, grant: Grant, place: &Place, report: &mut PassReport) -> Result<Grant, StepError> {
        let State::Revoking(revoking) = &grant.state else { return Ok(grant) };
        // The stream may call early: what was put off, or must first be quiet, waits.
        let now = self.ports.clock.now();
        if now < revoking.next_at {
            return Ok(grant);
        }
        let count = self.count(&grant, place).await?;
        let others = count.as_ref().map(|count| count.others(grant.id)).unwrap_or_default();
        // What this grant called could land after the others are gone, and then nobody would detach it: it stays.
        if !others.is_empty() && now < revoking.fence {
            return Ok(grant);
        }
        let again = revoking.first_absence.is_some();
        let grant = match (again || !others.is_empty()) && revoking.effective.is_none() {
            true => self.check_effective(grant, &others, report).await?,
            false => grant,
        };
        let asked_at = self.ports.clock.now();
        let reading = match self.ports.attachments.principals.read(place).await {
            Ok(reading) => reading,
            Err(error) => return self.troubled(grant, &error, report).await,
        };
        let now = self.ports.clock.now();
        if reading.standing.is_none() {
            // The quiet period runs from the answer of the first reading to the start of the second.
            let seen = sighting(&reading, if again { asked_at } else { now });
            return self.leave(grant, &Event::AbsenceObserved(seen), count.as_ref(), now, report).await;
        }
        if !others.is_empty() {
            let event = Event::HandedOver { holders: others, seen: sighting(&reading, asked_at) };
            return self.leave(grant, &event, count.as_ref(), now, report).await;
        }
        // A call that landed after the first absence: that absence counts no more.
        let event = Event::PresenceObserved(sighting(&reading, now));
        let grant = self.advance(grant, &event, Vec::new(), now, report).await?;
        // INVARIANT: recorded first. Of two reapers at once, one alone can write this version, and calls.
        let recorded_at = self.ports.clock.now();
        let grant = self.record_removal(grant, place, count.as_ref(), report).await?;
        // The fence allows one call's time for getting here; a call started later might land after it.
        let until = recorded_at.plus(grant.bounds.call_s);
        if self.ports.clock.now() > until {
            return Ok(grant);
        }
        let grant = match self.take_away(place, until).await {
            Ok(()) => grant,
            Err(error) => self.troubled(grant, &error, report).await?,
        };
        // Read back afresh, whatever was answered: the answer of a removal proves nothing.
        let Ok(reading) = self.ports.attachments.principals.read(place).await else { return Ok(grant) };
        if reading.standing.is_some() {
            return Ok(grant);
        }
        let now = self.ports.clock.now();
        let event = Event::AbsenceObserved(sighting(&reading, now));
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    /// What was surely not done, most likely since there were too many at once, is tried again in its place: put off, it
    /// would wait for a tick, and IAM's limit go unused meanwhile. No try begins after `until`.
    async fn take_away(&self, place: &Place, until: Timestamp) -> PortResult<()> {
        let mut removed = self.ports.attachments.deprovisioner.remove(place).await;
        for _ in 1..TRIES {
            if !matches!(removed, Err(PortError::NotDone { .. })) || self.ports.clock.now() > until {
                break;
            }
            removed = self.ports.attachments.deprovisioner.remove(place).await;
        }
        removed
    }

    /// Who holds the policy on the principal; nothing for an inline policy, which is one grant's own.
    ///
    /// A holder counts only while its own record says that it lives and holds this: what is handed over to nobody
    /// would be detached by nobody. Whoever ended since the count was read has changed it, and this look's write fails.
    async fn count(&self, grant: &Grant, place: &Place) -> Result<Option<Count>, StepError> {
        let Place::Managed { principal_arn, policy_arn } = place else { return Ok(None) };
        let mut count = self.ports.attachments.counts.count(principal_arn, policy_arn).await?;
        for id in count.others(grant.id) {
            let holder = self.ports.reader.grant(id).await?;
            if holder.is_none_or(|holder| holder.state.is_terminal() || Place::of(&holder).as_ref() != Some(place)) {
                tracing::error!(grant.id = %id, policy.arn = policy_arn, "a grant is counted that does not hold the policy");
                count.holders.remove(&id);
            }
        }
        Ok(Some(count))
    }

    /// Records `event`; if it ends the grant, the grant leaves `count` in the same transaction.
    async fn leave(
        &self,
        grant: Grant,
        event: &Event,
        count: Option<&Count>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let left = count.filter(|_| ends(&grant, event, now)).map(|count| Also::Count(count.leave(grant.id)));
        self.advance(grant, event, left.into_iter().collect(), now, report).await
    }

    async fn record_removal(
        &self,
        grant: Grant,
        place: &Place,
        count: Option<&Count>,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let (operation, target, policy) = match place {
            Place::Inline { principal_arn, policy_name } => ("iam:DeleteRolePolicy", principal_arn, policy_name),
            Place::Managed { principal_arn, policy_arn } => ("iam:DetachRolePolicy", principal_arn, policy_arn),
        };
        // Nobody joins from here on until the end is proved; somebody who just did makes this write fail.
        let also = match count.map(|count| count.detach(grant.id)) {
            None => Vec::new(),
            Some(Ok(detaching)) => vec![Also::Count(detaching)],
            Some(Err(error)) => {
                let (operation, source) = ("iam:DetachRolePolicy", error.into());
                return Err(PortError::NotDone { operation, source }.into());
            }
        };
        let now = self.ports.clock.now();
        // INVARIANT: a short exclusive claim. Until then the call has been answered, and no other reaper makes one.
        let claimed_s = back_off(&grant).max(grant.bounds.call_s.saturating_add(1));
        let event = Event::RemovalRecorded {
            operation: operation.to_owned(),
            target: target.clone(),
            policy: policy.clone(),
            document_digest: None,
            next_at: now.plus(claimed_s),
        };
        self.advance(grant, &event, also, now, report).await
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
    async fn check_effective(
        &self,
        grant: Grant,
        others: &[GrantId],
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let (Delivery::Inline { principal_arn, probes, n_untried, .. }
        | Delivery::Managed { principal_arn, probes, n_untried, .. }) = &grant.delivery
        else {
            return Ok(grant);
        };
        let found = if probes.is_empty() {
            EffectiveAccess::Undetermined { why: "no single action to try".to_owned() }
        } else {
            let now = self.ports.clock.now();
            match self.ports.attachments.deprovisioner.effective(principal_arn, probes, now).await {
                Ok(found) => self.but_for_grants(&grant, found, others).await,
                Err(error) => EffectiveAccess::Undetermined { why: error.chain() },
            }
        };
        // What was not tried may still be allowed: that nothing is left is said only where all of it was.
        let found = if *n_untried > 0 && matches!(found, EffectiveAccess::NotAllowed { .. }) {
            let n_tried = probes.len();
            let why =
                format!("{n_tried} actions on resources were tried and are not allowed; {n_untried} were not tried");
            EffectiveAccess::Undetermined { why }
        } else {
            found
        };
        if let EffectiveAccess::Residual { policies } = &found {
            tracing::warn!(grant.id = %grant.id, principal.arn = principal_arn, ?policies, "access remains after its end");
        }
        let now = self.ports.clock.now();
        self.advance(grant, &Event::EffectiveAccessChecked(found), Vec::new(), now, report).await
    }

    /// What another live grant allows is no residual access.
    async fn but_for_grants(&self, grant: &Grant, found: EffectiveAccess, others: &[GrantId]) -> EffectiveAccess {
        let EffectiveAccess::Residual { policies } = found else { return found };
        let (mut by_grants, mut standing) = (BTreeSet::new(), Vec::new());
        for policy in policies {
            let held = match &grant.delivery {
                Delivery::Managed { policy_arn, .. } => policy_arn.rsplit('/').next() == policy.rsplit('/').next(),
                Delivery::Session { .. } | Delivery::Inline { .. } => false,
            };
            if held && !others.is_empty() {
                by_grants.extend(others);
            } else if let Some(other) = self.live_grant_of(&policy, grant.id).await {
                by_grants.insert(other);
            } else {
                standing.push(policy);
            }
        }
        match standing.is_empty() {
            true => EffectiveAccess::NotAllowed { but_by: by_grants.into_iter().collect() },
            false => EffectiveAccess::Residual { policies: standing },
        }
    }

    /// The other live grant whose inline policy it is. One that cannot be read explains nothing.
    async fn live_grant_of(&self, policy: &str, except: GrantId) -> Option<GrantId> {
        let id = self.deployment.grant_of_policy(policy).filter(|id| *id != except)?;
        let grant = self.ports.reader.grant(id).await.ok().flatten()?;
        (!grant.state.is_terminal()).then_some(id)
    }
}

/// Whether `event` would end `grant`.
pub(super) fn ends(grant: &Grant, event: &Event, now: Timestamp) -> bool {
    let over = |state: &State| matches!(state, State::Ended { .. });
    !over(&grant.state) && matches!(grant.apply(event, now), Ok(Applied::Changed(after)) if over(&after.state))
}

fn sighting(reading: &PlaceReading, at: Timestamp) -> Sighting {
    Sighting { at, request_id: reading.request_id.clone() }
}

/// How long to wait after this many removals, in seconds: doubling up to a third of a minute, after a dozen up to a minute,
/// and up to half of it more, from the grant's own id, so that many that failed together do not come back together.
fn back_off(grant: &Grant) -> u32 {
    let State::Revoking(revoking) = &grant.state else { return RETRY_S };
    let most = if revoking.attempts < SOON { RETRY_SOON_MAX_S } else { RETRY_MAX_S };
    let wait = RETRY_S.saturating_mul(2_u32.saturating_pow(revoking.attempts.min(8))).min(most);
    wait.saturating_add(jitter(grant.id, wait))
}

pub(super) fn jitter(id: GrantId, wait_s: u32) -> u32 {
    let most = u128::from(wait_s.div_ceil(2).max(1));
    id.ulid().random().checked_rem(most).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}
