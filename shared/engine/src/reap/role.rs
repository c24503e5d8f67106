//! The reserved deny of one session role. The reaper writes it for an early end, reads it back, and removes entries
//! that are no longer needed.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use brevet_domain::attachment_target::AttachmentTarget;
use brevet_domain::canonical::Digest;
use brevet_domain::deny::{Denied, DenyEntry};
use brevet_domain::finding::{FindingAction, FindingReason, NewFinding};
use brevet_domain::grant::{Delivery, Event, Grant, Problem, Reading, Revoking, State};
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::LateGrant;
use brevet_domain::time::Timestamp;
use futures_util::stream::{self, StreamExt as _};

use super::{PassReport, RECORDED_AT_ONCE, Reaper, note};
use crate::journal::StepError;
use crate::port::{DenyReading, PortError, PortResult};

/// The shortest wait before a grant is retried after a failed removal, in seconds.
pub(super) const RETRY_S: u32 = 5;
/// The longest wait, in seconds.
const RETRY_MAX_S: u32 = 60;

/// A reading of the reserved deny, with the times of the call.
pub(super) struct DenyReadAt {
    reading: DenyReading,
    asked_at: Timestamp,
    answered_at: Timestamp,
}

impl DenyReadAt {
    /// The reading as evidence for a grant. A first absence counts from the answer of the call, any other from its
    /// start. So the fence and the quiet period are never shorter than recorded, however slow a call was.
    fn reading(&self, revoking: &Revoking) -> Reading {
        let at = if revoking.first_absence.is_none() { self.answered_at } else { self.asked_at };
        Reading { at, request_id: self.reading.request_id.clone() }
    }

    fn denied(&self) -> Denied {
        self.reading.document.as_deref().map(Denied::read).unwrap_or_default()
    }
}

impl Reaper {
    /// Brings the deny of `role` in line with its entries, then records on `grants` what was read back.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the role could not be settled; the failure is recorded on its grants.
    pub(super) async fn settle_role(&self, role: &str, grants: Vec<Grant>, report: &mut PassReport) -> PortResult<()> {
        let settled = self.under_lease(role, report).await;
        let (reading, now) = (settled.as_ref(), self.ports.clock.now());
        let begun = PassReport::begun(report.found_by);
        let recorded = stream::iter(grants).map(|grant| self.record_settled(grant, reading, now, begun.clone()));
        report.add_all(recorded.buffer_unordered(RECORDED_AT_ONCE)).await;
        settled.map(drop)
    }

    /// Records on the latest version of `grant`, because settling the role may have written to its chain.
    async fn record_settled(
        &self,
        grant: Grant,
        settled: Result<&DenyReadAt, &PortError>,
        now: Timestamp,
        begun: PassReport,
    ) -> PassReport {
        let (id, late, mut report) = (grant.id, LateGrant::of(&grant, now), begun);
        let recorded = match self.ports.reader.grant(id).await {
            Ok(Some(grant)) => self.record_reading(grant, settled, now, &mut report).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = recorded {
            note(id, &error, &mut report);
        }
        if report.n_ended == 0 {
            report.note_late(late, now);
        }
        report
    }

    async fn record_reading(
        &self,
        grant: Grant,
        settled: Result<&DenyReadAt, &PortError>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<(), StepError> {
        let (State::Revoking(revoking), Delivery::Session { session_name, .. }) = (&grant.state, &grant.delivery)
        else {
            return Ok(());
        };
        let retry_s = RETRY_S.saturating_mul(revoking.attempts.max(1)).min(RETRY_MAX_S);
        let event = match settled {
            Ok(reading) if reading.denied().denies(session_name, revoking.fence) => {
                Event::AbsenceObserved(reading.reading(revoking))
            }
            Ok(reading) => {
                let event = Event::PresenceObserved(reading.reading(revoking));
                self.advance(grant, &event, Vec::new(), now, report).await?;
                return Ok(());
            }
            Err(error) => Event::RemovalTroubled { problem: Problem::from(error.chain()), next_at: now.plus(retry_s) },
        };
        self.advance(grant, &event, Vec::new(), now, report).await.map(drop)
    }

    /// Settles the role under its lease: IAM has no conditional write, so only one reaper may write the document.
    async fn under_lease(&self, role: &str, report: &mut PassReport) -> PortResult<DenyReadAt> {
        let now = self.ports.clock.now();
        // Time for a reading, a write and a reading back, each with one call's time.
        let until = now.plus(self.bounds.call_s.saturating_mul(4));
        if !self.ports.deny.lease(role, &self.holder, now, until).await? {
            let source = "another reaper is settling this role".into();
            return Err(PortError::NotDone { operation: "deny:Lease", source });
        }
        let reading = self.write(role, until, report).await?;
        // Given back only after a success: a write without an answer may take effect until the lease runs out.
        self.ports.deny.end_lease(role, &self.holder).await?;
        Ok(reading)
    }

    async fn read(&self, role: &str, name: &str) -> PortResult<DenyReadAt> {
        let asked_at = self.ports.clock.now();
        let reading = self.ports.roles.read_deny(role, name).await?;
        Ok(DenyReadAt { reading, asked_at, answered_at: self.ports.clock.now() })
    }

    /// The entries that stay in the document: the session may be alive, or the proof of its end needs the entry.
    async fn required_entries<'e>(&self, entries: &'e [DenyEntry], now: Timestamp) -> Vec<&'e DenyEntry> {
        let is_over = |entry: &DenyEntry| entry.leave_at <= now;
        let over: Vec<GrantId> = entries.iter().filter(|entry| is_over(entry)).map(|entry| entry.grant).collect();
        let kept = stream::iter(over).map(|id| async move { (id, self.awaits_proof(id).await) });
        let kept: BTreeMap<GrantId, bool> = kept.buffered(RECORDED_AT_ONCE).collect().await;
        entries.iter().filter(|entry| !is_over(entry) || kept.get(&entry.grant).is_none_or(|kept| *kept)).collect()
    }

    /// Whether the end of grant `id` is not proved. Counts as not proved if the grant cannot be read.
    async fn awaits_proof(&self, id: GrantId) -> bool {
        match self.ports.reader.grant(id).await {
            Ok(grant) => grant.is_some_and(|grant| !grant.state.is_terminal()),
            Err(error) => {
                tracing::warn!(grant.id = %id, problem = error.chain(), "a grant could not be read: its deny entry \
                    is kept");
                true
            }
        }
    }

    async fn write(&self, role: &str, until: Timestamp, report: &mut PassReport) -> PortResult<DenyReadAt> {
        let name = self.deployment.deny_policy_name();
        let entries = self.ports.deny.entries(role).await?;
        let current = self.read(role, &name).await?;
        let now = self.ports.clock.now();
        let mut standing = current.denied();
        let required = self.required_entries(&entries, now).await;
        // Fail closed: the document may deny a session that the table does not know, because the table was lost or
        // restored. That session stays denied, with every other session issued before now, for as long as one of them
        // can live.
        let known: BTreeSet<&str> = entries.iter().map(|entry| entry.session_name.as_str()).collect();
        let n_named = standing.names.len();
        standing.names.retain(|name| known.contains(name.as_str()));
        let n_unknown = n_named.saturating_sub(standing.names.len());
        if n_unknown > 0 {
            tracing::error!(role, n_unknown, "the reserved deny names sessions without an entry");
            standing.cut = standing.cut.max(Some(now.plus(1).floor()));
        }
        standing.cut = standing.cut.max(self.void_before(now));
        let no_form = |_| unreadable("the deny has no JSON form");
        let denied = Denied::fitting(&required, &standing, now).map_err(no_form)?;
        let text = denied.document().map_err(no_form)?;
        let by_time = required.iter().filter(|entry| !denied.names.contains(&entry.session_name)).count();
        if by_time > 0 {
            let n_by_time = u32::try_from(by_time).unwrap_or(u32::MAX);
            report.n_denied_by_time = report.n_denied_by_time.saturating_add(n_by_time);
            let (n_by_name, before) = (denied.names.len(), denied.cut.map(|cut| cut.to_string()));
            tracing::warn!(
                role,
                n_by_name,
                n_by_time,
                before,
                "some early ends of a role are denied by issue time, \
                not by name"
            );
        }
        let current = if text == current.reading.document.as_deref().and_then(canonical_text) {
            current
        } else {
            // The entries that join or leave the document.
            let changes = |entry: &&DenyEntry| match required.contains(entry) {
                true => !standing.denies(&entry.session_name, entry.issued_by),
                false => standing.names.contains(&entry.session_name),
            };
            let mut affected: Vec<&DenyEntry> = entries.iter().filter(changes).collect();
            if affected.is_empty() {
                // The document differs although no entry joins or leaves, so somebody edited it: it affects every
                // entry.
                affected = entries.iter().collect();
            }
            if n_unknown > 0 || affected.is_empty() {
                self.record_unexplained(role, &name, n_unknown, &current).await?;
            }
            self.put(role, &name, text.as_deref(), &affected, until, report).await?
        };
        let named = current.denied().names;
        for entry in entries.iter().filter(|entry| !required.contains(entry)) {
            if !named.contains(&entry.session_name) {
                self.ports.deny.drop_entry(entry).await?;
            }
        }
        Ok(current)
    }

    /// Records a write of the deny as a finding, because no grant's evidence can explain it.
    async fn record_unexplained(
        &self,
        role: &str,
        name: &str,
        n_sessions: usize,
        current: &DenyReadAt,
    ) -> PortResult<()> {
        let target = AttachmentTarget::Inline { principal_arn: role.to_owned(), policy_name: name.to_owned() };
        let reason = FindingReason::NoEntry { n_sessions: u64::try_from(n_sessions).unwrap_or(u64::MAX) };
        let seen = Reading { at: current.answered_at, request_id: current.reading.request_id.clone() };
        self.record_finding(NewFinding { target, reason, reading: seen, action: FindingAction::DenyRecorded }, None)
            .await
    }

    async fn put(
        &self,
        role: &str,
        name: &str,
        text: Option<&str>,
        affected: &[&DenyEntry],
        until: Timestamp,
        report: &mut PassReport,
    ) -> PortResult<DenyReadAt> {
        // INVARIANT: recorded first, on every grant whose session joins or leaves the document.
        let ids: Vec<GrantId> = affected.iter().map(|entry| entry.grant).collect();
        let found_by = report.found_by;
        let records = stream::iter(ids).map(|id| async move {
            let mut report = PassReport::begun(found_by);
            let recorded = self.record_write(id, role, name, text, &mut report).await;
            (id, recorded, report)
        });
        let mut records = pin!(records.buffer_unordered(RECORDED_AT_ONCE));
        let (mut n_recorded, mut not_recorded, mut failed) = (0_usize, None, None);
        while let Some((id, recorded, part)) = records.next().await {
            report.add(part);
            match recorded {
                Ok(()) => n_recorded = n_recorded.saturating_add(1),
                // An unreadable grant must not keep the role's other sessions from ending.
                Err(error @ PortError::Unreadable { .. }) => {
                    tracing::error!(grant.id = %id, problem = error.chain(), "a grant is unreadable: its end cannot \
                        be recorded");
                    report.n_failed = report.n_failed.saturating_add(1);
                    not_recorded = Some(error);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let (0, Some(error)) = (n_recorded, not_recorded) {
            return Err(error);
        }
        if self.ports.clock.now().plus(self.bounds.call_s) >= until {
            let source = "the lease is nearly over".into();
            return Err(PortError::NotDone { operation: "iam:PutRolePolicy", source });
        }
        report.n_deny_written = report.n_deny_written.saturating_add(1);
        match text {
            Some(text) => self.ports.roles.put_deny(role, name, text).await?,
            None => self.ports.roles.delete_deny(role, name).await?,
        }
        // Read back afresh: the answer of the write proves nothing.
        self.read(role, name).await
    }

    async fn record_write(
        &self,
        id: GrantId,
        role: &str,
        policy: &str,
        text: Option<&str>,
        report: &mut PassReport,
    ) -> PortResult<()> {
        let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(()) };
        let now = self.ports.clock.now();
        let event = Event::RemovalRecorded {
            operation: if text.is_some() { "iam:PutRolePolicy" } else { "iam:DeleteRolePolicy" }.to_owned(),
            target: role.to_owned(),
            policy: policy.to_owned(),
            document_digest: text.map(|text| Digest::of_bytes(text.as_bytes())),
            next_at: now.plus(RETRY_S),
        };
        match self.advance(grant, &event, Vec::new(), now, report).await {
            Ok(_) => Ok(()),
            Err(StepError::Port(error)) => Err(error),
            Err(StepError::Transition(error)) => Err(unreadable(&error.to_string())),
        }
    }
}

fn unreadable(what: &str) -> PortError {
    PortError::Unreadable { operation: "iam:PutRolePolicy", what: what.to_owned() }
}

/// The document in canonical form: IAM may return it with other white space or order.
fn canonical_text(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    brevet_domain::canonical::canonical(&value).ok()
}
