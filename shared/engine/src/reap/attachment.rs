//! Attachments: watched while they are active, removed when they end, and read twice to prove it.

use std::collections::BTreeSet;

use brevet_domain::grant::{Applied, Delivery, EffectiveAccess, Event, Grant, Problem, Reading, State};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{PassReport, Reaper};
use crate::journal::StepError;
use crate::port::{AttachmentStatus, AttachmentTarget, PortError, PortResult, TargetReading, TransactionItem};

/// The most tries of a removal before its recorded claim expires. Each try has the adapter's own attempts.
const TRIES: u32 = 5;
/// The shortest wait after a removal that failed, in seconds.
const RETRY_S: u32 = 5;
/// The longest wait before jitter, for the first `SOON` attempts and for later ones. The first is short, so that an
/// obstacle of a minute or two delays the removal by little more.
const RETRY_SOON_MAX_S: u32 = 20;
const SOON: u32 = 12;
const RETRY_MAX_S: u32 = 60;

impl Reaper {
    /// Watches an active attachment, or continues removing one. Returns the grant after that.
    pub(super) async fn settle_attachment(&self, grant: Grant, report: &mut PassReport) -> Result<Grant, StepError> {
        let Some(target) = self.own_target(&grant) else { return Ok(grant) };
        let grant = if let State::Active { next_check_at, .. } = &grant.state {
            if next_check_at.is_some_and(|at| self.ports.clock.now() < at) {
                return Ok(grant);
            }
            self.watch(grant, &target, report).await?
        } else {
            grant
        };
        self.remove(grant, &target, report).await
    }

    /// The target at which the grant may be attached. A writer of grants must not be able to name another policy of the
    /// principal for removal. So an inline policy is removed only under the name that follows from the grant's id, and
    /// a managed one only if its name is this installation's. A grant that names a foreign managed policy stays overdue
    /// and stops its principal. For a grant that names a foreign inline policy, the reaper removes the grant's own.
    fn own_target(&self, grant: &Grant) -> Option<AttachmentTarget> {
        let target = AttachmentTarget::of(grant)?;
        let (principal_arn, named) = match target {
            AttachmentTarget::Managed { ref policy_arn, .. } if !self.deployment.is_managed(policy_arn) => {
                tracing::error!(grant.id = %grant.id, policy_arn, "a grant names a managed policy of another \
                    installation: it is not removed");
                return None;
            }
            AttachmentTarget::Managed { .. } => return Some(target),
            AttachmentTarget::Inline { principal_arn, policy_name } => (principal_arn, policy_name),
        };
        let policy_name = self.deployment.inline_policy_name(grant.id);
        if named != policy_name {
            tracing::error!(grant.id = %grant.id, named, "a grant names a policy that is not its own: only \
                its own is removed");
        }
        Some(AttachmentTarget::Inline { principal_arn, policy_name })
    }

    /// An altered or absent attachment is drift, and ends the grant.
    async fn watch(
        &self,
        grant: Grant,
        target: &AttachmentTarget,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let reading = self.ports.attachments.principals.read(target).await?;
        let now = self.ports.clock.now();
        let seen = reading_at(&reading, now);
        let State::Active { plan_digest, .. } = &grant.state else { return Ok(grant) };
        let event = match plan_digest.map(|digest| reading.against(digest)) {
            Some(AttachmentStatus::Present) => Event::PresenceObserved(seen),
            Some(AttachmentStatus::Absent | AttachmentStatus::Altered) | None => Event::DriftObserved(seen),
        };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    async fn remove(
        &self,
        grant: Grant,
        target: &AttachmentTarget,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let State::Revoking(revoking) = &grant.state else { return Ok(grant) };
        // The stream may wake the reaper early: a postponed attempt and the quiet period wait.
        let now = self.ports.clock.now();
        if now < revoking.next_at {
            return Ok(grant);
        }
        let holders = self.holders(&grant, target).await?;
        let others = holders.as_ref().map(|holders| holders.others(grant.id)).unwrap_or_default();
        // This grant's own attach call might take effect after the others are gone, and then nobody would detach it.
        if !others.is_empty() && now < revoking.fence {
            return Ok(grant);
        }
        let is_second = revoking.first_absence.is_some();
        let grant = match (is_second || !others.is_empty()) && revoking.effective.is_none() {
            true => self.check_effective(grant, &others, report).await?,
            false => grant,
        };
        let asked_at = self.ports.clock.now();
        let reading = match self.ports.attachments.principals.read(target).await {
            Ok(reading) => reading,
            Err(error) => return self.record_trouble(grant, &error, report).await,
        };
        let now = self.ports.clock.now();
        if reading.standing.is_none() {
            // The quiet period runs from the answer of the first reading to the start of the second.
            let seen = reading_at(&reading, if is_second { asked_at } else { now });
            return self.leave(grant, &Event::AbsenceObserved(seen), holders.as_ref(), now, report).await;
        }
        if !others.is_empty() {
            let event = Event::HandedOver { holders: others, reading: reading_at(&reading, asked_at) };
            return self.leave(grant, &event, holders.as_ref(), now, report).await;
        }
        // A call took effect after the first absence, so that absence does not count any more.
        let event = Event::PresenceObserved(reading_at(&reading, now));
        let grant = self.advance(grant, &event, Vec::new(), now, report).await?;
        // INVARIANT: recorded first. Of two concurrent reapers only one can write this version, and only it calls.
        let recorded_at = self.ports.clock.now();
        let grant = self.record_removal(grant, target, holders.as_ref(), report).await?;
        // The fence allows one call's time up to here; a call started later might take effect after it.
        let until = recorded_at.plus(grant.bounds.call_s);
        if self.ports.clock.now() > until {
            return Ok(grant);
        }
        let grant = match self.remove_with_retries(target, until).await {
            Ok(()) => grant,
            Err(error) => self.record_trouble(grant, &error, report).await?,
        };
        // Read back afresh: the answer of a removal proves nothing.
        let Ok(reading) = self.ports.attachments.principals.read(target).await else { return Ok(grant) };
        if reading.standing.is_some() {
            return Ok(grant);
        }
        let now = self.ports.clock.now();
        let event = Event::AbsenceObserved(reading_at(&reading, now));
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    /// Retries a removal that was surely not done, most likely because of throttling, while the claim holds. If
    /// the retry waited for the next tick, IAM's rate limit would go unused. No try starts after `until`.
    async fn remove_with_retries(&self, target: &AttachmentTarget, until: Timestamp) -> PortResult<()> {
        let mut removed = self.ports.attachments.deprovisioner.remove(target).await;
        for _ in 1..TRIES {
            if !matches!(removed, Err(PortError::NotDone { .. })) || self.ports.clock.now() > until {
                break;
            }
            removed = self.ports.attachments.deprovisioner.remove(target).await;
        }
        removed
    }

    /// The holders of the policy on the principal; nothing for an inline policy, which belongs to one grant.
    ///
    /// A holder counts only if its own record is live and names this target. Otherwise a policy could be handed over to
    /// a grant that has ended, and nobody would detach it. A grant that ends after this reading changes the holders, and this step's
    /// write fails.
    async fn holders(&self, grant: &Grant, target: &AttachmentTarget) -> Result<Option<AttachmentHolders>, StepError> {
        let AttachmentTarget::Managed { principal_arn, policy_arn } = target else { return Ok(None) };
        let mut holders = self.ports.attachments.holders.holders_of(principal_arn, policy_arn).await?;
        for id in holders.others(grant.id) {
            let holder = self.ports.reader.grant(id).await?;
            if holder.is_none_or(|holder| {
                holder.state.is_terminal() || AttachmentTarget::of(&holder).as_ref() != Some(target)
            }) {
                tracing::error!(grant.id = %id, policy.arn = policy_arn, "a grant is recorded as holder of a policy \
                    that it does not hold");
                holders.holders.remove(&id);
            }
        }
        Ok(Some(holders))
    }

    /// Records `event`; if it ends the grant, the grant leaves `holders` in the same transaction.
    async fn leave(
        &self,
        grant: Grant,
        event: &Event,
        holders: Option<&AttachmentHolders>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let left = holders
            .filter(|_| ends(&grant, event, now))
            .map(|holders| TransactionItem::Holders(holders.leave(grant.id)));
        self.advance(grant, event, left.into_iter().collect(), now, report).await
    }

    async fn record_removal(
        &self,
        grant: Grant,
        target: &AttachmentTarget,
        holders: Option<&AttachmentHolders>,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let (operation, target, policy) = match target {
            AttachmentTarget::Inline { principal_arn, policy_name } => {
                ("iam:DeleteRolePolicy", principal_arn, policy_name)
            }
            AttachmentTarget::Managed { principal_arn, policy_arn } => {
                ("iam:DetachRolePolicy", principal_arn, policy_arn)
            }
        };
        // From here on no grant can join until the end is proved; one that has just joined makes this write fail.
        let items = match holders.map(|holders| holders.detach(grant.id)) {
            None => Vec::new(),
            Some(Ok(detaching)) => vec![TransactionItem::Holders(detaching)],
            Some(Err(error)) => {
                let (operation, source) = ("iam:DetachRolePolicy", error.into());
                return Err(PortError::NotDone { operation, source }.into());
            }
        };
        let now = self.ports.clock.now();
        // INVARIANT: a short exclusive claim. By its end the call has been answered, and no other reaper calls
        // meanwhile.
        let claimed_s = back_off(&grant).max(grant.bounds.call_s.saturating_add(1));
        let event = Event::RemovalRecorded {
            operation: operation.to_owned(),
            target: target.clone(),
            policy: policy.clone(),
            document_digest: None,
            next_at: now.plus(claimed_s),
        };
        self.advance(grant, &event, items, now, report).await
    }

    /// Counts and stores a failure; there is no last attempt.
    async fn record_trouble(
        &self,
        grant: Grant,
        error: &PortError,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        report.n_failed = report.n_failed.saturating_add(1);
        let now = self.ports.clock.now();
        let next_at = now.plus(back_off(&grant));
        let event = Event::RemovalTroubled { problem: Problem::from(error.chain()), next_at };
        self.advance(grant, &event, Vec::new(), now, report).await
    }

    /// Simulates before the second absence, so that no end is stored without the result. A failed check delays no end.
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
            EffectiveAccess::Undetermined { why: "the grant has no single action that can be simulated".to_owned() }
        } else {
            let now = self.ports.clock.now();
            match self.ports.attachments.deprovisioner.effective(principal_arn, probes, now).await {
                Ok(found) => self.but_for_grants(&grant, found, others).await,
                Err(error) => EffectiveAccess::Undetermined { why: error.chain() },
            }
        };
        // Untested actions may still be allowed: `NotAllowed` is stored only if every action was tested.
        let found = if *n_untried > 0 && matches!(found, EffectiveAccess::NotAllowed { .. }) {
            let n_tried = probes.len();
            let why =
                format!("{n_tried} actions on resources were tested and are not allowed; {n_untried} were not tested");
            EffectiveAccess::Undetermined { why }
        } else {
            found
        };
        if let EffectiveAccess::Residual { policies } = &found {
            tracing::warn!(grant.id = %grant.id, principal.arn = principal_arn, ?policies, "residual access remains after a grant");
        }
        let now = self.ports.clock.now();
        self.advance(grant, &Event::EffectiveAccessChecked(found), Vec::new(), now, report).await
    }

    /// Leaves out policies of other live grants: they are not residual access.
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

    /// The other live grant to which an inline policy belongs. An unreadable grant explains nothing.
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

fn reading_at(reading: &TargetReading, at: Timestamp) -> Reading {
    Reading { at, request_id: reading.request_id.clone() }
}

/// The wait after this many removals, in seconds: doubling up to 20 s, after a dozen up to 60 s, plus up to half of it.
/// The jitter follows from the grant's id, so that grants that failed together are not retried together.
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
