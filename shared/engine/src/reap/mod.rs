//! What `reap` does: find what is due, remove it, and prove that it is gone.
//!
//! A tick carries no input: the to-do list says where to look, a consistent read says what is there, and `apply`
//! says what may follow. One grant's failure never stops the pass.

mod attachment;
mod kills;
pub(crate) mod leavers;
mod role;
mod rotate;
mod step;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::heart::Heart;
use brevet_domain::id::GrantId;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use serde::Serialize;

use self::kills::KillWalk;
pub use self::kills::Kills;
use self::leavers::Walk;
use crate::catalogue::{Catalogue, InForce};
use crate::journal::{Journal, StepError};
use crate::port::{
    Clock, Counts, DenyStore, Deprovisioner, DueList, GrantReader, GrantStore, HeartStore, IdSource, PortError,
    PortResult, Principals, ReviewReader, Rotator, SessionRoles, shards_at,
};

/// How many lines of the to-do list are read at once.
const PAGE: u32 = 100;

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
    /// The heart.
    pub heart: Arc<dyn HeartStore>,
    /// The reserved deny on session roles.
    pub roles: Arc<dyn SessionRoles>,
    /// Attachment principals.
    pub attachments: Attachments,
    /// Secrets that are rotated once a grant has ended.
    pub rotator: Arc<dyn Rotator>,
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
    /// How long one AWS call may take with its attempts, in seconds.
    call_s: u32,
    /// How long one pass may take, in seconds; what is left is done by the next tick.
    budget_s: u32,
    /// How far it has come with looking at every live grant under the bundle in force.
    walk: Mutex<Walk>,
    /// How far it has come with looking at every live grant for the blocks that stand.
    kill_walk: Mutex<KillWalk>,
    /// Whether the grant last looked at could not be looked up in the bundle.
    in_doubt: AtomicBool,
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
    /// Rotations of secrets that were seen done.
    pub n_rotated: u32,
    /// Looks at a rotation that found it not done, or failed; each is looked at again.
    pub n_unrotated: u32,
    /// For how many seconds a secret that was looked at waits to be rotated, from the end of its grant.
    pub oldest_rotation_s: u64,
    /// Blocks of the kill switch that stand.
    pub n_blocks: u32,
    /// How many grants that they cover a walk over every live grant still found alive; nothing if none came through.
    pub n_blocked_alive: Option<u64>,
    /// Of the blocks whose zero this pass proved first: how many seconds that took at the longest.
    pub zero_after_s: Option<u64>,
    /// Whether every shard was read up to the start of the pass; where the stream named grants, whether each was
    /// looked at.
    pub good: bool,
}

impl PassReport {
    fn note_overdue(&mut self, seconds: u64) {
        self.oldest_overdue_s = self.oldest_overdue_s.max(seconds);
    }

    fn note_rotating(&mut self, seconds: u64) {
        self.oldest_rotation_s = self.oldest_rotation_s.max(seconds);
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

/// What a pass has looked at, and what that left to do.
#[derive(Default)]
struct Work {
    /// Grants whose sessions are to be ended early, by session role.
    roles: BTreeMap<String, Vec<Grant>>,
    /// The grants that were looked at, and whether that went well.
    looked: BTreeMap<GrantId, bool>,
}

impl Reaper {
    /// A reaper over `ports`. `holder` must differ between processes.
    #[must_use]
    pub fn new(ports: Ports, deployment: Deployment, holder: String, call_s: u32, budget_s: u32) -> Self {
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.ids), "reap");
        let (walk, kill_walk, in_doubt) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { ports, journal, deployment, holder, call_s, budget_s, walk, kill_walk, in_doubt }
    }

    /// Makes a whole pass: everything that a block covers, everything due, then every role with live early ends.
    ///
    /// # Errors
    ///
    /// [`PortError`] only if the heart of a good pass could not be recorded. Everything else is counted.
    pub async fn pass(&self) -> PortResult<PassReport> {
        let started = self.ports.clock.now();
        let mut report = PassReport { good: true, ..PassReport::default() };
        let (mut work, known) = (Work::default(), self.known().await);
        let look = Look { known: known.as_deref(), started };
        // At once, and not only when it is due.
        self.walk_kills(look, &mut work, &mut report).await;
        // Issue's lists too: what ran out of time there ends here, also with issue down.
        for (role, shard) in shards_at(started).flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]) {
            if let Err(error) = self.shard(role, shard, look, &mut work, &mut report).await {
                tracing::error!(?role, shard, problem = error.chain(), "a shard of the to-do list could not be read");
                report.good = false;
            }
        }
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
            self.ports.heart.beat(&Heart { read_up_to: started }).await?;
        }
        // Last: what ended stays ended, however long this takes and whatever comes of it.
        self.rotate_due(started, started.plus(self.budget_s), &mut report).await;
        Ok(report)
    }

    /// Looks at `ids` at once: the stream named them, the store says what to do about them.
    ///
    /// What is not looked at must be named again: a burnt fuse may be all that still knows of its grant.
    pub async fn wake(&self, ids: &[GrantId]) -> PassReport {
        let started = self.ports.clock.now();
        let mut report = PassReport { good: true, ..PassReport::default() };
        let (mut work, known) = (Work::default(), self.known().await);
        for id in ids.iter().collect::<BTreeSet<_>>() {
            if self.ports.clock.now() >= started.plus(self.budget_s) {
                tracing::warn!("ran out of time for what the stream named");
                report.good = false;
                break;
            }
            report.n_due = report.n_due.saturating_add(1);
            report.good &= self.look(*id, known.as_deref(), &mut work, &mut report).await;
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

    async fn shard(
        &self,
        role: DueRole,
        shard: u8,
        look: Look<'_>,
        work: &mut Work,
        report: &mut PassReport,
    ) -> PortResult<()> {
        let mut cursor: Option<String> = None;
        // Each page counts too: lines that name nothing are read as well.
        let is_over = |report: &mut PassReport| {
            let over = self.ports.clock.now() >= look.started.plus(self.budget_s);
            if over {
                tracing::warn!(shard, "the pass ran out of time: the next tick goes on");
                report.good = false;
            }
            over
        };
        while !is_over(report) {
            let page = self.ports.due.due(role, shard, look.started, cursor.as_deref(), PAGE).await?;
            for line in &page.lines {
                if is_over(report) {
                    return Ok(());
                }
                // What waits for issue is overdue there, not here.
                if role == DueRole::Reap {
                    report.n_due = report.n_due.saturating_add(1);
                    report.note_overdue(look.started.seconds_since(line.next_at));
                }
                self.look(line.id, look.known, work, report).await;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One grant; its failure is counted and logged, and stops nothing. Whether it went well.
    async fn look(&self, id: GrantId, known: Option<&InForce>, work: &mut Work, report: &mut PassReport) -> bool {
        self.in_doubt.store(false, Ordering::Relaxed);
        let went_well = match self.step(id, known, report).await {
            Ok(early) => {
                if let Some((role, grant)) = early {
                    work.roles.entry(role).or_default().push(grant);
                }
                true
            }
            Err(error) => {
                note(id, &error, report);
                false
            }
        };
        work.looked.insert(id, went_well && !self.in_doubt.load(Ordering::Relaxed));
        went_well
    }

    async fn settle(&self, work: BTreeMap<String, Vec<Grant>>, report: &mut PassReport) {
        for (role, grants) in work {
            if let Err(error) = self.settle_role(&role, grants, report).await {
                report.n_failed = report.n_failed.saturating_add(1);
                tracing::warn!(role, problem = error.chain(), "the reserved deny of a role could not be settled");
            }
        }
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
