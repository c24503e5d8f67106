//! What `reap` does: find what is due, remove it, and prove that it is gone.
//!
//! A tick carries no input: the to-do list says where to look, a consistent read says what is there, and `apply`
//! says what may follow. One grant's failure never stops the pass.

mod attachment;
mod drills;
mod kills;
pub(crate) mod leavers;
mod overdue;
mod role;
mod service;
mod step;
mod sweep;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::confirmation::Confirmation;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::heart::{LateGrant, Tolerance};
use brevet_domain::id::GrantId;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;

pub use self::drills::Drills;
use self::kills::KillWalk;
pub use self::kills::Kills;
use self::leavers::Walk;
use self::step::Stepped;
pub use self::sweep::Sweep;
use crate::catalogue::{Catalogue, InForce};
use crate::journal::{Journal, StepError};
use crate::port::{
    Clock, Counts, DenyStore, Deprovisioner, DueList, GrantReader, GrantStore, HeartStore, IdSource, InService,
    PortError, PortResult, Principals, ReviewReader, SessionRoles, shards_at,
};

/// How many lines of the to-do list are read at once.
const PAGE: u32 = 100;

/// How many grants are looked at together: each waits for one call after the other.
const AT_ONCE: usize = 32;

/// How many roles are settled together. What one of them has to tell goes out in so many parts at a time that the calls
/// under way are no more than those for grants.
const ROLES_AT_ONCE: usize = 4;
const TOLD_AT_ONCE: usize = AT_ONCE / ROLES_AT_ONCE;

/// The ports of the reap function.
#[derive(Clone)]
pub struct Ports {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// The to-do list.
    pub due: Arc<dyn DueList>,
    /// Live early ends.
    pub deny: Arc<dyn DenyStore>,
    /// Uses of break-glass that await their review.
    pub reviews: Arc<dyn ReviewReader>,
    /// The kill switch.
    pub kills: Kills,
    /// The sweep from AWS's side.
    pub sweep: Sweep,
    /// Which table this is.
    pub service: Arc<dyn InService>,
    /// The heart.
    pub heart: Arc<dyn HeartStore>,
    /// What the drills showed.
    pub drills: Drills,
    /// The reserved deny on session roles.
    pub roles: Arc<dyn SessionRoles>,
    /// Attachment principals.
    pub attachments: Attachments,
    /// The bundle in force: who is registered, and what can be asked for.
    pub catalogue: Arc<Catalogue>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Names for evidence.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// The ports to attachment principals.
#[derive(Clone)]
pub struct Attachments {
    /// Reads them.
    pub principals: Arc<dyn Principals>,
    /// Removes from them.
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// Who holds managed policies on them.
    pub counts: Arc<dyn Counts>,
}

impl std::fmt::Debug for Attachments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachments").finish_non_exhaustive()
    }
}

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
    /// The word that the table is in service, as the last look at the table found it.
    confirmed: Mutex<Option<Confirmation>>,
    /// The role at which the next sweep begins, and whether it is a session role.
    next_swept: Mutex<Option<(bool, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Lines of the to-do list that were looked at.
    pub n_due: u32,
    /// Changes that were written.
    pub n_changed: u32,
    /// Grants that ended with a proof.
    pub n_ended: u32,
    /// Grants or roles about which something failed; each is looked at again.
    pub n_failed: u32,
    /// Writes of a reserved deny.
    pub n_deny_written: u32,
    /// For how many seconds what is most overdue is: a line that was not looked at, or an end that is not proved.
    pub oldest_overdue_s: u64,
    /// How many uses of break-glass await their review, up to a page; unknown where they could not be read.
    pub n_unreviewed: Option<u32>,
    /// What looks left that should be over; nothing for what they ended. A later look at a grant says it anew.
    #[serde(skip)]
    pub late: BTreeMap<GrantId, Option<LateGrant>>,
    /// Grants that are overdue, as far as the heart names them.
    pub n_overdue: u32,
    /// Those of them that nobody acknowledged.
    pub n_unacknowledged: u32,
    /// Drills that do not show that access ends.
    pub n_unproved: u32,
    /// Whether that, or what is overdue, stops all issuing.
    pub is_stopped: bool,
    /// Blocks of the kill switch that stand.
    pub n_blocks: u32,
    /// How many grants that they cover a walk over every live grant still found alive; nothing if none came through.
    pub n_blocked_alive: Option<u64>,
    /// Of the blocks whose zero this pass proved first: how many seconds that took at the longest.
    pub zero_after_s: Option<u64>,
    /// What a sweep found in AWS that no live grant explains.
    pub n_swept: u32,
    /// Whether the sweep saw every role of this installation.
    pub swept: bool,
    /// Whether every shard was read up to the start of the pass; where the stream named grants, whether each was
    /// looked at.
    pub good: bool,
}

impl PassReport {
    /// What a pass reports that has done nothing yet, or a part of it.
    fn begun() -> Self {
        Self { good: true, ..Self::default() }
    }

    /// Adds what a part of the pass did. Nothing is shared between parts that run together.
    fn add(&mut self, part: Self) {
        let sum = u32::saturating_add;
        let mut late = std::mem::take(&mut self.late);
        late.extend(part.late);
        *self = Self {
            late,
            n_overdue: sum(self.n_overdue, part.n_overdue),
            n_unacknowledged: sum(self.n_unacknowledged, part.n_unacknowledged),
            n_unproved: sum(self.n_unproved, part.n_unproved),
            is_stopped: self.is_stopped || part.is_stopped,
            n_due: sum(self.n_due, part.n_due),
            n_changed: sum(self.n_changed, part.n_changed),
            n_ended: sum(self.n_ended, part.n_ended),
            n_failed: sum(self.n_failed, part.n_failed),
            n_deny_written: sum(self.n_deny_written, part.n_deny_written),
            oldest_overdue_s: self.oldest_overdue_s.max(part.oldest_overdue_s),
            n_unreviewed: self.n_unreviewed.max(part.n_unreviewed),
            n_blocks: sum(self.n_blocks, part.n_blocks),
            n_blocked_alive: self.n_blocked_alive.max(part.n_blocked_alive),
            zero_after_s: self.zero_after_s.max(part.zero_after_s),
            n_swept: sum(self.n_swept, part.n_swept),
            swept: self.swept || part.swept,
            good: self.good && part.good,
        };
    }

    /// Adds what parts did, as each comes to its end.
    async fn add_all(&mut self, parts: impl Stream<Item = Self> + Send) {
        let mut parts = pin!(parts);
        while let Some(part) = parts.next().await {
            self.add(part);
        }
    }

    fn note_overdue(&mut self, seconds: u64) {
        self.oldest_overdue_s = self.oldest_overdue_s.max(seconds);
    }

    /// A look left it as it was, though it should be over.
    fn note_late(&mut self, late: Option<LateGrant>, now: Timestamp) {
        let Some(late) = late else { return };
        self.note_overdue(now.seconds_since(late.since));
        self.late.insert(late.grant, Some(late));
    }
}

/// What a pass goes by.
#[derive(Clone, Copy)]
struct Look<'a> {
    /// The bundle in force; nothing where it cannot be read, and then nobody is known to have left.
    known: Option<&'a InForce>,
    /// When the pass began.
    started: Timestamp,
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
}

/// What a pass has looked at, and what that left to do.
#[derive(Default)]
struct Work {
    /// Grants whose sessions are to be ended early, by session role.
    roles: BTreeMap<String, Vec<Grant>>,
    /// The grants that were looked at, and whether that went well and left nothing open.
    looked: BTreeMap<GrantId, bool>,
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
        let (walk, kill_walk) = (Mutex::default(), Mutex::default());
        let (confirmed, next_swept) = (Mutex::default(), Mutex::default());
        Self { ports, journal, deployment, holder, bounds, budget_s, tolerance, walk, kill_walk, confirmed, next_swept }
    }

    /// Makes a whole pass: everything that a block covers, everything due, then every role with live early ends.
    ///
    /// # Errors
    ///
    /// [`PortError`] only if the heart of a good pass could not be recorded. Everything else is counted.
    pub async fn pass(&self) -> PortResult<PassReport> {
        let started = self.ports.clock.now();
        let mut report = PassReport::begun();
        let (mut work, known) = (Work::default(), self.known().await);
        let look = Look { known: known.as_deref(), started };
        // Without that word everything is ended as ever, but the heart stands still.
        report.good &= self.look_at_table().await;
        // At once, and not only when it is due.
        self.walk_kills(look, &mut work, &mut report).await;
        // A quarter of the pass is its own: however much is due, what stands unexplained does not wait.
        self.sweep(started.plus(self.budget_s.div_ceil(4)), &mut work, &mut report).await;
        self.walk_due(look, &mut work, &mut report).await;
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
        Ok(report)
    }

    /// Looks at `ids` at once: the stream named them, the store says what to do about them.
    ///
    /// What is not looked at must be named again: a burnt fuse may be all that still knows of its grant.
    pub async fn wake(&self, ids: &[GrantId]) -> PassReport {
        let until = self.ports.clock.now().plus(self.budget_s);
        let mut report = PassReport::begun();
        let (mut work, known) = (Work::default(), self.known().await);
        self.look_at_table().await;
        let known = known.as_deref();
        let ids: BTreeSet<GrantId> = ids.iter().copied().collect();
        let looks = stream::iter(ids).map(|id| async move {
            if self.ports.clock.now() >= until {
                return None;
            }
            let mut looked = self.look(id, known).await;
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

    /// Looks at everything that is due, oldest first on each list.
    async fn walk_due(&self, look: Look<'_>, work: &mut Work, report: &mut PassReport) {
        let until = look.started.plus(self.budget_s);
        // Issue's lists too: what ran out of time there ends here, also with issue down.
        let mut lists = self.lists("what is due", shards_at(look.started), look.started, until);
        let looks = lists.lines().map(|(role, line)| async move {
            let mut looked = self.look(line.id, look.known).await;
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
    async fn look(&self, id: GrantId, known: Option<&InForce>) -> Looked {
        let mut report = PassReport::begun();
        match self.step(id, known, &mut report).await {
            Ok(Stepped { early, is_sure }) => Looked { id, report, early, went_well: true, is_sure },
            Err(error) => {
                note(id, &error, &mut report);
                Looked { id, report, early: None, went_well: false, is_sure: false }
            }
        }
    }

    async fn settle(&self, roles: BTreeMap<String, Vec<Grant>>, report: &mut PassReport) {
        let settled = stream::iter(roles).map(|(role, grants)| async move {
            let mut report = PassReport::begun();
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
