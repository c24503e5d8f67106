//! Schedules: what the catalogue itself asks for, decided once a window.
//!
//! Nobody shows a proof: the authority is the declaration in the bundle in force. So an event is believed in nothing.
//! Who sends one, how often, early or late, or names a schedule without being the scheduler, gets what is declared in the
//! window that is open by this function's own clock, and that once: the grant's id follows from the window, and the
//! decision is put only where none is.

use std::cmp::Reverse;

use brevet_domain::decision::{Decision, Outcome};
use brevet_domain::id::{GrantId, ScheduleId};
use brevet_domain::identity::Caller;
use brevet_domain::rule;
use brevet_domain::schedule::{Schedule, Window};
use brevet_domain::time::Timestamp;
use serde::Serialize;

use super::{ATTEMPTS, Decider, unwritable};
use crate::port::{Clock, PortError};
use crate::refusal::{Refusal, RefusalKind};

/// What became of a schedule when somebody looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "schedule", rename_all = "snake_case")]
pub enum Turn {
    /// No window of it is open.
    Closed,
    /// The open window was decided before, whatever it came to.
    Standing {
        /// Its grant.
        grant: GrantId,
    },
    /// The open window was decided now.
    Decided {
        /// Its grant.
        grant: GrantId,
        /// Whether it gets what is declared; if not, the grant is denied, with the reason.
        allowed: bool,
    },
}

/// What one look at all schedules came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SchedulePass {
    /// How many the bundle in force has.
    pub n_schedules: usize,
    /// Of how many a window is open.
    pub n_open: usize,
    /// How many windows were granted now.
    pub n_granted: usize,
    /// How many windows were denied now.
    pub n_denied: usize,
    /// How many could not be decided, and are left to the next tick.
    pub n_failed: usize,
    /// For how many there was no time.
    pub n_left: usize,
}

impl Decider {
    /// Looks at every schedule, what closes soonest first, and decides each window that is open and was not decided.
    /// None is begun once `budget_s` seconds are over. One that fails holds up no other.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the schedules cannot be read. Then nothing is decided.
    pub async fn look_at_schedules(&self, clock: &dyn Clock, budget_s: u32) -> Result<SchedulePass, Refusal> {
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
            let count = match self.look_at(&schedule, now).await {
                Ok(Turn::Decided { allowed: true, .. }) => &mut pass.n_granted,
                Ok(Turn::Decided { allowed: false, .. }) => &mut pass.n_denied,
                Ok(Turn::Closed | Turn::Standing { .. }) => continue,
                Err(refusal) => {
                    tracing::error!(schedule.id = %schedule.id, code = refusal.code.as_ref(), problem = refusal.detail, "a window was not decided");
                    &mut pass.n_failed
                }
            };
            *count = count.saturating_add(1);
        }
        Ok(pass)
    }

    /// Looks at one schedule, for an event that names it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the bundle in force has no such schedule, or something needed does not answer. Then nothing is
    /// decided.
    pub async fn look_at_schedule(&self, id: &ScheduleId, now: Timestamp) -> Result<Turn, Refusal> {
        let mut schedules = self.policy.schedules(now).await?;
        let schedule = schedules.remove(id).ok_or_else(|| {
            let detail = format!("the bundle in force has no schedule `{id}`: stop naming it, or declare it");
            Refusal::new(RefusalKind::Unfit, "schedule_unknown", detail)
        })?;
        self.look_at(&schedule, now).await
    }

    async fn look_at(&self, schedule: &Schedule, now: Timestamp) -> Result<Turn, Refusal> {
        // INVARIANT: never outside a window, by this function's own clock. An event that comes early is not the last.
        let Some(window) = schedule.window_at(now) else { return Ok(Turn::Closed) };
        let id = schedule.grant_id(window, &self.deployment);
        if let Some(decision) = self.reader.decision(id).await? {
            return standing(&decision, schedule);
        }
        let mut raced = None;
        for _ in 0..ATTEMPTS {
            match self.decide_window(schedule, window, id, now).await? {
                Ok(allowed) => {
                    tracing::info!(schedule.id = %schedule.id, grant.id = %id, allowed, "decided a window of `{}`", schedule.id);
                    return Ok(Turn::Decided { grant: id, allowed });
                }
                // As for a request: the store tells.
                Err(error) => match self.reader.decision(id).await? {
                    Some(decision) => return standing(&decision, schedule),
                    None if matches!(error, PortError::Conflict { .. }) => raced = Some(error),
                    None => return Err(error.into()),
                },
            }
        }
        Err(raced.map_or_else(|| Refusal::no_such_grant(id), Refusal::from).about(id))
    }

    /// Decides `window` as any other request, and writes that down; whether it is allowed.
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
        // It belongs to no task: no proof named one.
        let caller = Caller { identity, task: None, proof: schedule.proof(window).map_err(unwritable)? };
        let request = schedule.request(window, id);
        let mut verdict = self.policy.decide(&caller, &request, now).await?;
        // INVARIANT: worth no more than is declared: it must be started within its window.
        verdict.start_within_s = verdict.start_within_s.min(window.left_s(now));
        if matches!(verdict.outcome, Outcome::NeedsApproval { .. }) {
            let reason = "policy wants people to approve this, and nobody waits for a schedule".to_owned();
            verdict.outcome = Outcome::Deny { reason };
            verdict.determining.push(rule::NOBODY_WAITS.to_owned());
            verdict.template = None;
        }
        let written = self.settle(&caller, &request, verdict, now).await?;
        Ok(written.map(|outcome| outcome == Outcome::Allow))
    }
}

/// The decision that stands under a window's id, if it is the window's own.
fn standing(decision: &Decision, schedule: &Schedule) -> Result<Turn, Refusal> {
    let grant = decision.id;
    if decision.terms.proof.schedule() == Some(&schedule.id) {
        return Ok(Turn::Standing { grant });
    }
    // Only whoever can store requests under ids of their choice can have done this, and it got them no more than their
    // own request: but the window is lost, and a person should look.
    let detail = format!("the id of this window of `{}` is taken by another decision: nothing is granted", schedule.id);
    Err(Refusal::new(RefusalKind::Conflict, "window_taken", detail).about(grant))
}
