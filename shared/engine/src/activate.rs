//! What `issue` does with attachments: make what was decided stand on its principal, and see that it does.
//!
//! The to-do list or the stream names a grant; the stored grant and decision say what to do. Nothing else is believed.

use std::sync::Arc;

use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::grant::{Before, Delivery, DueRole, Event, Grant, Problem, Sighting, State};
use brevet_domain::id::GrantId;
use brevet_domain::plan::{AttachmentPlan, PlanTemplate};
use brevet_domain::settings::Deployment;
use serde::Serialize;

use crate::checks::Checks;
use crate::journal::{Journal, StepError};
use crate::port::{
    Activation, Also, Clock, DueList, GrantReader, GrantStore, IdSource, Place, PortError, Principal, Principals,
    Provisioner, SHARDS, Seen,
};
use crate::refusal::Refusal;

/// How many lines of the to-do list are read at once.
const PAGE: u32 = 100;
/// How long after an attempt that was surely not made the next may be made, in seconds.
const RETRY_S: u32 = 5;

/// The ports of the activation.
#[derive(Clone)]
pub struct Ports {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// The to-do list.
    pub due: Arc<dyn DueList>,
    /// Reads attachment principals.
    pub principals: Arc<dyn Principals>,
    /// Attaches to them.
    pub provisioner: Arc<dyn Provisioner>,
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
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ActivateReport {
    /// Grants that were looked at.
    pub n_due: u32,
    /// Grants that were left to a later look: blocked, too early, raced, or something did not answer.
    pub n_left: u32,
    /// Whether every shard was read.
    pub good: bool,
}

/// Why a grant was left to a later look.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<PortError> for Left {
    fn from(error: PortError) -> Self {
        Self::Step(StepError::Port(error))
    }
}

impl Activator {
    /// Wires the use case to its ports.
    #[must_use]
    pub fn new(ports: Ports, deployment: Deployment, heart_max_age_s: u32) -> Self {
        let checks = Checks::new(Arc::clone(&ports.reader), heart_max_age_s);
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "issue");
        Self { ports, checks, journal, deployment }
    }

    /// Looks at everything on issue's to-do list. One grant's failure stops nothing.
    pub async fn pass(&self) -> ActivateReport {
        let mut report = ActivateReport { good: true, ..ActivateReport::default() };
        let started = self.ports.clock.now();
        for shard in 0..SHARDS {
            let mut cursor: Option<String> = None;
            loop {
                match self.ports.due.due(DueRole::Issue, shard, started, cursor.as_deref(), PAGE).await {
                    Ok(page) => {
                        for line in &page.lines {
                            self.look(line.id, &mut report).await;
                        }
                        cursor = page.next;
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
        for id in ids {
            self.look(*id, &mut report).await;
        }
        report
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
        let template = self.checks.permitted(&grant).await?;
        self.checks.activation(&grant, stored).await?;
        self.checks.clear(&grant, self.ports.clock.now()).await?;
        let (Delivery::Inline { principal_arn, .. } | Delivery::Managed { principal_arn, .. }) = &grant.delivery else {
            return Ok(());
        };
        let principal = self.ports.principals.principal(principal_arn).await?;
        let now = self.ports.clock.now();
        let deadline = stored.unwrap_or_else(|| grant.deadline_if_activated(now));
        let plan = template.attachment(deadline, grant.term, grant.bounds.skew_s).map_err(|error| error.to_string());
        let plan = plan.and_then(|plan| self.fit(&grant, &template, &principal, place, &plan).map(|()| plan));
        let plan = match (plan, stored) {
            (Ok(plan), _) => plan,
            (Err(problem), Some(_)) => return self.fail(&grant, &problem).await,
            (Err(problem), None) => {
                let event = Event::PreflightRefused { problem: Problem::from(problem) };
                self.journal.record(&grant, &event, None, Vec::new(), now).await?;
                return Ok(());
            }
        };
        // INVARIANT: recorded first. 2. Deadline, fence, plan and what stood before are stored before the call.
        let fence = grant.bounds.fence(now);
        let event = Event::ActivationRecorded { fence, plan_digest: plan.digest(), before: Before::Absent };
        // INVARIANT: one decision, one activation.
        let also = match stored {
            None => vec![Also::Activation(Activation { id: grant.id, deadline })],
            Some(_) => Vec::new(),
        };
        let Some(grant) = self.journal.record(&grant, &event, None, also, now).await? else { return Ok(()) };
        // 3. Blocks and heart again: a stop that the first reading missed is seen by this one.
        if let Err(refusal) = self.checks.clear(&grant, self.ports.clock.now()).await {
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

    /// Whether the principal is fit for it: boundary, no inline Deny, its holder, nothing unexplained, quota.
    fn fit(
        &self,
        grant: &Grant,
        template: &PlanTemplate,
        principal: &Principal,
        place: &Place,
        plan: &AttachmentPlan,
    ) -> Result<(), String> {
        let (PlanTemplate::Inline(inline), AttachmentPlan::Inline { document, .. }) = (template, plan) else {
            return Err("managed policies cannot be attached by this version".to_owned());
        };
        if Place::of(grant).as_ref() != Some(place) || plan.principal_arn() != inline.principal_arn {
            return Err("the grant names another place than its decision".to_owned());
        }
        if !inline.holder.admits(&grant.identity) {
            return Err(format!("the principal is held by somebody else than `{}`", grant.identity));
        }
        let boundary = self.deployment.boundary_arn();
        if principal.boundary_arn.as_ref() != Some(&boundary) {
            return Err(format!("the principal does not carry the permissions boundary `{boundary}`"));
        }
        if let Some((name, _)) = principal.inline.iter().find(|(_, document)| may_deny(document)) {
            return Err(format!("its inline policy `{name}` holds a Deny, which a put could overwrite"));
        }
        if principal.inline.contains_key(&inline.policy_name) && matches!(grant.state, State::Approved { .. }) {
            return Err(format!("an inline policy `{}` stands that nothing explains", inline.policy_name));
        }
        let others = principal.inline.iter().filter(|(name, _)| **name != inline.policy_name);
        let used = others.map(|(_, document)| size(document)).fold(size(document), usize::saturating_add);
        if used > MAX_ROLE_INLINE {
            return Err(format!("its inline policies would have {used} characters; IAM takes {MAX_ROLE_INLINE}"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Activator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activator").finish_non_exhaustive()
    }
}

/// Characters as IAM counts them: white space left out.
fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// Whether a document holds anything but Allows. One that cannot be read may.
fn may_deny(document: &str) -> bool {
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let statements = match parsed.get("Statement") {
        Some(serde_json::Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => return true,
    };
    statements.iter().any(|one| one.get("Effect").and_then(|effect| effect.as_str()) != Some("Allow"))
}
