//! The sweep: starts from AWS's side, independent of every list of the table.
//!
//! The sweep lists the policies in AWS first, and then reads the grants that explain them, consistently. Since every
//! policy is recorded before it is put, one that no live grant explains then belongs to no grant any more. The sweep
//! records a finding and removes the policy, whether the table lost its record, was restored, is empty, or somebody put
//! the policy by hand. It touches only names of this installation.

use std::collections::BTreeMap;

use brevet_domain::attachment_target::AttachmentTarget;
use brevet_domain::deny::Denied;
use brevet_domain::finding::{Finding, FindingAction, FindingReason, NewFinding};
use brevet_domain::grant::{EndCause, Event, Grant, Reading, State};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{FoundBy, PassContext, PassReport, ROLES_AT_ONCE, Reaper, Work, locked, note};
use crate::journal::StepError;
use crate::port::{AccountListing, Findings, PortError, PortResult};

/// How long after a grant is due its list must have named it, in seconds: far longer than an index lags.
pub const LISTED_WITHIN_S: u32 = 60;

/// The ports of the sweep.
#[derive(Clone)]
pub struct Sweep {
    /// Lists roles and policies in AWS.
    pub listing: std::sync::Arc<dyn AccountListing>,
    /// The chain of findings.
    pub findings: std::sync::Arc<dyn Findings>,
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep").finish_non_exhaustive()
    }
}

impl Reaper {
    /// Sweeps principals, then session roles, until `until`. The next tick starts with the first role that was left.
    pub(super) async fn sweep(&self, until: Timestamp, work: &mut Work, report: &mut PassReport) {
        let roles = match self.ports.sweep.listing.roles().await {
            Ok(roles) => roles,
            Err(error) => {
                report.n_failed = report.n_failed.saturating_add(1);
                tracing::error!(problem = error.chain(), "the roles of this installation could not be listed");
                return;
            }
        };
        let mut is_whole = true;
        let principals = roles.attachment.into_iter().map(|arn| (false, arn));
        let mut all: Vec<_> = principals.chain(roles.session.into_iter().map(|arn| (true, arn))).collect();
        let first = locked(&self.next_swept).take().and_then(|next| all.iter().position(|role| *role == next));
        all.rotate_left(first.unwrap_or(0));
        for (is_session, arn) in all {
            if self.ports.clock.now() >= until {
                tracing::warn!(role = arn, "there was no time to sweep every role: the next tick starts with this one");
                *locked(&self.next_swept) = Some((is_session, arn));
                is_whole = false;
                break;
            }
            let swept = match is_session {
                true => self.sweep_session_role(&arn, work, report).await,
                false => self.sweep_principal(&arn, work, report).await,
            };
            if let Err(error) = swept {
                report.n_failed = report.n_failed.saturating_add(1);
                tracing::error!(role = arn, problem = error.chain(), "a role could not be swept");
                is_whole = false;
            }
        }
        report.swept = is_whole;
    }

    /// Removes policies from a principal that no live grant explains. A failure with one does not hold up the others.
    async fn sweep_principal(&self, principal_arn: &str, work: &mut Work, report: &mut PassReport) -> PortResult<()> {
        let standing = self.ports.sweep.listing.standing(principal_arn).await?;
        let mut failed = None;
        for policy_arn in standing.attached.into_iter().filter(|arn| self.deployment.is_managed(arn)) {
            let target = AttachmentTarget::Managed { principal_arn: principal_arn.to_owned(), policy_arn };
            failed = self.sweep_target(target, None, work, report).await.err().or(failed);
        }
        for policy_name in standing.inline {
            if let Some(id) = self.deployment.grant_of_own_policy(&policy_name) {
                let target = AttachmentTarget::Inline { principal_arn: principal_arn.to_owned(), policy_name };
                failed = self.sweep_target(target, Some(id), work, report).await.err().or(failed);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn sweep_target(
        &self,
        target: AttachmentTarget,
        id: Option<GrantId>,
        work: &mut Work,
        report: &mut PassReport,
    ) -> PortResult<()> {
        let Some((reason, holders)) = self.unexplained(&target, id, work).await? else { return Ok(()) };
        // The policy may have been removed between the listing and the reading of its grant.
        let reading = self.ports.attachments.principals.read(&target).await?;
        if reading.standing.is_none() {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let seen = Reading { at: now, request_id: reading.request_id };
        tracing::error!(?target, ?reason, "found a policy that no live grant explains: it is removed");
        report.n_swept = report.n_swept.saturating_add(1);
        // INVARIANT: recorded first. No grant joins a managed policy until the call cannot take effect any more.
        let until = self.bounds.fence(now).plus(self.bounds.skew_s);
        let swept = holders.map(|holders| holders.swept(until));
        let finding = NewFinding {
            target: target.clone(),
            reason: reason.clone(),
            reading: seen,
            action: FindingAction::RemovalRecorded,
        };
        self.record_finding(finding, swept.as_ref()).await?;
        if self.ports.clock.now() > now.plus(self.bounds.call_s) {
            // A call started later than the fence allows might take effect after it.
            return Ok(());
        }
        self.ports.attachments.deprovisioner.remove(&target).await?;
        let reading = self.ports.attachments.principals.read(&target).await?;
        if reading.standing.is_none() {
            let seen = Reading { at: self.ports.clock.now(), request_id: reading.request_id };
            self.record_finding(
                NewFinding { target, reason, reading: seen, action: FindingAction::GoneObserved },
                None,
            )
            .await?;
        }
        Ok(())
    }

    /// Why no live grant explains `target`, with the recorded holders under which it is removed. `None` if a live
    /// grant explains it.
    async fn unexplained(
        &self,
        target: &AttachmentTarget,
        id: Option<GrantId>,
        work: &mut Work,
    ) -> PortResult<Option<(FindingReason, Option<AttachmentHolders>)>> {
        if let Some(id) = id {
            let grant = self.ports.reader.grant(id).await?;
            let held = grant.as_ref().is_some_and(|grant| explains(target, grant, work));
            return Ok((!held).then(|| (FindingReason::not_held(id, grant.as_ref()), None)));
        }
        let AttachmentTarget::Managed { principal_arn, policy_arn } = target else { return Ok(None) };
        let holders = self.ports.attachments.holders.holders_of(principal_arn, policy_arn).await?;
        let mut is_held = false;
        for id in &holders.holders {
            is_held |= self.ports.reader.grant(*id).await?.is_some_and(|grant| explains(target, &grant, work));
        }
        Ok((!is_held).then_some((FindingReason::NoHolder, Some(holders))))
    }

    /// Reconciles grants whose access stands in AWS, that were due long ago, and that no list named although each was
    /// read to its end.
    pub(super) async fn reconcile_unlisted(
        &self,
        context: PassContext<'_>,
        held: BTreeMap<GrantId, Timestamp>,
        work: &mut Work,
        report: &mut PassReport,
    ) {
        for (id, due_at) in held {
            if due_at.plus(LISTED_WITHIN_S) > context.started || work.reconciled.contains_key(&id) {
                continue;
            }
            if self.ports.clock.now() >= context.started.plus(self.budget_s) {
                report.good = false;
                break;
            }
            tracing::error!(grant.id = %id, %due_at, "a grant whose access stands was due, but no list named it");
            let outcome = self.reconcile(id, context.bundle, FoundBy::Sweep).await;
            work.take(outcome, report);
        }
    }

    /// Adds a finding to the one chain. Roles that are settled concurrently race, and one of them succeeds in each
    /// round.
    pub(super) async fn record_finding(&self, new: NewFinding, holders: Option<&AttachmentHolders>) -> PortResult<()> {
        let findings = &self.ports.sweep.findings;
        let mut raced = PortError::Conflict { operation: "finding:Next" };
        for _ in 0..=ROLES_AT_ONCE {
            let now = self.ports.clock.now();
            let last = findings.last_finding().await?;
            let unwritable =
                |_| PortError::Unreadable { operation: "finding:Next", what: "no canonical form".to_owned() };
            let id = self.ports.ids.evidence_id(now);
            let next = Finding::next(last.as_ref(), id, new.clone(), now).map_err(unwritable)?;
            match findings.add_finding(&next, holders).await {
                Err(error @ PortError::Conflict { .. }) => raced = error,
                answer => return answer,
            }
        }
        Err(raced)
    }

    /// Queues a role for settling if it has a reserved deny, or if the table's confirmation requires one. A grant that is live in the table although AWS denies its session was ended
    /// before: the table lost that, and the grant ends again.
    async fn sweep_session_role(&self, role_arn: &str, work: &mut Work, report: &mut PassReport) -> PortResult<()> {
        let reading = self.ports.roles.read_deny(role_arn, &self.deployment.deny_policy_name()).await?;
        let is_cut = |document: &str| Denied::read(document).cut >= self.void_before(self.ports.clock.now());
        let Some(document) = reading.document else {
            if !is_cut("") {
                work.roles.entry(role_arn.to_owned()).or_default();
            }
            return Ok(());
        };
        let entries = self.ports.deny.entries(role_arn).await?;
        let mut names = Denied::read(&document).names;
        for entry in &entries {
            names.remove(&entry.session_name);
        }
        for id in names.iter().filter_map(|name| self.deployment.grant_of_session(name)) {
            if let Err(error) = self.end_again(id, report).await {
                note(id, &error, report);
            }
        }
        work.roles.entry(role_arn.to_owned()).or_default();
        Ok(())
    }

    async fn end_again(&self, id: GrantId, report: &mut PassReport) -> Result<(), StepError> {
        let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(()) };
        if grant.state.is_terminal() || matches!(grant.state, State::Revoking(_)) {
            return Ok(());
        }
        tracing::error!(grant.id = %id, "a grant that was ended before is live in the table: it ends again");
        let now = self.ports.clock.now();
        let event = Event::Stopped { cause: EndCause::Drift, by: None, fence: now.plus(grant.bounds.landing_s()) };
        let items = self.deny_items(&grant, &event, now);
        let mut part = PassReport::begun(FoundBy::Sweep);
        let ended = self.advance(grant, &event, items, now, &mut part).await;
        report.add(part);
        ended.map(drop)
    }
}

/// Whether `grant` explains the policy at `target`. If so, notes since when the grant is due.
fn explains(target: &AttachmentTarget, grant: &Grant, work: &mut Work) -> bool {
    let is_held = target.is_held_by(grant);
    if let Some(due_at) = grant.due_at().filter(|_| is_held) {
        work.held.insert(grant.id, due_at);
    }
    is_held
}
