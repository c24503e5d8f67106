//! The use case of `issue` for attachments: attach what was decided to its principal, and read back that it stands.
//!
//! The to-do list or the stream names a grant; the stored grant and decision say what to do. Issue trusts nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::grant::{Before, Delivery, DueRole, Event, Grant, Problem, Reading, State};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::{IssuancePolicy, is_overdue};
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::issue::checks::{Checks, Permitted};
use crate::journal::{Journal, StepError};
use crate::port::{
    Activation, AttachmentHoldersReader, AttachmentStatus, AttachmentTarget, Clock, DueList, GrantReader, GrantStore,
    IdSource, InService, PortError, Principal, Principals, Provisioner, TransactionItem, TtlBackstop, shards_at,
};
use crate::refusal::Refusal;

mod preflight;

use preflight::{Preflight, PreflightFailure};

/// How many lines of the to-do list one page holds.
const PAGE: u32 = 100;
/// How long after an attempt that surely had no effect the next one may start, in seconds.
const RETRY_S: u32 = 5;

/// The ports of the activator.
#[derive(Clone)]
pub struct Ports {
    pub reader: Arc<dyn GrantReader>,
    pub catalogue: Arc<Catalogue>,
    pub service: Arc<dyn InService>,
    pub store: Arc<dyn GrantStore>,
    pub due: Arc<dyn DueList>,
    pub principals: Arc<dyn Principals>,
    /// Attaches to principals.
    pub provisioner: Arc<dyn Provisioner>,
    /// Reads who holds managed policies.
    pub holders: Arc<dyn AttachmentHoldersReader>,
    pub clock: Arc<dyn Clock>,
    /// Makes evidence ids.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// The use case of the issue function for attachments.
pub struct Activator {
    ports: Ports,
    checks: Checks,
    journal: Journal,
    deployment: Deployment,
    /// How long an end may take before its grant is overdue, in seconds.
    overdue_s: u32,
    /// How long one pass may start new grants, in seconds; the next tick does the rest.
    budget_s: u32,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ActivateReport {
    /// Grants that were reconciled.
    pub n_due: u32,
    /// Grants left to a later pass: blocked, too early, lost a race, or a port did not answer.
    pub n_left: u32,
    /// Whether every shard was read to its end.
    pub good: bool,
}

/// Why a grant is left to a later pass.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("not yet: {0}")]
    Wait(String),
}

impl From<PortError> for Left {
    fn from(error: PortError) -> Self {
        Self::Step(StepError::Port(error))
    }
}

impl Activator {
    /// Wires the use case to its ports.
    #[must_use]
    pub fn new(ports: Ports, deployment: Deployment, issuance_policy: IssuancePolicy, budget_s: u32) -> Self {
        let (reader, catalogue) = (Arc::clone(&ports.reader), Arc::clone(&ports.catalogue));
        let checks = Checks::new(reader, catalogue, Arc::clone(&ports.service), issuance_policy);
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "issue");
        Self { ports, checks, journal, deployment, overdue_s: issuance_policy.overdue_s, budget_s }
    }

    /// Reconciles every grant on issue's to-do list. A grant's failure does not stop the pass.
    pub async fn pass(&self) -> ActivateReport {
        let mut report = ActivateReport { good: true, ..ActivateReport::default() };
        let started = self.ports.clock.now();
        for shard in shards_at(started) {
            let mut cursor: Option<String> = None;
            loop {
                match self.ports.due.due(DueRole::Issue, shard, started, cursor.as_deref(), PAGE).await {
                    Ok(page) => {
                        let ids: Vec<_> = page.lines.iter().map(|line| line.id).collect();
                        self.reconcile_all(&ids, started, &mut report).await;
                        cursor = page.next.filter(|_| !self.ran_out(started, &mut report));
                    }
                    Err(error) => {
                        tracing::error!(shard, problem = error.chain(), "a shard of the to-do list could not be read");
                        report.good = false;
                        cursor = None;
                    }
                }
                if cursor.is_none() {
                    break;
                }
            }
        }
        report
    }

    /// Reconciles `ids` at once, because the stream named them.
    pub async fn wake(&self, ids: &[GrantId]) -> ActivateReport {
        let mut report = ActivateReport { good: true, ..ActivateReport::default() };
        self.reconcile_all(ids, self.ports.clock.now(), &mut report).await;
        report
    }

    /// Whether the budget is used up while grants are left; then the pass does not count as good.
    fn ran_out(&self, started: Timestamp, report: &mut ActivateReport) -> bool {
        let is_over = self.ports.clock.now() >= started.plus(self.budget_s);
        if is_over {
            tracing::warn!("the pass ran out of time: the next tick goes on");
            report.good = false;
        }
        is_over
    }

    /// Stops when the budget is used up: the rest stays on the list, and the next tick goes on.
    async fn reconcile_all(&self, ids: &[GrantId], started: Timestamp, report: &mut ActivateReport) {
        for id in ids {
            if self.ran_out(started, report) {
                return;
            }
            self.reconcile(*id, report).await;
        }
    }

    async fn reconcile(&self, id: GrantId, report: &mut ActivateReport) {
        report.n_due = report.n_due.saturating_add(1);
        if let Err(left) = self.step(id).await {
            report.n_left = report.n_left.saturating_add(1);
            tracing::warn!(grant.id = %id, reason = %left, "left an attachment to a later pass");
        }
    }

    async fn step(&self, id: GrantId) -> Result<(), Left> {
        let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(()) };
        let Some(target) = AttachmentTarget::of(&grant) else { return Ok(()) };
        let now = self.ports.clock.now();
        match &grant.state {
            State::Approved { starts_at, start_by } if now >= *starts_at && now < *start_by => {
                self.attempt(grant, &target).await
            }
            State::Activating { retry_at: Some(at), start_by, deadline, .. } => {
                if now >= *start_by.min(deadline) {
                    return self.fail(&grant, "no attempt was made before the start-by time").await;
                }
                if now >= *at { self.attempt(grant, &target).await } else { Ok(()) }
            }
            State::Activating { .. } => self.settle(&grant, &target).await,
            State::Denied { .. }
            | State::ApprovalAwaited { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. }
            | State::Approved { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Ended { .. } => Ok(()),
        }
    }

    /// Makes one attempt: check, record, check again, call, read back.
    async fn attempt(&self, grant: Grant, target: &AttachmentTarget) -> Result<(), Left> {
        let stored = if let State::Activating { deadline, .. } = &grant.state { Some(*deadline) } else { None };
        // 1. Check decision, single use, blocks and the issuance gate; then the principal. AWS is not changed yet.
        let Permitted { template, issuance_policy } = self.checks.permitted(&grant).await?;
        self.checks.activation(&grant, stored).await?;
        self.checks.clear(&grant, issuance_policy, self.ports.clock.now()).await?;
        let (Delivery::Inline { principal_arn, .. } | Delivery::Managed { principal_arn, .. }) = &grant.delivery else {
            return Ok(());
        };
        let holders_before = self.holders(target).await?;
        let principal = self.ports.principals.principal(principal_arn).await?;
        // Holders are read before and after the principal. A grant whose policy the principal shows joined before the
        // first reading and leaves after the second.
        let holders = self.holders(target).await?;
        if holders_before != holders {
            return Err(Left::Wait("the holders of the policy changed while the principal was read".to_owned()));
        }
        let now = self.ports.clock.now();
        if !issuance_policy.while_overdue {
            self.check_none_overdue(&grant, principal_arn, &principal, now).await?;
        }
        let deadline = stored.unwrap_or_else(|| grant.deadline_if_activated(now));
        let plan = template.attachment(deadline, grant.term, grant.bounds.skew_s);
        let plan = plan.map_err(|error| PreflightFailure::Permanent(error.to_string())).and_then(|plan| {
            let boundary = self.deployment.boundary_arn();
            let preflight = Preflight { grant: &grant, principal: &principal, boundary: &boundary, now };
            preflight.check(&template, target, &plan, holders.as_ref()).map(|items| (plan, items))
        });
        let (plan, joined) = match (plan, stored) {
            (Ok(preflight), _) => preflight,
            (Err(PreflightFailure::Retryable(reason)), _) => return Err(Left::Wait(reason)),
            (Err(PreflightFailure::Permanent(problem)), Some(_)) => return self.fail(&grant, &problem).await,
            (Err(PreflightFailure::Permanent(problem)), None) => {
                let event = Event::PreflightRefused { problem: Problem::from(problem) };
                self.journal.record(&grant, &event, None, Vec::new(), now).await?;
                return Ok(());
            }
        };
        // INVARIANT: recorded first. 2. Deadline, fence, plan and previous state are stored before the call.
        let fence = grant.bounds.fence(now);
        let others = holders.is_some_and(|holders| !holders.others(grant.id).is_empty());
        let before = if others { Before::HeldByGrants } else { Before::Absent };
        let event = Event::ActivationRecorded { fence, plan_digest: plan.digest(), before };
        // INVARIANT: one decision, one activation.
        let items = match stored {
            None => {
                let activation = TransactionItem::Activation(Activation { id: grant.id, deadline });
                [activation, TransactionItem::Backstop(TtlBackstop::of(grant.id, deadline))]
                    .into_iter()
                    .chain(joined)
                    .collect()
            }
            Some(_) => Vec::new(),
        };
        let Some(grant) = self.journal.record(&grant, &event, None, items, now).await? else { return Ok(()) };
        // 3. Re-read blocks and reaper health: this reading sees a stop that the first one missed.
        if let Err(refusal) = self.checks.clear(&grant, issuance_policy, self.ports.clock.now()).await {
            return self.not_done(&grant, &refusal.to_string()).await;
        }
        // The fence allows one call's time up to here; a call started later might take effect after it.
        let called_at = self.ports.clock.now();
        if called_at > now.plus(grant.bounds.call_s) || called_at >= deadline {
            return self.not_done(&grant, "recording took longer than the fence allows: no call was made").await;
        }
        // 4. Call AWS.
        match self.ports.provisioner.attach(&plan).await {
            Ok(()) | Err(PortError::Unknown { .. } | PortError::Unreadable { .. }) => {}
            Err(error @ (PortError::NotDone { .. } | PortError::Conflict { .. })) => {
                return self.not_done(&grant, &error.chain()).await;
            }
            Err(error @ PortError::Refused { .. }) => return self.fail(&grant, &error.chain()).await,
        }
        // 5. Read back: a lost answer is unknown, and an answer does not prove presence.
        self.settle(&grant, target).await
    }

    /// Reads what the last attempt did. An absence before the fence is not conclusive.
    async fn settle(&self, grant: &Grant, target: &AttachmentTarget) -> Result<(), Left> {
        let State::Activating { plan_digest, fence, .. } = &grant.state else { return Ok(()) };
        let asked_at = self.ports.clock.now();
        let reading = self.ports.principals.read(target).await?;
        let now = self.ports.clock.now();
        let seen = Reading { at: now, request_id: reading.request_id.clone() };
        let event = match reading.against(*plan_digest) {
            AttachmentStatus::Present => Event::PresenceObserved(seen),
            AttachmentStatus::Altered => Event::DriftObserved(seen),
            AttachmentStatus::Absent if asked_at < *fence => return Ok(()),
            AttachmentStatus::Absent => return self.fail(grant, "the attachment was absent after its fence").await,
        };
        // After the deadline the attachment is the reaper's, and so is one that the reaper has taken over meanwhile.
        self.journal.record(grant, &event, None, Vec::new(), now).await?;
        Ok(())
    }

    async fn not_done(&self, grant: &Grant, problem: &str) -> Result<(), Left> {
        let now = self.ports.clock.now();
        let event = Event::AttemptNotDone { problem: Problem::from(problem.to_owned()), next_at: now.plus(RETRY_S) };
        self.journal.record(grant, &event, None, Vec::new(), now).await?;
        Ok(())
    }

    async fn fail(&self, grant: &Grant, problem: &str) -> Result<(), Left> {
        let event = Event::ActivationFailed { problem: Problem::from(problem.to_owned()) };
        self.journal.record(grant, &event, None, Vec::new(), self.ports.clock.now()).await?;
        Ok(())
    }

    /// INVARIANT: an overdue grant that still stands on a principal stops new grants there, even if the reaper's last
    /// pass did not know of it.
    async fn check_none_overdue(
        &self,
        grant: &Grant,
        principal_arn: &str,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<(), Left> {
        let inline = principal.inline.keys().filter_map(|name| self.deployment.grant_of_policy(name));
        let mut ids: BTreeSet<GrantId> = inline.collect();
        for policy_arn in principal.attached.iter().filter(|arn| self.deployment.is_managed(arn)) {
            ids.extend(self.ports.holders.holders_of(principal_arn, policy_arn).await?.holders);
        }
        for id in ids.into_iter().filter(|id| *id != grant.id) {
            let Some(other) = self.ports.reader.grant(id).await? else { continue };
            if other.over_since().is_some_and(|since| is_overdue(since, now, self.overdue_s)) {
                return Err(Left::Wait(format!("grant `{id}` on the same principal is overdue")));
            }
        }
        Ok(())
    }

    async fn holders(&self, target: &AttachmentTarget) -> Result<Option<AttachmentHolders>, Left> {
        let AttachmentTarget::Managed { principal_arn, policy_arn } = target else { return Ok(None) };
        Ok(Some(self.ports.holders.holders_of(principal_arn, policy_arn).await?))
    }
}

impl std::fmt::Debug for Activator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activator").finish_non_exhaustive()
    }
}
