//! The kill switch: what a standing block covers is ended at the next tick, not only when it is due.
//!
//! While blocks stand, each pass looks at every live grant, or goes on where the last one had to stop. A walk that went
//! through all of them says how many of those that a block covers are still alive; one that finds none proves zero.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::revocation::{Progress, Revocation, Walked, WideScope};
use brevet_domain::time::Timestamp;
use futures_util::stream::StreamExt as _;

use super::{AT_ONCE, Look, Looked, PAGE, PassReport, Reaper, Work, locked, note};
use crate::port::{PortResult, ProgressStore, RevocationReader};

/// The ports of the kill switch.
#[derive(Clone)]
pub struct Kills {
    /// Which blocks stand.
    pub reader: std::sync::Arc<dyn RevocationReader>,
    /// How far their end has come.
    pub progress: std::sync::Arc<dyn ProgressStore>,
}

impl std::fmt::Debug for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kills").finish_non_exhaustive()
    }
}

/// How far this process has come with looking at every live grant for the blocks that stand.
#[derive(Debug, Default)]
pub(super) struct KillWalk {
    /// The blocks, and when this process first saw each.
    standing: BTreeMap<WideScope, (Revocation, Timestamp)>,
    /// When the walk that is under way began.
    began_at: Option<Timestamp>,
    /// The grants that it has looked at.
    seen: BTreeSet<GrantId>,
    /// How many of those that each block covers were alive then.
    alive: BTreeMap<WideScope, u64>,
    /// How many of those that any covers were.
    n_alive: u64,
}

impl KillWalk {
    /// Goes by the blocks that stand now. Where they are others than before, the walk begins anew: what was looked at
    /// already may be covered by the new one.
    fn adopt(&mut self, standing: Vec<Revocation>, now: Timestamp) {
        let known: BTreeMap<_, _> = standing
            .into_iter()
            .map(|block| {
                let before = self.standing.get(&block.scope).filter(|(known, _)| *known == block);
                (block.scope.clone(), before.cloned().unwrap_or((block, now)))
            })
            .collect();
        if known != self.standing {
            *self = Self { standing: known, ..Self::default() };
        }
    }

    /// The same blocks, and nothing looked at.
    fn anew(self) -> Self {
        Self { standing: self.standing, ..Self::default() }
    }

    /// Counts a grant that is alive under `covered_by`, if by any.
    fn count(&mut self, covered_by: &BTreeSet<WideScope>) {
        if covered_by.is_empty() {
            return;
        }
        self.n_alive = self.n_alive.saturating_add(1);
        for scope in covered_by {
            let n = self.alive.entry(scope.clone()).or_default();
            *n = n.saturating_add(1);
        }
    }
}

/// What ending a grant that a block may cover came to.
struct Stopped {
    id: GrantId,
    /// The look at it, if there was one.
    looked: Option<Looked>,
    /// The scopes of the blocks that cover it, if it is alive all the same.
    alive_under: PortResult<BTreeSet<WideScope>>,
}

impl Reaper {
    /// Ends what standing blocks cover.
    ///
    /// Which blocks stand is read consistently, from no index. A pass that cannot read it is not good, for then nothing
    /// may be issued either.
    pub(super) async fn walk_kills(&self, look: Look<'_>, work: &mut Work, report: &mut PassReport) {
        let standing = match self.standing().await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::error!(problem = error.chain(), "which blocks stand could not be read");
                report.good = false;
                return;
            }
        };
        report.n_blocks = u32::try_from(standing.len()).unwrap_or(u32::MAX);
        let now = self.ports.clock.now();
        let mut walk = std::mem::take(&mut *locked(&self.kill_walk));
        walk.adopt(standing, now);
        if !walk.standing.is_empty() {
            walk.began_at.get_or_insert(now);
            // It may take half of the pass: what is due must not wait for it.
            let until = look.started.plus(self.budget_s.div_ceil(2));
            let mut live = self.live("blocks", until, std::mem::take(&mut walk.seen));
            let scopes: BTreeSet<WideScope> = walk.standing.keys().cloned().collect();
            let stops = live.lines().map(|(_, line)| self.stop_if_covered(line.id, &scopes, look));
            let mut unread = BTreeSet::new();
            {
                let mut stops = pin!(stops.buffer_unordered(AT_ONCE));
                while let Some(stopped) = stops.next().await {
                    if let Some(looked) = stopped.looked {
                        work.take(looked, report);
                    }
                    match stopped.alive_under {
                        Ok(scopes) => walk.count(&scopes),
                        // What cannot be read may be alive: no zero without it.
                        Err(error) => {
                            note(stopped.id, &error.into(), report);
                            unread.insert(stopped.id);
                        }
                    }
                }
            }
            report.good &= live.is_readable;
            let is_whole = live.is_whole && unread.is_empty();
            walk.seen = live.seen;
            walk.seen.retain(|id| !unread.contains(id));
            if is_whole {
                self.tell_progress(&walk, report).await;
                walk = walk.anew();
            }
        }
        *locked(&self.kill_walk) = walk;
    }

    async fn standing(&self) -> PortResult<Vec<Revocation>> {
        let (mut standing, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.ports.kills.reader.revocations(cursor.as_deref(), PAGE).await?;
            standing.extend(page.latest.into_iter().filter(Revocation::stands));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(standing);
            }
        }
    }

    /// Ends one grant as far as can be done at once, if a block of one of `scopes` covers it.
    async fn stop_if_covered(&self, id: GrantId, scopes: &BTreeSet<WideScope>, look: Look<'_>) -> Stopped {
        let mut looked = None;
        let stop = async {
            let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(BTreeSet::new()) };
            let covered_by: BTreeSet<_> = WideScope::covering(&grant).filter(|scope| scopes.contains(scope)).collect();
            if covered_by.is_empty() || grant.state.is_terminal() {
                return Ok(BTreeSet::new());
            }
            // What is ending already goes on when it is due.
            if !matches!(grant.state, State::Revoking(_)) {
                looked = Some(self.look(id, look.known, look.found_by).await);
            }
            let after = self.ports.reader.grant(id).await?;
            let is_alive = after.is_some_and(|grant| !grant.state.is_terminal());
            Ok(if is_alive { covered_by } else { BTreeSet::new() })
        };
        let alive_under = stop.await;
        Stopped { id, looked, alive_under }
    }

    async fn tell_progress(&self, walk: &KillWalk, report: &mut PassReport) {
        let ended_at = self.ports.clock.now();
        report.n_blocked_alive = Some(walk.n_alive);
        for (scope, (placed, seen_at)) in &walk.standing {
            let told = async {
                let before = self.ports.kills.reader.progress(scope).await?;
                // A process that was just started has not seen it first.
                let before = before.filter(|before| before.version == placed.version);
                let seen_at = before.as_ref().map_or(*seen_at, |before| before.seen_at.min(*seen_at));
                let began_at = walk.began_at.unwrap_or(ended_at);
                let n_alive = walk.alive.get(scope).copied().unwrap_or(0);
                let walked = Walked { seen_at, began_at, ended_at, n_alive };
                let progress = Progress::after(placed, walked, before.as_ref());
                self.ports.kills.progress.put_progress(&progress).await?;
                let is_new = before.is_none_or(|before| before.zero_at.is_none());
                PortResult::Ok(progress.zero_after_s.filter(|_| is_new))
            };
            match told.await {
                Ok(None) => {}
                Ok(Some(seconds)) => {
                    tracing::warn!(block = %scope, seconds, "proved that nothing that a block covers lives any more");
                    report.zero_after_s = report.zero_after_s.max(Some(seconds));
                }
                // The next walk says it again.
                Err(error) => {
                    report.n_failed = report.n_failed.saturating_add(1);
                    tracing::warn!(block = %scope, problem = error.chain(), "the progress of a block could not be told");
                }
            }
        }
    }
}
