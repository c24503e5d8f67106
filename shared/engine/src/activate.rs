//! What `issue` does with attachments: make what was decided stand on its principal, and see that it does.
//!
//! The to-do list or the stream names a grant; the stored grant and decision say what to do. Nothing else is believed.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::count::Count;
use brevet_domain::grant::{Before, Delivery, DueRole, Event, Grant, Problem, Sighting, State};
use brevet_domain::heart::{Tolerance, is_overdue};
use brevet_domain::id::GrantId;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::checks::{Checks, Permitted};
use crate::journal::{Journal, StepError};
use crate::port::{
    Activation, Also, Clock, Counts, DueList, Fuse, GrantReader, GrantStore, IdSource, InService, Place, PortError,
    Principal, Principals, Provisioner, Seen, shards_at,
};
use crate::refusal::Refusal;

mod fit;

use fit::{Fit, Unfit};

/// How many lines of the to-do list are read at once.
const PAGE: u32 = 100;
/// How long after an attempt that was surely not made the next may be made, in seconds.
const RETRY_S: u32 = 5;

/// The ports of the activation.
#[derive(Clone)]
pub struct Ports {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// The bundle in force.
    pub catalogue: Arc<Catalogue>,
    /// Which table this is.
    pub service: Arc<dyn InService>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// The to-do list.
    pub due: Arc<dyn DueList>,
    /// Reads attachment principals.
    pub principals: Arc<dyn Principals>,
    /// Attaches to them.
    pub provisioner: Arc<dyn Provisioner>,
    /// Who holds managed policies on them.
    pub counts: Arc<dyn Counts>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Names for evidence.
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
    /// How long an end may take until its grant is overdue, in seconds.
    overdue_s: u32,
    /// How long one pass may begin new looks, in seconds; what is left is done by the next tick.
    budget_s: u32,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ActivateReport {
    /// Grants that were looked at.
    pub n_due: u32,
    /// Grants that were left to a later look: blocked, too early, raced, or something did not answer.
    pub n_left: u32,
    /// Whether every shard was read to its end.
    pub good: bool,
}

/// Why a grant was left to a later look.
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
    pub fn new(ports: Ports, deployment: Deployment, tolerance: Tolerance, budget_s: u32) -> Self {
        let (reader, catalogue) = (Arc::clone(&ports.reader), Arc::clone(&ports.catalogue));
        let checks = Checks::new(reader, catalogue, Arc::clone(&ports.service), tolerance);
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "issue");
        Self { ports, checks, journal, deployment, overdue_s: tolerance.overdue_s, budget_s }
    }

    /// Looks at everything on issue's to-do list. One grant's failure stops nothing.
    pub async fn pass(&self) -> ActivateReport {
        let mut report = ActivateReport { good: true, ..ActivateReport::default() };
        let started = self.ports.clock.now();
        for shard in shards_at(started) {
            let mut cursor: Option<String> = None;
            loop {
                match self.ports.due.due(DueRole::Issue, shard, started, cursor.as_deref(), PAGE).await {
                    Ok(page) => {
                        let ids: Vec<_> = page.lines.iter().map(|line| line.id).collect();
                        self.look_at(&ids, started, &mut report).await;
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

    /// Looks at `ids` at once: the stream named them.
    pub async fn wake(&self, ids: &[GrantId]) -> ActivateReport {
        let mut report = ActivateReport { good: true, ..ActivateReport::default() };
        self.look_at(ids, self.ports.clock.now(), &mut report).await;
        report
    }

    /// Whether its time is up while something is left: then the pass is no good one.
    fn ran_out(&self, started: Timestamp, report: &mut ActivateReport) -> bool {
        let is_over = self.ports.clock.now() >= started.plus(self.budget_s);
        if is_over {
            tracing::warn!("ran out of time: the next tick goes on");
            report.good = false;
        }
        is_over
    }

    /// Bounded by its own deadline: what it has no time for stays on the list, and the next tick goes on.
    async fn look_at(&self, ids: &[GrantId], started: Timestamp, report: &mut ActivateReport) {
        for id in ids {
            if self.ran_out(started, report) {
                return;
            }
            self.look(*id, report).await;
        }
    }

    async fn look(&self, id: GrantId, report: &mut ActivateReport) {
        report.n_due = report.n_due.saturating_add(1);
        if let Err(left) = self.step(id).await {
            report.n_left = report.n_left.saturating_add(1);
            tracing::warn!(grant.id = %id, reason = %left, "left an attachment to a later look");
        }
    }

    async fn step(&self, id: GrantId) -> Result<(), Left> {
        let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(()) };
        let Some(place) = Place::of(&grant) else { return Ok(()) };
        let now = self.ports.clock.now();
        match &grant.state {
            State::Approved { starts_at, start_by } if now >= *starts_at && now < *start_by => {
                self.attempt(grant, &place).await
            }
            State::Activating { retry_at: Some(at), start_by, deadline, .. } => {
                if now >= *start_by.min(deadline) {
                    return self.fail(&grant, "no attempt was made before its start-by").await;
                }
                if now >= *at { self.attempt(grant, &place).await } else { Ok(()) }
            }
            State::Activating { .. } => self.settle(&grant, &place).await,
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

    /// One attempt: checked, recorded, checked again, called, read back.
    async fn attempt(&self, grant: Grant, place: &Place) -> Result<(), Left> {
        let stored = if let State::Activating { deadline, .. } = &grant.state { Some(*deadline) } else { None };
        // 1. The decision, its one use, blocks and heart; then the principal, before anything is touched.
        let Permitted { template, tolerance } = self.checks.permitted(&grant).await?;
        self.checks.activation(&grant, stored).await?;
        self.checks.clear(&grant, tolerance, self.ports.clock.now()).await?;
        let (Delivery::Inline { principal_arn, .. } | Delivery::Managed { principal_arn, .. }) = &grant.delivery else {
            return Ok(());
        };
        let before = self.count(place).await?;
        let principal = self.ports.principals.principal(principal_arn).await?;
        // Read around the principal: whoever attached what it shows was counted before, and leaves after.
        let count = self.count(place).await?;
        if before != count {
            return Err(Left::Wait("the holders of the policy changed a moment ago".to_owned()));
        }
        let now = self.ports.clock.now();
        if !tolerance.while_overdue {
            self.nothing_overdue(&grant, principal_arn, &principal, now).await?;
        }
        let deadline = stored.unwrap_or_else(|| grant.deadline_if_activated(now));
        let plan = template.attachment(deadline, grant.term, grant.bounds.skew_s);
        let plan = plan.map_err(|error| Unfit::Ever(error.to_string())).and_then(|plan| {
            let boundary = self.deployment.boundary_arn();
            let fit = Fit { grant: &grant, principal: &principal, boundary: &boundary, now };
            fit.check(&template, place, &plan, count.as_ref()).map(|also| (plan, also))
        });
        let (plan, joined) = match (plan, stored) {
            (Ok(fit), _) => fit,
            (Err(Unfit::Yet(reason)), _) => return Err(Left::Wait(reason)),
            (Err(Unfit::Ever(problem)), Some(_)) => return self.fail(&grant, &problem).await,
            (Err(Unfit::Ever(problem)), None) => {
                let event = Event::PreflightRefused { problem: Problem::from(problem) };
                self.journal.record(&grant, &event, None, Vec::new(), now).await?;
                return Ok(());
            }
        };
        // INVARIANT: recorded first. 2. Deadline, fence, plan and what stood before are stored before the call.
        let fence = grant.bounds.fence(now);
        let others = count.is_some_and(|count| !count.others(grant.id).is_empty());
        let before = if others { Before::HeldByGrants } else { Before::Absent };
        let event = Event::ActivationRecorded { fence, plan_digest: plan.digest(), before };
        // INVARIANT: one decision, one activation.
        let also = match stored {
            None => {
                let activation = Also::Activation(Activation { id: grant.id, deadline });
                [activation, Also::Fuse(Fuse::of(grant.id, deadline))].into_iter().chain(joined).collect()
            }
            Some(_) => Vec::new(),
        };
        let Some(grant) = self.journal.record(&grant, &event, None, also, now).await? else { return Ok(()) };
        // 3. Blocks and heart again: a stop that the first reading missed is seen by this one.
        if let Err(refusal) = self.checks.clear(&grant, tolerance, self.ports.clock.now()).await {
            return self.not_done(&grant, &refusal.to_string()).await;
        }
        // The fence allows one call's time for getting here; a call started later might land after it.
        let called_at = self.ports.clock.now();
        if called_at > now.plus(grant.bounds.call_s) || called_at >= deadline {
            return self.not_done(&grant, "recording took too long for the call still to be made in time").await;
        }
        // 4. Only now the call.
        match self.ports.provisioner.attach(&plan).await {
            Ok(()) | Err(PortError::Unknown { .. } | PortError::Unreadable { .. }) => {}
            Err(error @ (PortError::NotDone { .. } | PortError::Conflict { .. })) => {
                return self.not_done(&grant, &error.chain()).await;
            }
            Err(error @ PortError::Refused { .. }) => return self.fail(&grant, &error.chain()).await,
        }
        // 5. Read back: a lost answer is unknown, and an answer is no presence.
        self.settle(&grant, place).await
    }

    /// What the last attempt did, by reading. An absence before the fence says nothing yet.
    async fn settle(&self, grant: &Grant, place: &Place) -> Result<(), Left> {
        let State::Activating { plan_digest, fence, .. } = &grant.state else { return Ok(()) };
        let asked_at = self.ports.clock.now();
        let reading = self.ports.principals.read(place).await?;
        let now = self.ports.clock.now();
        let seen = Sighting { at: now, request_id: reading.request_id.clone() };
        let event = match reading.against(*plan_digest) {
            Seen::Present => Event::PresenceObserved(seen),
            Seen::Altered => Event::DriftObserved(seen),
            Seen::Absent if asked_at < *fence => return Ok(()),
            Seen::Absent => return self.fail(grant, "it was not there past its fence").await,
        };
        // What is there past the deadline is the reaper's, and so is what it took over meanwhile.
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

    /// INVARIANT: a grant that is overdue and still stands there stops new ones on its own principal, also where the
    /// reaper's last pass did not know of it.
    async fn nothing_overdue(
        &self,
        grant: &Grant,
        principal_arn: &str,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<(), Left> {
        let inline = principal.inline.keys().filter_map(|name| self.deployment.grant_of_policy(name));
        let mut ids: BTreeSet<GrantId> = inline.collect();
        for policy_arn in principal.attached.iter().filter(|arn| self.deployment.is_managed(arn)) {
            ids.extend(self.ports.counts.count(principal_arn, policy_arn).await?.holders);
        }
        for id in ids.into_iter().filter(|id| *id != grant.id) {
            let Some(other) = self.ports.reader.grant(id).await? else { continue };
            if other.over_since().is_some_and(|since| is_overdue(since, now, self.overdue_s)) {
                return Err(Left::Wait(format!("grant `{id}` on the same principal is overdue")));
            }
        }
        Ok(())
    }

    async fn count(&self, place: &Place) -> Result<Option<Count>, Left> {
        let Place::Managed { principal_arn, policy_arn } = place else { return Ok(None) };
        Ok(Some(self.ports.counts.count(principal_arn, policy_arn).await?))
    }
}

impl std::fmt::Debug for Activator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activator").finish_non_exhaustive()
    }
}
