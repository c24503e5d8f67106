//! The use case of `reap`: find grants that are due, remove their access, and prove that it is gone.
//!
//! A tick carries no input. The to-do lists name grants, a consistent read shows their state, and `apply` says which
//! changes may follow. One grant's failure never stops the pass.

mod attachment;
mod drills;
mod kill_switch;
mod leavers;
mod lists;
mod overdue;
mod ports;
mod report;
mod role;
mod rotate;
mod service;
mod standby_tick;
mod step;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::confirmation::Confirmation;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt as _};

pub use self::drills::Drills;
use self::kill_switch::KillSwitchPass;
pub use self::kill_switch::KillSwitchPorts;
use self::leavers::CataloguePass;
use self::lists::RetryQueue;
pub use self::ports::{Attachments, Ports};
pub use self::report::{FoundBy, PassReport};
pub use self::standby_tick::{ReaperWithStandby, StandbyOutcome};
use self::step::GrantStep;
pub use self::sweep::{LISTED_WITHIN_S, Sweep};
use crate::catalogue::InForce;
use crate::journal::{Journal, StepError};
use crate::port::{PortError, PortResult};

/// How many lines of a to-do list one page holds.
const PAGE: u32 = 100;

/// How many grants are reconciled concurrently; each waits for one call after the other.
const AT_ONCE: usize = 16;

/// How many roles are settled concurrently. Each role records on so many grants at a time that no more calls are under
/// way than for grants.
const ROLES_AT_ONCE: usize = 4;
const RECORDED_AT_ONCE: usize = AT_ONCE / ROLES_AT_ONCE;

/// For how long a pass starts new grants, in seconds, of the minute until the next tick.
///
/// So the reaper works nearly all of the time when there is more to do than fits into a pass. Grants under way at the
/// end take a few more calls, and roles are settled after them: the function's timeout leaves another minute for both.
/// A tick that comes meanwhile waits, since a concurrent pass would waste calls.
pub const PASS_BUDGET_S: u32 = 56;

/// The use case of the reap function.
pub struct Reaper {
    ports: Ports,
    journal: Journal,
    deployment: Deployment,
    /// Identifies this process among the writers of a role's deny.
    holder: String,
    /// The time bounds, as configured now.
    bounds: Bounds,
    /// How long one pass may start new grants, in seconds; the next tick does the rest.
    budget_s: u32,
    /// The limits for issuing, from which a grant counts as overdue.
    issuance_policy: IssuancePolicy,
    /// The progress of this process in checking every live grant against the bundle in force.
    catalogue_pass: Mutex<CataloguePass>,
    /// The progress of this process in checking every live grant against the standing blocks.
    kill_switch_pass: Mutex<KillSwitchPass>,
    /// Attachments that are due again soon.
    retry_queue: RetryQueue,
    /// The confirmation of the table, as last read.
    confirmed: Mutex<Option<Confirmation>>,
    /// The role at which the next sweep begins, and whether it is a session role.
    next_swept: Mutex<Option<(bool, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The context of one pass.
#[derive(Clone, Copy)]
struct PassContext<'a> {
    /// The bundle in force; if it cannot be read, no grant counts as having left the catalogue.
    bundle: Option<&'a InForce>,
    started: Timestamp,
    /// The trigger of the pass.
    found_by: FoundBy,
}

/// The result of reconciling one grant.
struct StepOutcome {
    id: GrantId,
    /// The grant's part of the pass report.
    report: PassReport,
    /// The role and the grant, if its session must be ended early.
    early: Option<(String, Grant)>,
    /// Whether no call failed.
    went_well: bool,
    /// Whether, in addition, nothing was left unknown.
    is_sure: bool,
    /// When an attachment is due again.
    retry_at: Option<Timestamp>,
}

/// The work of one pass: reconciled grants, and what is left to do.
#[derive(Default)]
struct Work {
    /// Grants whose sessions are to be ended early, by session role.
    roles: BTreeMap<String, Vec<Grant>>,
    /// The grants that were reconciled, and whether that succeeded and left nothing unknown.
    reconciled: BTreeMap<GrantId, bool>,
    /// Grants whose access the sweep found in AWS, and since when each is due.
    held: BTreeMap<GrantId, Timestamp>,
}

impl Work {
    fn take(&mut self, outcome: StepOutcome, report: &mut PassReport) {
        report.add(outcome.report);
        if let Some((role, grant)) = outcome.early {
            self.roles.entry(role).or_default().push(grant);
        }
        self.reconciled.insert(outcome.id, outcome.is_sure);
    }

    /// Takes each outcome as it completes.
    async fn take_all(&mut self, outcomes: impl Stream<Item = StepOutcome> + Send, report: &mut PassReport) {
        let mut outcomes = pin!(outcomes);
        while let Some(outcome) = outcomes.next().await {
            self.take(outcome, report);
        }
    }
}

impl Reaper {
    /// A reaper over `ports`. `holder` must differ between processes.
    #[must_use]
    pub fn new(
        ports: Ports,
        deployment: Deployment,
        holder: String,
        (bounds, budget_s): (Bounds, u32),
        issuance_policy: IssuancePolicy,
    ) -> Self {
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "reap");
        let (catalogue_pass, kill_switch_pass) = (Mutex::default(), Mutex::default());
        let (retry_queue, confirmed, next_swept) = (RetryQueue::default(), Mutex::default(), Mutex::default());
        Self {
            ports,
            journal,
            deployment,
            holder,
            bounds,
            budget_s,
            issuance_policy,
            catalogue_pass,
            kill_switch_pass,
            retry_queue,
            confirmed,
            next_swept,
        }
    }

    /// Makes a whole pass: grants that a block covers, grants that are due, then every role with early ends.
    ///
    /// # Errors
    ///
    /// [`PortError`] only if the heartbeat of a good pass could not be recorded. Other failures are counted.
    pub async fn pass(&self) -> PortResult<PassReport> {
        self.pass_for(FoundBy::Schedule).await
    }

    /// Makes a pass for another reason than the schedule.
    async fn pass_for(&self, found_by: FoundBy) -> PortResult<PassReport> {
        let started = self.ports.clock.now();
        let mut report = PassReport::begun(found_by);
        let (mut work, bundle) = (Work::default(), self.current_bundle().await);
        let context = PassContext { bundle: bundle.as_deref(), started, found_by };
        // Over an unconfirmed table, grants are ended as usual but no heartbeat is recorded.
        report.good &= self.check_table_confirmation().await;
        // Grants under a block end at once, not only when they are due.
        self.run_kill_switch_pass(context, &mut work, &mut report).await;
        self.sweep_beside_due(context, &mut work, &mut report).await;
        self.run_catalogue_pass(context, &mut work, &mut report).await;
        match self.ports.deny.denied_roles().await {
            Ok(roles) => {
                for role in roles {
                    work.roles.entry(role).or_default();
                }
            }
            Err(error) => {
                tracing::error!(problem = error.chain(), "the list of early ends could not be read");
                report.good = false;
            }
        }
        self.settle(work.roles, &mut report).await;
        report.n_unreviewed = self.count_unreviewed().await;
        if report.good {
            self.record_heartbeat(started, &mut report).await?;
        }
        // Rotations come last: however long they take or fail, the ends are recorded.
        self.rotate_due(started, started.plus(self.budget_s), &mut report).await;
        Ok(report)
    }

    /// Reconciles `ids` at once, because the stream named them. The stored records say what to do about them.
    ///
    /// A grant that is not reconciled must be named again: an expired backstop may be the last record of its grant.
    pub async fn wake(&self, ids: &[GrantId], found_by: FoundBy) -> PassReport {
        let until = self.ports.clock.now().plus(self.budget_s);
        let mut report = PassReport::begun(found_by);
        let (mut work, bundle) = (Work::default(), self.current_bundle().await);
        self.check_table_confirmation().await;
        let bundle = bundle.as_deref();
        let ids: BTreeSet<GrantId> = ids.iter().copied().collect();
        let outcomes = stream::iter(ids).map(|id| async move {
            if self.ports.clock.now() >= until {
                return None;
            }
            let mut outcome = self.reconcile(id, bundle, found_by).await;
            self.retry_queue.put(&outcome, self.ports.clock.now());
            outcome.report.n_due = 1;
            outcome.report.good = outcome.went_well;
            Some(outcome)
        });
        let mut outcomes = pin!(outcomes.buffer_unordered(AT_ONCE));
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Some(outcome) => work.take(outcome, &mut report),
                None => {
                    tracing::warn!("there was no time for a grant that the stream named: it must be named again");
                    report.good = false;
                }
            }
        }
        self.settle(work.roles, &mut report).await;
        report
    }

    /// Reconciles the attachments in the retry queue that are due by now. They stay on their lists in any case.
    async fn reconcile_retries(&self, found_by: FoundBy) -> PassReport {
        match self.retry_queue.take_due(self.ports.clock.now()) {
            ids if ids.is_empty() => PassReport::begun(found_by),
            ids => self.wake(&ids, found_by).await,
        }
    }

    /// Counts the uses that await their review. This keeps the alarm up even if the report of a use was lost. A failure
    /// here does not make the pass a bad one, because it concerns no end.
    async fn count_unreviewed(&self) -> Option<u32> {
        let count = async {
            let page = self.ports.reviews.reviews(None, PAGE).await?;
            let mut n: u32 = 0;
            for id in page.grants {
                let grant = self.ports.reader.grant(id).await?;
                n = n.saturating_add(u32::from(grant.is_some_and(|grant| grant.awaits_review())));
            }
            Ok::<_, PortError>(n)
        };
        count
            .await
            .inspect_err(|error| tracing::error!(problem = error.chain(), "the unreviewed uses could not be counted"))
            .ok()
    }

    /// Sweeps and reconciles due grants concurrently, so that neither waits for the other. The sweep gets a quarter of
    /// the pass, because roles are settled only after both.
    async fn sweep_beside_due(&self, context: PassContext<'_>, work: &mut Work, report: &mut PassReport) {
        let (mut swept, mut of_sweep) = (Work::default(), PassReport::begun(context.found_by));
        let mut of_due = PassReport::begun(context.found_by);
        let sweep = self.sweep(context.started.plus(self.budget_s.div_ceil(4)), &mut swept, &mut of_sweep);
        join(sweep, self.reconcile_due(context, work, &mut of_due)).await;
        for role in swept.roles.into_keys() {
            work.roles.entry(role).or_default();
        }
        // The order matters: only the due lists record ends, so their report overrides the sweep's for a grant in both.
        let is_whole = of_due.good;
        report.add(of_sweep);
        report.add(of_due);
        if is_whole {
            self.reconcile_unlisted(context, swept.held, work, report).await;
        }
    }

    /// Reconciles every grant that is due, oldest first on each list.
    async fn reconcile_due(&self, context: PassContext<'_>, work: &mut Work, report: &mut PassReport) {
        let until = context.started.plus(self.budget_s);
        // Issue's lists too: an activation that ran out of time ends here even while issue is down.
        let mut lists = self.due(context.started, until);
        let outcomes = lists.lines().map(|(role, line)| async move {
            let mut outcome = self.reconcile(line.id, context.bundle, context.found_by).await;
            self.retry_queue.put(&outcome, self.ports.clock.now());
            // A grant that waits for issue does not count as overdue here.
            if role == DueRole::Reap {
                outcome.report.n_due = 1;
                outcome.report.note_overdue(context.started.seconds_since(line.next_at));
                if !outcome.went_well {
                    outcome.report.note_unread(&line);
                }
            }
            outcome
        });
        work.take_all(outcomes.buffer_unordered(AT_ONCE), report).await;
        report.good &= lists.is_whole;
    }

    /// Reconciles one grant. Its failure is counted and logged, and stops nothing.
    async fn reconcile(&self, id: GrantId, bundle: Option<&InForce>, found_by: FoundBy) -> StepOutcome {
        let mut report = PassReport::begun(found_by);
        match self.step(id, bundle, &mut report).await {
            Ok(GrantStep { early, is_sure, retry_at }) => {
                StepOutcome { id, report, early, went_well: true, is_sure, retry_at }
            }
            Err(error) => {
                note(id, &error, &mut report);
                StepOutcome { id, report, early: None, went_well: false, is_sure: false, retry_at: None }
            }
        }
    }

    async fn settle(&self, roles: BTreeMap<String, Vec<Grant>>, report: &mut PassReport) {
        let found_by = report.found_by;
        let settled = stream::iter(roles).map(|(role, grants)| async move {
            let mut report = PassReport::begun(found_by);
            if let Err(error) = self.settle_role(&role, grants, &mut report).await {
                report.n_failed = report.n_failed.saturating_add(1);
                tracing::warn!(role, problem = error.chain(), "the reserved deny of a role could not be settled");
            }
            report
        });
        report.add_all(settled.buffer_unordered(ROLES_AT_ONCE)).await;
    }
}

impl std::fmt::Debug for Reaper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reaper").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Counts and logs a failed step. A race lost to another reaper is no failure: the next step reads what that one did.
fn note(id: GrantId, error: &StepError, report: &mut PassReport) {
    match error {
        StepError::Port(PortError::Conflict { .. }) | StepError::Transition(_) => {
            tracing::info!(grant.id = %id, reason = %error, "left a grant to the next pass");
        }
        StepError::Port(error) => {
            report.n_failed = report.n_failed.saturating_add(1);
            tracing::warn!(grant.id = %id, problem = error.chain(), "a grant could not be reaped in this pass");
        }
    }
}
