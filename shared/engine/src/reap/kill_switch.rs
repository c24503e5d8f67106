//! The kill switch: grants that a standing block covers end at the next tick, not only when they are due.
//!
//! While blocks stand, each pass checks every live grant, or continues where the last one ran out of time. A pass over
//! all of them counts the covered grants that are still alive; a count of zero proves that every covered grant
//! has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::revocation::{BlockPass, Progress, Revocation, WideScope};
use brevet_domain::time::Timestamp;
use futures_util::stream::StreamExt as _;

use super::{AT_ONCE, PAGE, PassContext, PassReport, Reaper, StepOutcome, Work, locked, note};
use crate::port::{PortResult, ProgressStore, RevocationReader};

/// The ports of the kill switch.
#[derive(Clone)]
pub struct KillSwitchPorts {
    /// Reads the standing blocks.
    pub reader: std::sync::Arc<dyn RevocationReader>,
    /// Stores how far their grants have ended.
    pub progress: std::sync::Arc<dyn ProgressStore>,
}

impl std::fmt::Debug for KillSwitchPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KillSwitchPorts").finish_non_exhaustive()
    }
}

/// The progress of this process in checking every live grant against the standing blocks.
#[derive(Debug, Default)]
pub(super) struct KillSwitchPass {
    /// The blocks, and when this process first saw each.
    standing: BTreeMap<WideScope, (Revocation, Timestamp)>,
    /// When the current pass over all grants began.
    began_at: Option<Timestamp>,
    /// The grants that it has checked.
    seen: BTreeSet<GrantId>,
    /// The covered grants that were still alive, by block.
    alive: BTreeMap<WideScope, u64>,
    /// The covered grants that were still alive, each counted once.
    n_alive: u64,
}

impl KillSwitchPass {
    /// Takes over the blocks that stand now. If they have changed, the pass starts again, because a new block may cover
    /// grants that were checked before.
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

    /// A new pass over the same blocks.
    fn restarted(self) -> Self {
        Self { standing: self.standing, ..Self::default() }
    }

    /// Counts a live grant that the blocks on `covered_by` cover, if there are any.
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

/// The result of ending a grant that a block may cover.
struct Stopped {
    id: GrantId,
    /// The outcome, if the grant was reconciled.
    outcome: Option<StepOutcome>,
    /// The scopes of the blocks that cover the grant, if it is still alive.
    alive_under: PortResult<BTreeSet<WideScope>>,
}

impl Reaper {
    /// Ends the grants that standing blocks cover.
    ///
    /// The blocks are read consistently, without an index. A pass that cannot read them is not good, because then
    /// nothing may be issued either.
    pub(super) async fn run_kill_switch_pass(
        &self,
        context: PassContext<'_>,
        work: &mut Work,
        report: &mut PassReport,
    ) {
        let standing = match self.standing().await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::error!(problem = error.chain(), "the standing blocks could not be read");
                report.good = false;
                return;
            }
        };
        report.n_blocks = u32::try_from(standing.len()).unwrap_or(u32::MAX);
        let now = self.ports.clock.now();
        let mut pass = std::mem::take(&mut *locked(&self.kill_switch_pass));
        pass.adopt(standing, now);
        if !pass.standing.is_empty() {
            pass.began_at.get_or_insert(now);
            // At most half of the pass: due grants must not wait for it.
            let until = context.started.plus(self.budget_s.div_ceil(2));
            let mut live = self.live("blocks", until, std::mem::take(&mut pass.seen));
            let scopes: BTreeSet<WideScope> = pass.standing.keys().cloned().collect();
            let stops = live.lines().map(|(_, line)| self.stop_if_covered(line.id, &scopes, context));
            let mut unread = BTreeSet::new();
            {
                let mut stops = pin!(stops.buffer_unordered(AT_ONCE));
                while let Some(stopped) = stops.next().await {
                    if let Some(outcome) = stopped.outcome {
                        work.take(outcome, report);
                    }
                    match stopped.alive_under {
                        Ok(scopes) => pass.count(&scopes),
                        // An unreadable grant may be alive, so it rules out a proof of zero.
                        Err(error) => {
                            note(stopped.id, &error.into(), report);
                            unread.insert(stopped.id);
                        }
                    }
                }
            }
            report.good &= live.is_readable;
            let is_whole = live.is_whole && unread.is_empty();
            pass.seen = live.seen;
            pass.seen.retain(|id| !unread.contains(id));
            if is_whole {
                self.record_progress(&pass, report).await;
                pass = pass.restarted();
            }
        }
        *locked(&self.kill_switch_pass) = pass;
    }

    async fn standing(&self) -> PortResult<Vec<Revocation>> {
        let (mut standing, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.ports.kill_switch.reader.revocations(cursor.as_deref(), PAGE).await?;
            standing.extend(page.latest.into_iter().filter(Revocation::stands));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(standing);
            }
        }
    }

    /// Ends one grant as far as possible at once, if a block on one of `scopes` covers it.
    async fn stop_if_covered(&self, id: GrantId, scopes: &BTreeSet<WideScope>, context: PassContext<'_>) -> Stopped {
        let mut outcome = None;
        let stop = async {
            let Some(grant) = self.ports.reader.grant(id).await? else { return Ok(BTreeSet::new()) };
            let covered_by: BTreeSet<_> = WideScope::covering(&grant).filter(|scope| scopes.contains(scope)).collect();
            if covered_by.is_empty() || grant.state.is_terminal() {
                return Ok(BTreeSet::new());
            }
            // A grant that is ending already continues when it is due.
            if !matches!(grant.state, State::Revoking(_)) {
                outcome = Some(self.reconcile(id, context.bundle, context.found_by).await);
            }
            let after = self.ports.reader.grant(id).await?;
            let is_alive = after.is_some_and(|grant| !grant.state.is_terminal());
            Ok(if is_alive { covered_by } else { BTreeSet::new() })
        };
        let alive_under = stop.await;
        Stopped { id, outcome, alive_under }
    }

    async fn record_progress(&self, pass: &KillSwitchPass, report: &mut PassReport) {
        let ended_at = self.ports.clock.now();
        report.n_blocked_alive = Some(pass.n_alive);
        for (scope, (placed, seen_at)) in &pass.standing {
            let recorded = async {
                let before = self.ports.kill_switch.reader.progress(scope).await?;
                // Another process may have seen the block earlier.
                let before = before.filter(|before| before.version == placed.version);
                let seen_at = before.as_ref().map_or(*seen_at, |before| before.seen_at.min(*seen_at));
                let began_at = pass.began_at.unwrap_or(ended_at);
                let n_alive = pass.alive.get(scope).copied().unwrap_or(0);
                let pass = BlockPass { seen_at, began_at, ended_at, n_alive };
                let progress = Progress::after(placed, pass, before.as_ref());
                self.ports.kill_switch.progress.put_progress(&progress).await?;
                let is_new = before.is_none_or(|before| before.zero_at.is_none());
                PortResult::Ok(progress.zero_after_s.filter(|_| is_new))
            };
            match recorded.await {
                Ok(None) => {}
                Ok(Some(seconds)) => {
                    tracing::warn!(block = %scope, seconds, "proved that every grant that a block covers has ended");
                    report.zero_after_s = report.zero_after_s.max(Some(seconds));
                }
                // The next whole pass records it again.
                Err(error) => {
                    report.n_failed = report.n_failed.saturating_add(1);
                    tracing::warn!(block = %scope, problem = error.chain(), "the progress of a block could not be recorded");
                }
            }
        }
    }
}
