//! What `reap` does: find what is due, remove it, and prove that it is gone.
//!
//! A tick carries no input: the to-do list says where to look, a consistent read says what is there, and `apply`
//! says what may follow. One grant's failure never stops the pass.

mod attachment;
mod drills;
mod echo;
mod kills;
pub(crate) mod leavers;
mod overdue;
mod ports;
mod report;
mod role;
mod rotate;
mod service;
mod step;
mod sweep;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::confirmation::Confirmation;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::heart::Tolerance;
use brevet_domain::id::GrantId;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt as _};

pub use self::drills::Drills;
pub use self::echo::{EchoingReaper, Heard};
use self::kills::KillWalk;
pub use self::kills::Kills;
use self::leavers::Walk;
pub use self::ports::{Attachments, Ports};
pub use self::report::{FoundBy, PassReport};
use self::step::Stepped;
pub use self::sweep::{LISTED_WITHIN_S, Sweep};
use self::walk::Again;
use crate::catalogue::InForce;
use crate::journal::{Journal, StepError};
use crate::port::{PortError, PortResult};

/// How many lines of the to-do list are read at once.
const PAGE: u32 = 100;

/// How many grants are looked at together: each waits for one call after the other.
const AT_ONCE: usize = 16;

/// How many roles are settled together. What one of them has to tell goes out in so many parts at a time that the calls
/// under way are no more than those for grants.
const ROLES_AT_ONCE: usize = 4;
const TOLD_AT_ONCE: usize = AT_ONCE / ROLES_AT_ONCE;

/// For how long a pass begins with grants, in seconds, of the minute until the next tick.
///
/// So the reaper works nearly all of the time when there is more to do than fits. What is under way when it is up takes a
/// few calls more, and roles are settled then: the function's time-out leaves as much again for both. A tick that comes
/// meanwhile waits: another pass at once would waste calls.
pub const PASS_BUDGET_S: u32 = 56;

/// The use case of the reap function.
pub struct Reaper {
    ports: Ports,
    journal: Journal,
    deployment: Deployment,
    /// Names this process among those that may write a role's deny.
    holder: String,
    /// Bounds on time, as they are configured now.
    bounds: Bounds,
    /// How long one pass may take, in seconds; what is left is done by the next tick.
    budget_s: u32,
    /// What issuing puts up with.
    tolerance: Tolerance,
    /// How far it has come with looking at every live grant under the bundle in force.
    walk: Mutex<Walk>,
    /// How far it has come with looking at every live grant for the blocks that stand.
    kill_walk: Mutex<KillWalk>,
    /// What is due again.
    again: Again,
    /// The word that the table is in service, as the last look at the table found it.
    confirmed: Mutex<Option<Confirmation>>,
    /// The role at which the next sweep begins, and whether it is a session role.
    next_swept: Mutex<Option<(bool, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pass goes by.
#[derive(Clone, Copy)]
struct Look<'a> {
    /// The bundle in force; nothing where it cannot be read, and then nobody is known to have left.
    known: Option<&'a InForce>,
    /// When the pass began.
    started: Timestamp,
    /// What called for it.
    found_by: FoundBy,
}

/// What one look at a grant came to.
struct Looked {
    id: GrantId,
    /// What it did: a part of the pass's.
    report: PassReport,
    /// The role on which its session is to be ended early.
    early: Option<(String, Grant)>,
    /// Whether nothing failed.
    went_well: bool,
    /// And nothing was left open.
    is_sure: bool,
    /// When an attachment is due again.
    again_at: Option<Timestamp>,
}

/// What a pass has looked at, and what that left to do.
#[derive(Default)]
struct Work {
    /// Grants whose sessions are to be ended early, by session role.
    roles: BTreeMap<String, Vec<Grant>>,
    /// The grants that were looked at, and whether that went well and left nothing open.
    looked: BTreeMap<GrantId, bool>,
    /// Grants that hold what the sweep saw standing, and since when each is due.
    held: BTreeMap<GrantId, Timestamp>,
}

impl Work {
    fn take(&mut self, looked: Looked, report: &mut PassReport) {
        report.add(looked.report);
        if let Some((role, grant)) = looked.early {
            self.roles.entry(role).or_default().push(grant);
        }
        self.looked.insert(looked.id, looked.is_sure);
    }

    /// Takes looks in, as each comes to its end.
    async fn take_all(&mut self, looks: impl Stream<Item = Looked> + Send, report: &mut PassReport) {
        let mut looks = pin!(looks);
        while let Some(looked) = looks.next().await {
            self.take(looked, report);
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
        tolerance: Tolerance,
    ) -> Self {
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "reap");
        let (walk, kill_walk, again) = (Mutex::default(), Mutex::default(), Again::default());
        let (confirmed, next_swept) = (Mutex::default(), Mutex::default());
        Self {
            ports,
            journal,
            deployment,
            holder,
            bounds,
            budget_s,
            tolerance,
            walk,
            kill_walk,
            again,
            confirmed,
            next_swept,
        }
    }

    /// Makes a whole pass: everything that a block covers, everything due, then every role with live early ends.
    ///
    /// # Errors
    ///
    /// [`PortError`] only if the heart of a good pass could not be recorded. Everything else is counted.
    pub async fn pass(&self) -> PortResult<PassReport> {
        self.pass_for(FoundBy::Schedule).await
    }

    /// The same, where something else than the schedule called for it.
    async fn pass_for(&self, found_by: FoundBy) -> PortResult<PassReport> {
        let started = self.ports.clock.now();
        let mut report = PassReport::begun(found_by);
        let (mut work, known) = (Work::default(), self.known().await);
        let look = Look { known: known.as_deref(), started, found_by };
        // Without that word everything is ended as ever, but the heart stands still.
        report.good &= self.look_at_table().await;
        // At once, and not only when it is due.
        self.walk_kills(look, &mut work, &mut report).await;
        self.sweep_beside_due(look, &mut work, &mut report).await;
        self.walk_leavers(look, &mut work, &mut report).await;
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
        report.n_unreviewed = self.unreviewed().await;
        if report.good {
            self.beat(started, &mut report).await?;
        }
        // Last: what ended stays ended, however long this takes and whatever comes of it.
        self.rotate_due(started, started.plus(self.budget_s), &mut report).await;
        Ok(report)
    }

    /// Looks at `ids` at once: the stream named them, the store says what to do about them.
    ///
    /// What is not looked at must be named again: a burnt fuse may be all that still knows of its grant.
    pub async fn wake(&self, ids: &[GrantId], found_by: FoundBy) -> PassReport {
        let until = self.ports.clock.now().plus(self.budget_s);
        let mut report = PassReport::begun(found_by);
        let (mut work, known) = (Work::default(), self.known().await);
        self.look_at_table().await;
        let known = known.as_deref();
        let ids: BTreeSet<GrantId> = ids.iter().copied().collect();
        let looks = stream::iter(ids).map(|id| async move {
            if self.ports.clock.now() >= until {
                return None;
            }
            let mut looked = self.look(id, known, found_by).await;
            self.again.put(&looked, self.ports.clock.now());
            looked.report.n_due = 1;
            looked.report.good = looked.went_well;
            Some(looked)
        });
        let mut looks = pin!(looks.buffer_unordered(AT_ONCE));
        while let Some(looked) = looks.next().await {
            match looked {
                Some(looked) => work.take(looked, &mut report),
                None => {
                    tracing::warn!("ran out of time for something that the stream named");
                    report.good = false;
                }
            }
        }
        self.settle(work.roles, &mut report).await;
        report
    }

    /// Looks at the attachments that this process knows to be due by now: what is not looked at stands on its list.
    async fn look_again(&self, found_by: FoundBy) -> PassReport {
        match self.again.take_due(self.ports.clock.now()) {
            ids if ids.is_empty() => PassReport::begun(found_by),
            ids => self.wake(&ids, found_by).await,
        }
    }

    /// How many uses await their review: what keeps the alarm up, also where the word of a use got lost. It is no part of
    /// ending anything: where it fails, the pass is as good.
    async fn unreviewed(&self) -> Option<u32> {
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

    /// Sweeps while what is due is looked at: neither waits for the other, however much there is of it. Of the pass the
    /// sweep has a quarter, since roles are settled only after both.
    async fn sweep_beside_due(&self, look: Look<'_>, work: &mut Work, report: &mut PassReport) {
        let (mut swept, mut of_sweep) = (Work::default(), PassReport::begun(look.found_by));
        let mut of_due = PassReport::begun(look.found_by);
        let sweep = self.sweep(look.started.plus(self.budget_s.div_ceil(4)), &mut swept, &mut of_sweep);
        join(sweep, self.walk_due(look, work, &mut of_due)).await;
        for role in swept.roles.into_keys() {
            work.roles.entry(role).or_default();
        }
        // In this order: of a grant that both came by, the walk may have seen the end. The sweep ends none.
        let is_whole = of_due.good;
        report.add(of_sweep);
        report.add(of_due);
        if is_whole {
            self.look_at_forgotten(look, swept.held, work, report).await;
        }
    }

    /// Looks at everything that is due, oldest first on each list.
    async fn walk_due(&self, look: Look<'_>, work: &mut Work, report: &mut PassReport) {
        let until = look.started.plus(self.budget_s);
        // Issue's lists too: what ran out of time there ends here, also with issue down.
        let mut lists = self.due(look.started, until);
        let looks = lists.lines().map(|(role, line)| async move {
            let mut looked = self.look(line.id, look.known, look.found_by).await;
            self.again.put(&looked, self.ports.clock.now());
            // What waits for issue is overdue there, not here.
            if role == DueRole::Reap {
                looked.report.n_due = 1;
                looked.report.note_overdue(look.started.seconds_since(line.next_at));
                if !looked.went_well {
                    looked.report.note_unseen(&line);
                }
            }
            looked
        });
        work.take_all(looks.buffer_unordered(AT_ONCE), report).await;
        report.good &= lists.is_whole;
    }

    /// One grant; its failure is counted and logged, and stops nothing.
    async fn look(&self, id: GrantId, known: Option<&InForce>, found_by: FoundBy) -> Looked {
        let mut report = PassReport::begun(found_by);
        match self.step(id, known, &mut report).await {
            Ok(Stepped { early, is_sure, again_at }) => {
                Looked { id, report, early, went_well: true, is_sure, again_at }
            }
            Err(error) => {
                note(id, &error, &mut report);
                Looked { id, report, early: None, went_well: false, is_sure: false, again_at: None }
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

/// A race lost to another reaper is no failure: what it did is read by the next look.
fn note(id: GrantId, error: &StepError, report: &mut PassReport) {
    match error {
        StepError::Port(PortError::Conflict { .. }) | StepError::Transition(_) => {
            tracing::info!(grant.id = %id, reason = %error, "left a grant to the next look");
        }
        StepError::Port(error) => {
            report.n_failed = report.n_failed.saturating_add(1);
            tracing::warn!(grant.id = %id, problem = error.chain(), "a grant could not be reaped this time");
        }
    }
}
