//! Schedules: grants that the catalogue itself asks for, decided once per window.
//!
//! There is no proof: the authority is the declaration in the bundle in force, and the event is not trusted. Any
//! sender, at any time and however often, gets what is declared for the window that is open by this function's own
//! clock, and only once. The grant's id follows from the window, and the decision is put only if absent.

use std::cmp::Reverse;

use brevet_domain::decision::{Decision, Outcome};
use brevet_domain::id::{GrantId, ScheduleId};
use brevet_domain::identity::Caller;
use brevet_domain::rule;
use brevet_domain::schedule::{Schedule, Window};
use brevet_domain::time::Timestamp;
use serde::Serialize;

use super::{ATTEMPTS, Decider, deny, unwritable};
use crate::port::{Clock, PortError};
use crate::refusal::{Refusal, RefusalKind};

/// The result of processing one schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "schedule", rename_all = "snake_case")]
pub enum ScheduleOutcome {
    /// No window of the schedule is open.
    Closed,
    /// The open window was already decided, with any outcome.
    Standing { grant: GrantId },
    /// The open window was decided now.
    Decided {
        grant: GrantId,
        /// Whether the declared grant was allowed; if not, the grant is denied with a reason.
        allowed: bool,
    },
}

/// The result of one pass over all schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SchedulePass {
    /// Schedules in the bundle in force.
    pub n_schedules: usize,
    /// Schedules with an open window.
    pub n_open: usize,
    /// Windows granted now.
    pub n_granted: usize,
    /// Windows denied now.
    pub n_denied: usize,
    /// Windows that could not be decided and are left to the next tick.
    pub n_failed: usize,
    /// Windows left because the budget was used up.
    pub n_left: usize,
}

impl Decider {
    /// Decides each open window that has no decision yet, those that close soonest first. No window is started after
    /// `budget_s` seconds. A schedule that fails does not hold up the others.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the schedules cannot be read. Nothing is decided then.
    pub async fn decide_open_windows(&self, clock: &dyn Clock, budget_s: u32) -> Result<SchedulePass, Refusal> {
        let started = clock.now();
        let schedules = self.policy.schedules(started).await?;
        let mut pass = SchedulePass { n_schedules: schedules.len(), ..SchedulePass::default() };
        let open = |schedule: Schedule| Some((schedule.window_at(started)?, schedule));
        let mut open: Vec<(Window, Schedule)> = schedules.into_values().filter_map(open).collect();
        open.sort_by_key(|(window, _)| Reverse(window.closes_at));
        pass.n_open = open.len();
        while let Some((_, schedule)) = open.pop() {
            let now = clock.now();
            if now > started.plus(budget_s) {
                pass.n_left = open.len().saturating_add(1);
                break;
            }
            let count = match self.decide_open_window(&schedule, now).await {
                Ok(ScheduleOutcome::Decided { allowed: true, .. }) => &mut pass.n_granted,
                Ok(ScheduleOutcome::Decided { allowed: false, .. }) => &mut pass.n_denied,
                Ok(ScheduleOutcome::Closed | ScheduleOutcome::Standing { .. }) => continue,
                Err(refusal) => {
                    tracing::error!(schedule.id = %schedule.id, code = refusal.code.as_ref(), problem = refusal.detail, "a window was not decided");
                    &mut pass.n_failed
                }
            };
            *count = count.saturating_add(1);
        }
        Ok(pass)
    }

    /// Decides the open window of one schedule, for an event that names it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the bundle in force has no such schedule, or a port does not answer. Nothing is decided then.
    pub async fn decide_schedule(&self, id: &ScheduleId, now: Timestamp) -> Result<ScheduleOutcome, Refusal> {
        let mut schedules = self.policy.schedules(now).await?;
        let schedule = schedules.remove(id).ok_or_else(|| {
            let detail = format!(
                "the bundle in force has no schedule `{id}`: declare it, or stop sending events \
                                  for it"
            );
            Refusal::new(RefusalKind::Invalid, "schedule_unknown", detail)
        })?;
        self.decide_open_window(&schedule, now).await
    }

    async fn decide_open_window(&self, schedule: &Schedule, now: Timestamp) -> Result<ScheduleOutcome, Refusal> {
        // INVARIANT: never outside a window, by this function's own clock. After an early event, another one comes.
        let Some(window) = schedule.window_at(now) else { return Ok(ScheduleOutcome::Closed) };
        let id = schedule.grant_id(window, &self.deployment);
        if let Some(decision) = self.reader.decision(id).await? {
            return standing(&decision, schedule);
        }
        let mut raced = None;
        for _ in 0..ATTEMPTS {
            match self.decide_window(schedule, window, id, now).await? {
                Ok(allowed) => {
                    tracing::info!(schedule.id = %schedule.id, grant.id = %id, allowed, "decided a window of `{}`", schedule.id);
                    return Ok(ScheduleOutcome::Decided { grant: id, allowed });
                }
                // As for a request, the store shows whether a decision is stored.
                Err(error) => match self.reader.decision(id).await? {
                    Some(decision) => return standing(&decision, schedule),
                    None if matches!(error, PortError::Conflict { .. }) => raced = Some(error),
                    None => return Err(error.into()),
                },
            }
        }
        Err(raced.map_or_else(|| Refusal::no_such_grant(id), Refusal::from).about(id))
    }

    /// Decides `window` like a request and stores the decision; returns whether it is allowed.
    async fn decide_window(
        &self,
        schedule: &Schedule,
        window: Window,
        id: GrantId,
        now: Timestamp,
    ) -> Result<Result<bool, PortError>, Refusal> {
        let identity = self.policy.registered(&schedule.identity, now).await?.ok_or_else(|| {
            let detail = format!("`{}` is not registered in the bundle in force", schedule.identity);
            Refusal::new(RefusalKind::Unregistered, "identity_unregistered", detail)
        })?;
        // No proof names a task, so the grant belongs to none.
        let caller = Caller { identity, task: None, proof: schedule.proof(window).map_err(unwritable)? };
        let request = schedule.request(window, id);
        let mut verdict = self.policy.decide(&caller, &request, now).await?;
        // INVARIANT: a scheduled grant must be started within its window.
        verdict.start_within_s = verdict.start_within_s.min(window.left_s(now));
        if verdict.traits.break_glass.is_some() {
            let reason = "break-glass is for people in an emergency: a schedule cannot request it".to_owned();
            deny(&mut verdict, reason, rule::NOBODY_WAITS);
        } else if matches!(verdict.outcome, Outcome::NeedsApproval { .. }) {
            let reason = "policy requires approval, and a schedule cannot wait for people".to_owned();
            verdict.outcome = Outcome::Deny { reason };
            verdict.determining.push(rule::NOBODY_WAITS.to_owned());
            verdict.template = None;
        }
        let written = self.settle(&caller, &request, verdict, now).await?;
        Ok(written.map(|outcome| outcome == Outcome::Allow))
    }
}

/// The outcome for a window whose id already has a decision, if that decision is the window's own.
fn standing(decision: &Decision, schedule: &Schedule) -> Result<ScheduleOutcome, Refusal> {
    let grant = decision.id;
    if decision.terms.proof.schedule() == Some(&schedule.id) {
        return Ok(ScheduleOutcome::Standing { grant });
    }
    // Only a caller who can store requests under chosen ids can cause this, and gains only their own request. The
    // window is lost, so a person must look.
    let detail = format!("the id of this window of `{}` is used by another decision: nothing is granted", schedule.id);
    Err(Refusal::new(RefusalKind::Conflict, "window_taken", detail).about(grant))
}
