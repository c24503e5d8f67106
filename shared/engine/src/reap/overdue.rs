//! The heart of a good pass: it carries what is late, so that issuing stops where ending does not work.
//!
//! A look that fails puts a grant off, so not every pass comes by it. What the last heart names is therefore read again,
//! and named until it is over; a process that was just started goes on from the heart that is stored.

use std::collections::BTreeMap;

use brevet_domain::block::BlockScope;
use brevet_domain::drill::Unproved;
use brevet_domain::grant::State;
use brevet_domain::heart::{Beyond, Heart, Late, LateGrant, Pulse};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::{PassReport, Reaper};
use crate::port::{Due, PortError, PortResult};

/// How often a beat is made anew after another pass beat in between.
const ATTEMPTS: u32 = 4;
/// How many grants are read again in one pass, at most: all that the last heart can name, and as many whose look failed.
const MAX_READ: usize = 2 * Late::MAX;

impl Reaper {
    /// Records the good pass that began at `started`, with what it left late.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the last heart cannot be read or this one not be recorded: then the last one grows old.
    pub(super) async fn beat(&self, started: Timestamp, report: &mut PassReport) -> PortResult<()> {
        let mut raced = PortError::Conflict { operation: "beat" };
        for _ in 0..ATTEMPTS {
            let (before, number, drills) = match self.ports.reader.heart().await {
                Ok(before) => {
                    let number = before.as_ref().map_or(0, |before| before.beats);
                    let (late, drills) = before.map(|before| (before.late, before.drills)).unwrap_or_default();
                    (late, Some(number), drills)
                }
                // INVARIANT: fail closed. What it named is unknown, until all of that must have come by again.
                Err(PortError::Unreadable { what, .. }) => {
                    tracing::error!(problem = what, "the last heart cannot be read: everything stops for a while");
                    (self.unknown(), None, Vec::new())
                }
                Err(error) => return Err(error),
            };
            let late = self.late_after(before, report).await;
            let drills = self.unproved(&drills).await?;
            let heart = Heart { beats: number.unwrap_or(0).saturating_add(1), read_up_to: started, late, drills };
            match self.ports.heart.beat(&heart, number).await {
                Ok(()) => {
                    self.tell_overdue(&heart, report);
                    return Ok(());
                }
                // Another pass beat meanwhile, and may have found what this one did not come by.
                Err(error @ PortError::Conflict { .. }) => raced = error,
                Err(error) => return Err(error),
            }
        }
        Err(raced)
    }

    /// As if more were overdue than anybody can name.
    fn unknown(&self) -> Late {
        let now = self.ports.clock.now();
        let since = now.minus(self.tolerance.overdue_s.saturating_add(1));
        Late { grants: Vec::new(), beyond: Some(Beyond { since, until: now.plus(Beyond::COUNTS_S) }) }
    }

    /// What is late now: what this pass found, and of what was late `before` what it did not come by.
    async fn late_after(&self, before: Late, report: &PassReport) -> Late {
        let looked = report.late.values().flatten();
        let (mut late, unseen): (Vec<LateGrant>, Vec<_>) = looked.cloned().partition(|late| late.principal.is_some());
        let mut again: BTreeMap<GrantId, LateGrant> = unseen.into_iter().map(|one| (one.grant, one)).collect();
        // What is known of a grant is more than that a look at it failed.
        let known = before.grants.into_iter();
        again.extend(known.map(|known| (known.grant, known)));
        let is_told = |id: &GrantId| {
            report.late.get(id).is_some_and(|told| told.as_ref().is_none_or(|late| late.principal.is_some()))
        };
        again.retain(|id, _| !is_told(id));
        let now = self.ports.clock.now();
        for (n, (id, last)) in again.into_iter().enumerate() {
            // INVARIANT: fail closed. What cannot be read is not over; and how many are read in one pass is bounded.
            if n >= MAX_READ {
                late.push(last);
                continue;
            }
            match self.still_late(id, now).await {
                Ok(found) => late.extend(found),
                Err(error) => {
                    tracing::warn!(grant.id = %id, problem = error.chain(), "a grant that is late cannot be read: it stays so");
                    late.push(last);
                }
            }
        }
        late.retain(|late| now.seconds_since(late.since) >= u64::from(self.tolerance.late_s()));
        Late::of(late, before.beyond, now, self.tolerance.overdue_s)
    }

    /// Grant `id`, if its end is late: by its own record, or by a block that covers it and on which nothing followed.
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

    fn tell_overdue(&self, heart: &Heart, report: &mut PassReport) {
        let (now, tolerance) = (self.ports.clock.now(), self.tolerance);
        report.is_stopped = Heart::pulse(Some(heart), None, now, tolerance) != Pulse::Beating;
        for late in heart.late.overdue(now, tolerance.overdue_s) {
            let LateGrant { grant, principal, since, acknowledged } = late;
            report.n_overdue = report.n_overdue.saturating_add(1);
            report.n_unacknowledged = report.n_unacknowledged.saturating_add(u32::from(!acknowledged));
            tracing::error!(grant.id = %grant, principal, %since, acknowledged, "a grant is overdue: nothing is issued on its principal");
        }
        report.n_unproved = u32::try_from(heart.drills.len()).unwrap_or(u32::MAX);
        for Unproved { drilled, why, since } in &heart.drills {
            tracing::error!(%drilled, ?why, %since, "a drill does not show that access ends: nothing is issued");
        }
        if report.is_stopped && heart.drills.is_empty() {
            tracing::error!(n = report.n_unacknowledged, "nothing is issued: too many grants are overdue");
        }
    }
}

impl PassReport {
    /// A look that failed says nothing of its grant: it is late since its line was due.
    pub(super) fn note_unseen(&mut self, line: &Due) {
        let unseen = LateGrant { grant: line.id, principal: None, since: line.next_at, acknowledged: false };
        self.late.entry(line.id).or_insert(Some(unseen));
    }
}
