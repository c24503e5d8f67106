//! One look at one grant.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::deny::DenyEntry;
use brevet_domain::grant::{Delivery, EndCause, Event, Grant, Problem, Revoking, State};
use brevet_domain::heart::LateGrant;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::attachment::ends;
use super::leavers::left;
use super::role::RETRY_S;
use super::{PassReport, Reaper};
use crate::catalogue::InForce;
use crate::journal::StepError;
use crate::port::Also;

/// What a look that did not fail came to.
pub(super) struct Stepped {
    /// A session that must be ended early, with its role.
    pub(super) early: Option<(String, Grant)>,
    /// Whether nothing was left open, such as whether the catalogue still knows it.
    pub(super) is_sure: bool,
}

impl Reaper {
    /// Moves grant `id` as far as it can go by itself.
    pub(super) async fn step(
        &self,
        id: GrantId,
        known: Option<&InForce>,
        report: &mut PassReport,
    ) -> Result<Stepped, StepError> {
        let Some(grant) = self.ports.reader.grant(id).await? else {
            // A mark on what was never decided, or a line that outlived its record.
            self.ports.due.clear_mark(id).await?;
            return Ok(Stepped { early: None, is_sure: true });
        };
        let (now, n_ended) = (self.ports.clock.now(), report.n_ended);
        let late = LateGrant::of(&grant, now);
        let moved = self.go_on(grant, known, report).await;
        // What ends with its role is reckoned there.
        if !matches!(moved, Ok(Stepped { early: Some(_), .. })) && report.n_ended == n_ended {
            report.note_late(late, now);
        }
        moved
    }

    async fn go_on(
        &self,
        grant: Grant,
        known: Option<&InForce>,
        report: &mut PassReport,
    ) -> Result<Stepped, StepError> {
        let id = grant.id;
        let now = self.ports.clock.now();
        let blocks = match grant.state.is_terminal() {
            true => Vec::new(),
            false => self.ports.reader.blocks(&BlockScope::covering(&grant)).await?,
        };
        let has_left = self.left_by(&grant, known).await;
        let is_sure = has_left.is_some();
        let leaves = has_left.unwrap_or(false).then(|| left(&grant, now));
        let stopped = self.voided(&grant, now).or(leaves);
        let grant = match self.due_event(&grant, blocks.first(), stopped, now) {
            Some((event, also)) => self.advance(grant, &event, also, now, report).await?,
            None => grant,
        };
        let marked = blocks.iter().any(|block| matches!(block.scope, BlockScope::Grant(_)));
        if grant.state.is_terminal() || (marked && matches!(grant.state, State::Revoking(_))) {
            self.ports.due.clear_mark(id).await?;
        }
        let mut early = None;
        match (&grant.state, &grant.delivery) {
            (State::Revoking(revoking), Delivery::Session { role_arn, .. }) => {
                let role = role_arn.clone();
                if ends_at_deadline(&grant, revoking, now) {
                    self.prove_deadline(grant, &role, report).await?;
                } else if ends_early(&grant, revoking) {
                    early = Some((role, grant));
                }
            }
            (State::Active { .. } | State::Revoking(_), Delivery::Inline { .. } | Delivery::Managed { .. }) => {
                self.settle_attachment(grant, report).await?;
            }
            _ => {}
        }
        Ok(Stepped { early, is_sure })
    }

    /// What has happened to the grant that it does not know yet.
    fn due_event(
        &self,
        grant: &Grant,
        block: Option<&Block>,
        stopped: Option<Event>,
        now: Timestamp,
    ) -> Option<(Event, Vec<Also>)> {
        let event = match (&grant.state, block) {
            (State::Revoking(_), _) => return None,
            (state, Some(block)) if !state.is_terminal() => {
                let fence = now.plus(grant.bounds.landing_s());
                Event::Stopped { cause: cause_of(block), by: Some(block.by.clone()), fence }
            }
            (state, None) if stopped.is_some() && !state.is_terminal() => stopped?,
            (State::ApprovalAwaited { deadline, .. }, _) if now >= *deadline => Event::ApprovalDeadlinePassed,
            (State::Approved { start_by, .. }, _) if now >= *start_by => Event::StartByPassed,
            (State::Active { deadline, .. } | State::Activating { deadline, .. }, _) if now >= *deadline => {
                Event::DeadlinePassed
            }
            // Issue never saw it there, and nothing that was started can land any more.
            (State::Activating { fence, start_by, .. }, _) if now >= *fence.max(start_by) => {
                Event::ActivationFailed { problem: "its start-by passed".to_owned().into() }
            }
            _ => return None,
        };
        let also = self.also_denied(grant, &event, now);
        Some((event, also))
    }

    /// What is stored with `event` so that a session that it ends before its deadline is denied.
    pub(super) fn also_denied(&self, grant: &Grant, event: &Event, now: Timestamp) -> Vec<Also> {
        self.deny_entry(grant, event, now).map(Also::Deny).into_iter().collect()
    }

    /// The entry that ends a live session before its deadline, stored in the transaction that enters `Revoking`.
    fn deny_entry(&self, grant: &Grant, event: &Event, now: Timestamp) -> Option<DenyEntry> {
        let State::Active { deadline, vends, fence, .. } = &grant.state else { return None };
        let Delivery::Session { role_arn, session_name, iam_allowed } = &grant.delivery else { return None };
        if !*iam_allowed && matches!(event, Event::DeadlinePassed) {
            return None;
        }
        let gone_by = vends.gone_by.unwrap_or(*deadline);
        // A session that may touch IAM could have widened itself: only its expiry ends it for sure.
        let last = if *iam_allowed { gone_by } else { gone_by.min(*deadline) };
        Some(DenyEntry {
            role_arn: role_arn.clone(),
            grant: grant.id,
            session_name: session_name.clone(),
            stored_at: now,
            // As the grant's fence will be: what is judged by the one must agree with what is judged by the other.
            issued_by: (*fence).max(now.plus(grant.bounds.landing_s())),
            leave_at: last.plus(grant.bounds.skew_s),
        })
    }

    /// Proof by construction: AWS's own clock, read after deadline and skew, is past the deadline.
    async fn prove_deadline(&self, grant: Grant, role: &str, report: &mut PassReport) -> Result<(), StepError> {
        let reading = match self.ports.roles.read_deny(role, &self.deployment.deny_policy_name()).await {
            Ok(reading) => reading,
            // Told, and behind the others on the list: a few that hang must not use up every pass.
            Err(error) => {
                let now = self.ports.clock.now();
                let problem = Problem::from(error.chain());
                let event = Event::RemovalTroubled { problem, next_at: now.plus(RETRY_S) };
                self.advance(grant, &event, Vec::new(), now, report).await?;
                return Err(error.into());
            }
        };
        let event = Event::DeadlineProved { aws_date: reading.aws_date, request_id: reading.request_id };
        let now = self.ports.clock.now();
        self.advance(grant, &event, Vec::new(), now, report).await.map(drop)
    }

    pub(super) async fn advance(
        &self,
        grant: Grant,
        event: &Event,
        also: Vec<Also>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let put_out = ends(&grant, event, now).then_some(Also::PutOut(grant.id));
        let also = also.into_iter().chain(put_out).collect();
        let Some(after) = self.journal.record(&grant, event, None, also, now).await? else { return Ok(grant) };
        report.n_changed = report.n_changed.saturating_add(1);
        if matches!(after.state, State::Ended { .. }) && !grant.state.is_terminal() {
            report.n_ended = report.n_ended.saturating_add(1);
            report.late.insert(after.id, None);
        } else {
            // Also where this very pass puts off the look that would tell of it.
            report.note_late(LateGrant::of(&after, now), now);
        }
        if after.state.name() != grant.state.name() {
            tracing::info!(grant.id = %after.id, event = event.name(), state = after.state.name(), "moved a grant");
        }
        Ok(after)
    }
}

/// Why a block ends a grant. Intake writes marks, and one that lies must not pass an early end off as the deadline's:
/// what only the reaper can see counts as a revocation.
fn cause_of(block: &Block) -> EndCause {
    match block.cause {
        EndCause::Released | EndCause::Revoked | EndCause::Killed | EndCause::Leaver => block.cause,
        EndCause::Deadline | EndCause::Drift | EndCause::ActivationFailed => EndCause::Revoked,
    }
}

/// Whether the deadline itself can be proved: nothing vended outlives it, and no clock can still be before it.
fn ends_at_deadline(grant: &Grant, revoking: &Revoking, now: Timestamp) -> bool {
    matches!(grant.delivery, Delivery::Session { iam_allowed: false, .. })
        && now >= revoking.deadline.plus(grant.bounds.skew_s)
}

/// Whether the session must be denied by the reserved deny.
fn ends_early(grant: &Grant, revoking: &Revoking) -> bool {
    match grant.delivery {
        Delivery::Session { iam_allowed, .. } => iam_allowed || revoking.cause != EndCause::Deadline,
        Delivery::Inline { .. } | Delivery::Managed { .. } => false,
    }
}
