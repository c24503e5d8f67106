//! The heartbeat of a good pass: it names late grants, so that issuing stops when ending does not work.
//!
//! A step that fails postpones its grant, so not every pass reaches it. Grants that the last health record names are
//! therefore read again and named until they have ended. A new process continues from the stored record.

use std::collections::BTreeMap;

use brevet_domain::block::BlockScope;
use brevet_domain::drill::Unproved;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::{IssuanceGate, Late, LateGrant, OverdueOverflow, ReaperHealth};
use brevet_domain::time::Timestamp;

use super::{PassReport, Reaper};
use crate::port::{Due, PortError, PortResult};

/// How often a heartbeat is retried after another pass recorded one in between.
const ATTEMPTS: u32 = 4;
/// The most grants read again in one pass: all that the last record can name, and as many whose step failed.
const MAX_READ: usize = 2 * Late::MAX;

impl Reaper {
    /// Records the good pass that began at `started`, with the grants that it left late.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the last health record cannot be read or this one cannot be written: the last one then grows
    /// old.
    pub(super) async fn record_heartbeat(&self, started: Timestamp, report: &mut PassReport) -> PortResult<()> {
        let mut raced = PortError::Conflict { operation: "record_heartbeat" };
        for _ in 0..ATTEMPTS {
            let (before, number, drills) = match self.ports.reader.reaper_health().await {
                Ok(before) => {
                    let number = before.as_ref().map_or(0, |before| before.heartbeats);
                    let (late, drills) = before.map(|before| (before.late, before.drills)).unwrap_or_default();
                    (late, Some(number), drills)
                }
                // INVARIANT: fail closed. The late grants of an unreadable record are unknown: there are too many until
                // passes must have found each of them again.
                Err(PortError::Unreadable { what, .. }) => {
                    tracing::error!(problem = what, "the last health record is unreadable: issuing stops for a while");
                    (self.assume_overflow(), None, Vec::new())
                }
                Err(error) => return Err(error),
            };
            let late = self.late_after(before, report).await;
            let drills = self.unproved(&drills).await?;
            let reaper_health =
                ReaperHealth { heartbeats: number.unwrap_or(0).saturating_add(1), read_up_to: started, late, drills };
            match self.ports.reaper_health.record_heartbeat(&reaper_health, number).await {
                Ok(()) => {
                    self.report_overdue(&reaper_health, report);
                    return Ok(());
                }
                // Another pass was recorded meanwhile, and may have found late grants that this one did not.
                Err(error @ PortError::Conflict { .. }) => raced = error,
                Err(error) => return Err(error),
            }
        }
        Err(raced)
    }

    /// A record with more overdue grants than it can name.
    fn assume_overflow(&self) -> Late {
        let now = self.ports.clock.now();
        let since = now.minus(self.issuance_policy.overdue_s.saturating_add(1));
        Late {
            grants: Vec::new(),
            overflow: Some(OverdueOverflow { since, until: now.plus(OverdueOverflow::COUNTS_S) }),
        }
    }

    /// The late grants now: those that this pass found, and those of `before` that it did not reach.
    async fn late_after(&self, before: Late, report: &PassReport) -> Late {
        let found = report.late.values().flatten();
        let (mut late, unread): (Vec<LateGrant>, Vec<_>) = found.cloned().partition(|late| late.principal.is_some());
        let mut to_read: BTreeMap<GrantId, LateGrant> = unread.into_iter().map(|late| (late.grant, late)).collect();
        // The last record has the grant's principal, which a failed step does not have.
        let known = before.grants.into_iter();
        to_read.extend(known.map(|known| (known.grant, known)));
        let is_recorded = |id: &GrantId| {
            report.late.get(id).is_some_and(|found| found.as_ref().is_none_or(|late| late.principal.is_some()))
        };
        to_read.retain(|id, _| !is_recorded(id));
        let now = self.ports.clock.now();
        for (n, (id, last)) in to_read.into_iter().enumerate() {
            // INVARIANT: fail closed. An unread grant counts as late, and the readings of one pass are bounded.
            if n >= MAX_READ {
                late.push(last);
                continue;
            }
            match self.still_late(id, now).await {
                Ok(found) => late.extend(found),
                Err(error) => {
                    tracing::warn!(grant.id = %id, problem = error.chain(), "a late grant cannot be read: it still \
                        counts as late");
                    late.push(last);
                }
            }
        }
        late.retain(|late| now.seconds_since(late.since) >= u64::from(self.issuance_policy.late_s()));
        Late::of(late, before.overflow, now, self.issuance_policy.overdue_s)
    }

    /// Grant `id`, if its end is late: by its own record, or because a block covers it and its end has not begun.
    async fn still_late(&self, id: GrantId, now: Timestamp) -> PortResult<Option<LateGrant>> {
        let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(None) };
        if let Some(late) = LateGrant::of(&grant, now) {
            return Ok(Some(late));
        }
        if !matches!(grant.state, State::Activating { .. } | State::Active { .. }) {
            return Ok(None);
        }
        let blocks = self.ports.reader.blocks(&BlockScope::covering(&grant)).await?;
        let since = blocks.iter().map(|block| block.at).min();
        let principal = Some(grant.delivery.principal().to_owned());
        Ok(since.map(|since| LateGrant { grant: id, principal, since, acknowledged: false }))
    }

    fn report_overdue(&self, reaper_health: &ReaperHealth, report: &mut PassReport) {
        let (now, issuance_policy) = (self.ports.clock.now(), self.issuance_policy);
        report.is_stopped =
            ReaperHealth::issuance_gate(Some(reaper_health), None, now, issuance_policy) != IssuanceGate::Open;
        for late in reaper_health.late.overdue(now, issuance_policy.overdue_s) {
            let LateGrant { grant, principal, since, acknowledged } = late;
            report.n_overdue = report.n_overdue.saturating_add(1);
            report.n_unacknowledged = report.n_unacknowledged.saturating_add(u32::from(!acknowledged));
            tracing::error!(grant.id = %grant, principal, %since, acknowledged, "a grant is overdue: issuing on its \
                principal is stopped");
        }
        report.n_unproved = u32::try_from(reaper_health.drills.len()).unwrap_or(u32::MAX);
        for Unproved { drilled, why, since } in &reaper_health.drills {
            tracing::error!(%drilled, ?why, %since, "a drill does not show that access ends: issuing is stopped");
        }
        if report.is_stopped && reaper_health.drills.is_empty() {
            tracing::error!(n = report.n_unacknowledged, "too many grants are overdue: issuing is stopped");
        }
    }
}

impl PassReport {
    /// Notes a grant whose step failed. Its state is unknown, so it counts as late since its line was due.
    pub(super) fn note_unread(&mut self, line: &Due) {
        let unread = LateGrant { grant: line.id, principal: None, since: line.next_at, acknowledged: false };
        self.late.entry(line.id).or_insert(Some(unread));
    }
}
