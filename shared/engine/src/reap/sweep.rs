//! The sweep: from AWS's side, independent of every list of the table.
//!
//! AWS is listed first, and what explains it is read after that, consistently: whatever stands was recorded before it was
//! put, so what no live grant explains then is no grant's any more. It is removed and told, whether the table lost its
//! record, was put back to an older one, is empty, or somebody put it there by hand. Nothing of another name is touched.

use std::collections::BTreeMap;

use brevet_domain::count::Count;
use brevet_domain::deny::Denied;
use brevet_domain::finding::{Act, Finding, Told, Why};
use brevet_domain::grant::{EndCause, Event, Grant, Sighting, State};
use brevet_domain::id::GrantId;
use brevet_domain::place::Place;
use brevet_domain::time::Timestamp;

use super::{FoundBy, Look, PassReport, ROLES_AT_ONCE, Reaper, Work, locked, note};
use crate::journal::StepError;
use crate::port::{Estate, Findings, PortError, PortResult};

/// How long after a grant is due every list must have named it, in seconds: far more than an index lags.
pub const LISTED_WITHIN_S: u32 = 60;

/// The ports of the sweep.
#[derive(Clone)]
pub struct Sweep {
    /// What stands in AWS.
    pub estate: std::sync::Arc<dyn Estate>,
    /// Where it is told what was found.
    pub findings: std::sync::Arc<dyn Findings>,
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep").finish_non_exhaustive()
    }
}

impl Reaper {
    /// Sweeps principals, then session roles, until `until`: one for which there was no time is the first of the next tick.
    pub(super) async fn sweep(&self, until: Timestamp, work: &mut Work, report: &mut PassReport) {
        let roles = match self.ports.sweep.estate.roles().await {
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
        let first = locked(&self.next_swept).take().and_then(|next| all.iter().position(|one| *one == next));
        all.rotate_left(first.unwrap_or(0));
        for (is_session, arn) in all {
            if self.ports.clock.now() >= until {
                tracing::warn!(role = arn, "there was no time to sweep every role: the next tick goes on here");
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

    /// Removes what stands on a principal and no live grant explains. One thing that fails keeps no other from going.
    async fn sweep_principal(&self, principal_arn: &str, work: &mut Work, report: &mut PassReport) -> PortResult<()> {
        let standing = self.ports.sweep.estate.standing(principal_arn).await?;
        let mut failed = None;
        for policy_arn in standing.attached.into_iter().filter(|arn| self.deployment.is_managed(arn)) {
            let place = Place::Managed { principal_arn: principal_arn.to_owned(), policy_arn };
            failed = self.sweep_place(place, None, work, report).await.err().or(failed);
        }
        for policy_name in standing.inline {
            if let Some(id) = self.deployment.grant_of_own_policy(&policy_name) {
                let place = Place::Inline { principal_arn: principal_arn.to_owned(), policy_name };
                failed = self.sweep_place(place, Some(id), work, report).await.err().or(failed);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn sweep_place(
        &self,
        place: Place,
        id: Option<GrantId>,
        work: &mut Work,
        report: &mut PassReport,
    ) -> PortResult<()> {
        let Some((why, count)) = self.unexplained(&place, id, work).await? else { return Ok(()) };
        // It may have ended between the list and the record.
        let reading = self.ports.attachments.principals.read(&place).await?;
        if reading.standing.is_none() {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let seen = Sighting { at: now, request_id: reading.request_id };
        tracing::error!(?place, ?why, "found what no live grant explains: it is removed");
        report.n_swept = report.n_swept.saturating_add(1);
        // INVARIANT: recorded first. For a managed policy nobody joins until the call cannot land any more.
        let until = self.bounds.fence(now).plus(self.bounds.skew_s);
        let swept = count.map(|count| count.swept(until));
        let told = Told { place: place.clone(), why: why.clone(), seen, act: Act::RemovalRecorded };
        self.tell_finding(told, swept.as_ref()).await?;
        if self.ports.clock.now() > now.plus(self.bounds.call_s) {
            // A call that is started later than the fence allows for might land after it.
            return Ok(());
        }
        self.ports.attachments.deprovisioner.remove(&place).await?;
        let reading = self.ports.attachments.principals.read(&place).await?;
        if reading.standing.is_none() {
            let seen = Sighting { at: self.ports.clock.now(), request_id: reading.request_id };
            self.tell_finding(Told { place, why, seen, act: Act::GoneObserved }, None).await?;
        }
        Ok(())
    }

    /// Why nothing explains `place`, and the count of who holds it, under which it is removed; nothing if a live grant does.
    async fn unexplained(
        &self,
        place: &Place,
        id: Option<GrantId>,
        work: &mut Work,
    ) -> PortResult<Option<(Why, Option<Count>)>> {
        if let Some(id) = id {
            let grant = self.ports.reader.grant(id).await?;
            let held = grant.as_ref().is_some_and(|grant| holds(place, grant, work));
            return Ok((!held).then(|| (Why::not_held(id, grant.as_ref()), None)));
        }
        let Place::Managed { principal_arn, policy_arn } = place else { return Ok(None) };
        let count = self.ports.attachments.counts.count(principal_arn, policy_arn).await?;
        let mut is_held = false;
        for id in &count.holders {
            is_held |= self.ports.reader.grant(*id).await?.is_some_and(|grant| holds(place, &grant, work));
        }
        Ok((!is_held).then_some((Why::NoHolder, Some(count))))
    }

    /// Looks at what stands in AWS, was due long ago, and was on no list although each was read to its end.
    pub(super) async fn look_at_forgotten(
        &self,
        look: Look<'_>,
        held: BTreeMap<GrantId, Timestamp>,
        work: &mut Work,
        report: &mut PassReport,
    ) {
        for (id, due_at) in held {
            if due_at.plus(LISTED_WITHIN_S) > look.started || work.looked.contains_key(&id) {
                continue;
            }
            if self.ports.clock.now() >= look.started.plus(self.budget_s) {
                report.good = false;
                break;
            }
            tracing::error!(grant.id = %id, %due_at, "a grant whose access stands was due, and on no list");
            let looked = self.look(id, look.known, FoundBy::Sweep).await;
            work.take(looked, report);
        }
    }

    /// Adds to the one chain: roles that are settled at once tell of themselves at once, and of each round one comes through.
    pub(super) async fn tell_finding(&self, told: Told, count: Option<&Count>) -> PortResult<()> {
        let findings = &self.ports.sweep.findings;
        let mut raced = PortError::Conflict { operation: "finding:Next" };
        for _ in 0..=ROLES_AT_ONCE {
            let now = self.ports.clock.now();
            let last = findings.last_finding().await?;
            let unwritable =
                |_| PortError::Unreadable { operation: "finding:Next", what: "no canonical form".to_owned() };
            let id = self.ports.ids.evidence_id(now);
            let next = Finding::next(last.as_ref(), id, told.clone(), now).map_err(unwritable)?;
            match findings.add_finding(&next, count).await {
                Err(error @ PortError::Conflict { .. }) => raced = error,
                answer => return answer,
            }
        }
        Err(raced)
    }

    /// Lets a role with a reserved deny be settled, whether or not the table has entries for it, and one that needs a deny of
    /// what is void since the table was confirmed. A grant that lives by the table, and whose session AWS denies, was ended: the
    /// table has forgotten it, and it ends once more.
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
        tracing::error!(grant.id = %id, "a grant that was ended before lives by the table: it ends once more");
        let now = self.ports.clock.now();
        let event = Event::Stopped { cause: EndCause::Drift, by: None, fence: now.plus(grant.bounds.landing_s()) };
        let also = self.also_denied(&grant, &event, now);
        let mut part = PassReport::begun(FoundBy::Sweep);
        let ended = self.advance(grant, &event, also, now, &mut part).await;
        report.add(part);
        ended.map(drop)
    }
}

/// Whether `grant` explains what stands at `place`; since when it is due is kept in mind.
fn holds(place: &Place, grant: &Grant, work: &mut Work) -> bool {
    let is_held = place.is_held_by(grant);
    if let Some(due_at) = grant.due_at().filter(|_| is_held) {
        work.held.insert(grant.id, due_at);
    }
    is_held
}
