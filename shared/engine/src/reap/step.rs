//! One step of one grant: everything that can be done for it now.

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::deny::DenyEntry;
use brevet_domain::grant::{Delivery, EndCause, Event, Grant, Problem, Revoking, State};
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::LateGrant;
use brevet_domain::time::Timestamp;
use serde_json::json;

use super::attachment::ends;
use super::leavers::leaver_event;
use super::role::RETRY_S;
use super::{PassReport, Reaper};
use crate::catalogue::InForce;
use crate::journal::StepError;
use crate::port::TransactionItem;

/// The result of a step that did not fail.
pub(super) struct GrantStep {
    /// The role and the grant, if its session must be ended early.
    pub(super) early: Option<(String, Grant)>,
    /// Whether nothing was left unknown, such as whether the catalogue still lists the grant.
    pub(super) is_sure: bool,
    /// When an attachment is due again.
    pub(super) retry_at: Option<Timestamp>,
}

impl Reaper {
    /// Advances grant `id` as far as it can go now.
    pub(super) async fn step(
        &self,
        id: GrantId,
        bundle: Option<&InForce>,
        report: &mut PassReport,
    ) -> Result<GrantStep, StepError> {
        let Some(grant) = self.ports.reader.grant(id).await? else {
            // A mark on a request that was never decided, or a line that outlived its grant.
            self.ports.due.clear_mark(id).await?;
            return Ok(GrantStep { early: None, is_sure: true, retry_at: None });
        };
        let (now, n_ended) = (self.ports.clock.now(), report.n_ended);
        let late = LateGrant::of(&grant, now);
        let step = self.step_grant(grant, bundle, report).await;
        // A session that is ended early is judged for lateness with its role.
        if !matches!(step, Ok(GrantStep { early: Some(_), .. })) && report.n_ended == n_ended {
            report.note_late(late, now);
        }
        step
    }

    async fn step_grant(
        &self,
        grant: Grant,
        bundle: Option<&InForce>,
        report: &mut PassReport,
    ) -> Result<GrantStep, StepError> {
        let id = grant.id;
        let now = self.ports.clock.now();
        let blocks = match grant.state.is_terminal() {
            true => Vec::new(),
            false => self.ports.reader.blocks(&BlockScope::covering(&grant)).await?,
        };
        let has_left = self.has_left_catalogue(&grant, bundle).await;
        let is_sure = has_left.is_some();
        let leaves = has_left.unwrap_or(false).then(|| leaver_event(&grant, now));
        let stopped = self.voided(&grant, now).or(leaves);
        let grant = match self.due_event(&grant, blocks.first(), stopped, now) {
            Some((event, items)) => self.advance(grant, &event, items, now, report).await?,
            None => grant,
        };
        let marked = blocks.iter().any(|block| matches!(block.scope, BlockScope::Grant(_)));
        if grant.state.is_terminal() || (marked && matches!(grant.state, State::Revoking(_))) {
            self.ports.due.clear_mark(id).await?;
        }
        let (mut early, mut retry_at) = (None, None);
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
                retry_at = self.settle_attachment(grant, report).await?.due_at();
            }
            _ => {}
        }
        Ok(GrantStep { early, is_sure, retry_at })
    }

    /// The next event because of a deadline, a block, a leaver or a restored table, unless the grant has recorded it.
    fn due_event(
        &self,
        grant: &Grant,
        block: Option<&Block>,
        stopped: Option<Event>,
        now: Timestamp,
    ) -> Option<(Event, Vec<TransactionItem>)> {
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
            // Issue never observed the attachment, and no call that was started can take effect any more.
            (State::Activating { fence, start_by, .. }, _) if now >= *fence.max(start_by) => {
                Event::ActivationFailed { problem: "the start-by time passed".to_owned().into() }
            }
            _ => return None,
        };
        let items = self.deny_items(grant, &event, now);
        Some((event, items))
    }

    /// What is stored with `event` so that a session that ends before its deadline is denied.
    pub(super) fn deny_items(&self, grant: &Grant, event: &Event, now: Timestamp) -> Vec<TransactionItem> {
        self.deny_entry(grant, event, now).map(TransactionItem::Deny).into_iter().collect()
    }

    /// The deny entry for a live session that ends before its deadline, stored in the transaction that enters
    /// `Revoking`.
    fn deny_entry(&self, grant: &Grant, event: &Event, now: Timestamp) -> Option<DenyEntry> {
        let State::Active { deadline, vends, fence, .. } = &grant.state else { return None };
        let Delivery::Session { role_arn, session_name, iam_allowed } = &grant.delivery else { return None };
        if !*iam_allowed && matches!(event, Event::DeadlinePassed) {
            return None;
        }
        let gone_by = vends.gone_by.unwrap_or(*deadline);
        // A session that may call IAM could have widened itself: only its expiry ends it for sure.
        let last = if *iam_allowed { gone_by } else { gone_by.min(*deadline) };
        Some(DenyEntry {
            role_arn: role_arn.clone(),
            grant: grant.id,
            session_name: session_name.clone(),
            stored_at: now,
            // The same instant as the grant's fence will be, so that judgements by the two agree.
            issued_by: (*fence).max(now.plus(grant.bounds.landing_s())),
            leave_at: last.plus(grant.bounds.skew_s),
        })
    }

    /// Proof by construction: AWS's own clock, read after deadline and skew, is past the deadline.
    async fn prove_deadline(&self, grant: Grant, role: &str, report: &mut PassReport) -> Result<(), StepError> {
        let reading = match self.ports.roles.read_deny(role, &self.deployment.deny_policy_name()).await {
            Ok(reading) => reading,
            // The trouble is recorded and the grant goes behind others: a few that hang must not use up every pass.
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
        items: Vec<TransactionItem>,
        now: Timestamp,
        report: &mut PassReport,
    ) -> Result<Grant, StepError> {
        let backstop = ends(&grant, event, now).then_some(TransactionItem::RemoveBackstop(grant.id));
        let items = items.into_iter().chain(backstop).collect();
        let with = json!({ "found_by": report.found_by });
        let Some(after) = self.journal.record(&grant, event, Some(with), items, now).await? else { return Ok(grant) };
        report.n_changed = report.n_changed.saturating_add(1);
        if matches!(after.state, State::Ended { .. }) && !grant.state.is_terminal() {
            report.n_ended = report.n_ended.saturating_add(1);
            report.late.insert(after.id, None);
        } else {
            // Recorded here too, because this pass may put off the step that would report it.
            report.note_late(LateGrant::of(&after, now), now);
        }
        if after.state.name() != grant.state.name() {
            tracing::info!(grant.id = %after.id, event = event.name(), state = after.state.name(), "moved a grant");
        }
        Ok(after)
    }
}

/// The cause of an end by a block. Intake writes marks, and a lying mark must not pass an early end off as the
/// deadline's. So a cause that only the reaper can observe counts as a revocation.
fn cause_of(block: &Block) -> EndCause {
    match block.cause {
        EndCause::Released | EndCause::Revoked | EndCause::Killed | EndCause::Leaver => block.cause,
        EndCause::Deadline | EndCause::Drift | EndCause::ActivationFailed => EndCause::Revoked,
    }
}

/// Whether the deadline itself can be proved: nothing vended outlives it, and every clock is past it.
fn ends_at_deadline(grant: &Grant, revoking: &Revoking, now: Timestamp) -> bool {
    matches!(grant.delivery, Delivery::Session { iam_allowed: false, .. })
        && now >= revoking.deadline.plus(grant.bounds.skew_s)
}

/// Whether the reserved deny must deny the session.
fn ends_early(grant: &Grant, revoking: &Revoking) -> bool {
    match grant.delivery {
        Delivery::Session { iam_allowed, .. } => iam_allowed || revoking.cause != EndCause::Deadline,
        Delivery::Inline { .. } | Delivery::Managed { .. } => false,
    }
}
