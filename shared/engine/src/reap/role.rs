//! The reserved deny of one session role: put when an early end needs it, read back, and cleared when entries leave.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use brevet_domain::canonical::Digest;
use brevet_domain::deny::{Denied, DenyEntry};
use brevet_domain::finding::{Act, Told, Why};
use brevet_domain::grant::{Delivery, Event, Grant, Problem, Revoking, Sighting, State};
use brevet_domain::heart::LateGrant;
use brevet_domain::id::GrantId;
use brevet_domain::place::Place;
use brevet_domain::time::Timestamp;
use futures_util::stream::{self, StreamExt as _};

use super::{PassReport, Reaper, TOLD_AT_ONCE, note};
use crate::journal::StepError;
use crate::port::{DenyReading, PortError, PortResult};

/// How soon a grant whose removal did not go well is looked at again at the least, in seconds.
pub(super) const RETRY_S: u32 = 5;
/// And at the most.
const RETRY_MAX_S: u32 = 60;

/// A reading of the reserved deny, and when it was made.
pub(super) struct Seen {
    reading: DenyReading,
    asked_at: Timestamp,
    answered_at: Timestamp,
}

impl Seen {
    /// The reading as evidence for a grant. A first absence counts from its answer, any other from its question: so
    /// neither the fence nor the quiet period is ever shorter than it seems, however slow a call was.
    fn sighting(&self, revoking: &Revoking) -> Sighting {
        let at = if revoking.first_absence.is_none() { self.answered_at } else { self.asked_at };
        Sighting { at, request_id: self.reading.request_id.clone() }
    }

    fn denied(&self) -> Denied {
        self.reading.document.as_deref().map(Denied::read).unwrap_or_default()
    }
}

impl Reaper {
    /// Brings the deny of `role` in line with its entries, then tells `grants` what was read back.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the role could not be settled; its grants have been told.
    pub(super) async fn settle_role(&self, role: &str, grants: Vec<Grant>, report: &mut PassReport) -> PortResult<()> {
        let settled = self.under_lease(role, report).await;
        let (seen, now) = (settled.as_ref(), self.ports.clock.now());
        let told = stream::iter(grants).map(|grant| self.tell_again(grant, seen, now));
        report.add_all(told.buffer_unordered(TOLD_AT_ONCE)).await;
        settled.map(drop)
    }

    /// Tells `grant` as it stands now: the settling may have written to its chain.
    async fn tell_again(&self, grant: Grant, settled: Result<&Seen, &PortError>, now: Timestamp) -> PassReport {
        let (id, late, mut report) = (grant.id, LateGrant::of(&grant, now), PassReport::begun());
        let told = match self.ports.reader.grant(id).await {
            Ok(Some(grant)) => self.tell(grant, settled, now, &mut report).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = told {
            note(id, &error, &mut report);
        }
        if report.n_ended == 0 {
            report.note_late(late, now);
        }
        report
    }

    async fn tell(
        &self,
        grant: Grant,
        settled: Result<&Seen, &PortError>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<(), StepError> {
        let (State::Revoking(revoking), Delivery::Session { session_name, .. }) = (&grant.state, &grant.delivery)
        else {
            return Ok(());
        };
        let retry_s = RETRY_S.saturating_mul(revoking.attempts.max(1)).min(RETRY_MAX_S);
        let event = match settled {
            Ok(seen) if seen.denied().denies(session_name, revoking.fence) => {
                Event::AbsenceObserved(seen.sighting(revoking))
            }
            Ok(seen) => {
                let event = Event::PresenceObserved(seen.sighting(revoking));
                self.advance(grant, &event, Vec::new(), now, report).await?;
                return Ok(());
            }
            Err(error) => Event::RemovalTroubled { problem: Problem::from(error.chain()), next_at: now.plus(retry_s) },
        };
        self.advance(grant, &event, Vec::new(), now, report).await.map(drop)
    }

    /// One writer per role: IAM has no conditional write, so a lease keeps a second rendering away.
    async fn under_lease(&self, role: &str, report: &mut PassReport) -> PortResult<Seen> {
        let now = self.ports.clock.now();
        // Room for a reading, a write and a reading back, each with one call's time.
        let until = now.plus(self.bounds.call_s.saturating_mul(4));
        if !self.ports.deny.lease(role, &self.holder, now, until).await? {
            let source = "another reaper is settling this role".into();
            return Err(PortError::NotDone { operation: "deny:Lease", source });
        }
        let seen = self.write(role, until, report).await?;
        // Only given back when all went well: a write without an answer may land until the lease runs out.
        self.ports.deny.end_lease(role, &self.holder).await?;
        Ok(seen)
    }

    async fn read(&self, role: &str, name: &str) -> PortResult<Seen> {
        let asked_at = self.ports.clock.now();
        let reading = self.ports.roles.read_deny(role, name).await?;
        Ok(Seen { reading, asked_at, answered_at: self.ports.clock.now() })
    }

    /// The entries that belong into the document: their sessions may be alive, or their ends are not proved yet, and that
    /// proof needs the document to name them.
    async fn wanted<'e>(&self, entries: &'e [DenyEntry], now: Timestamp) -> Vec<&'e DenyEntry> {
        let is_over = |entry: &DenyEntry| entry.leave_at <= now;
        let over: Vec<GrantId> = entries.iter().filter(|entry| is_over(entry)).map(|entry| entry.grant).collect();
        let kept = stream::iter(over).map(|id| async move { (id, self.awaits_proof(id).await) });
        let kept: BTreeMap<GrantId, bool> = kept.buffered(TOLD_AT_ONCE).collect().await;
        entries.iter().filter(|entry| !is_over(entry) || kept.get(&entry.grant).is_none_or(|kept| *kept)).collect()
    }

    /// Whether the end of grant `id` is not proved yet, as far as is known.
    async fn awaits_proof(&self, id: GrantId) -> bool {
        match self.ports.reader.grant(id).await {
            Ok(grant) => grant.is_some_and(|grant| !grant.state.is_terminal()),
            Err(error) => {
                tracing::warn!(grant.id = %id, problem = error.chain(), "an early end is kept for now");
                true
            }
        }
    }

    async fn write(&self, role: &str, until: Timestamp, report: &mut PassReport) -> PortResult<Seen> {
        let name = self.deployment.deny_policy_name();
        let entries = self.ports.deny.entries(role).await?;
        let seen = self.read(role, &name).await?;
        let now = self.ports.clock.now();
        let mut standing = seen.denied();
        let wanted = self.wanted(&entries, now).await;
        // Fail closed: a session that the document denies and the table does not know (a lost or an older table) stays
        // denied, with every other one that was issued before now, for as long as any of them can live.
        let known: BTreeSet<&str> = entries.iter().map(|entry| entry.session_name.as_str()).collect();
        let n_named = standing.names.len();
        standing.names.retain(|name| known.contains(name.as_str()));
        let n_unknown = n_named.saturating_sub(standing.names.len());
        if n_unknown > 0 {
            tracing::error!(role, n_unknown, "the reserved deny names sessions that no entry explains");
            standing.cut = standing.cut.max(Some(now.plus(1).floor()));
        }
        standing.cut = standing.cut.max(self.void_before(now));
        let no_form = |_| unreadable("the deny has no JSON form");
        let text = Denied::fitting(&wanted, &standing, now).and_then(|d| d.document()).map_err(no_form)?;
        let seen = if text == seen.reading.document.as_deref().and_then(canonical_text) {
            seen
        } else {
            // Whoever enters or leaves the document.
            let affected = |entry: &&DenyEntry| match wanted.contains(entry) {
                true => !standing.denies(&entry.session_name, entry.issued_by),
                false => standing.names.contains(&entry.session_name),
            };
            let mut told: Vec<&DenyEntry> = entries.iter().filter(affected).collect();
            if told.is_empty() {
                // The document differs though nobody enters or leaves: somebody edited it. All of its grants are told.
                told = entries.iter().collect();
            }
            if n_unknown > 0 || told.is_empty() {
                self.tell_unexplained(role, &name, n_unknown, &seen).await?;
            }
            self.put(role, &name, text.as_deref(), &told, until, report).await?
        };
        let named = seen.denied().names;
        for entry in entries.iter().filter(|entry| !wanted.contains(entry)) {
            if !named.contains(&entry.session_name) {
                self.ports.deny.drop_entry(entry).await?;
            }
        }
        Ok(seen)
    }

    /// No grant's evidence may tell of what is about to be written.
    async fn tell_unexplained(&self, role: &str, name: &str, n_sessions: usize, seen: &Seen) -> PortResult<()> {
        let place = Place::Inline { principal_arn: role.to_owned(), policy_name: name.to_owned() };
        let why = Why::NoEntry { n_sessions: u64::try_from(n_sessions).unwrap_or(u64::MAX) };
        let seen = Sighting { at: seen.answered_at, request_id: seen.reading.request_id.clone() };
        self.tell_finding(Told { place, why, seen, act: Act::DenyRecorded }, None).await
    }

    async fn put(
        &self,
        role: &str,
        name: &str,
        text: Option<&str>,
        told: &[&DenyEntry],
        until: Timestamp,
        report: &mut PassReport,
    ) -> PortResult<Seen> {
        // INVARIANT: recorded first. Every grant whose session enters or leaves the document is told before the call.
        let ids: Vec<GrantId> = told.iter().map(|entry| entry.grant).collect();
        let records = stream::iter(ids).map(|id| async move {
            let mut report = PassReport::begun();
            let recorded = self.record_write(id, role, name, text, &mut report).await;
            (id, recorded, report)
        });
        let mut records = pin!(records.buffer_unordered(TOLD_AT_ONCE));
        let (mut n_told, mut untold, mut failed) = (0_usize, None, None);
        while let Some((id, recorded, part)) = records.next().await {
            report.add(part);
            match recorded {
                Ok(()) => n_told = n_told.saturating_add(1),
                // A record that will never take it must not keep the role's other sessions from ending.
                Err(error @ PortError::Unreadable { .. }) => {
                    tracing::error!(grant.id = %id, problem = error.chain(), "a grant cannot be told of its end");
                    report.n_failed = report.n_failed.saturating_add(1);
                    untold = Some(error);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let (0, Some(error)) = (n_told, untold) {
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

/// The document in the form that is compared: IAM may give it back with other white space or order.
fn canonical_text(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    brevet_domain::canonical::canonical(&value).ok()
}
