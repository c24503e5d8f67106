//! The reaper that standby ticks call, in a separate process.

use std::sync::Arc;

use brevet_engine::fake::MemoryStandbyTicks;
use brevet_engine::port::StandbyTicks;
use brevet_engine::reap::ReaperWithStandby;

use super::{Function, TICK_S, World};
use crate::policy::locked;

/// The delay of a standby tick, in seconds: a quarter of a tick, as in the template.
pub(super) const HELD_BACK_S: u32 = TICK_S.div_ceil(4);
/// The least age of the last pass for which a standby tick starts one, in seconds: a tick and a quarter.
const AFTER_S: u32 = TICK_S + HELD_BACK_S;

/// The parts of the second clock.
pub struct StandbySettings {
    /// The queue of standby ticks, as the reaper's port.
    pub(super) port: Arc<dyn StandbyTicks>,
    /// The queue of standby ticks, from which the world takes them.
    pub(super) standby_ticks: Arc<MemoryStandbyTicks>,
    /// The reaper process; `None` before the first event, and after a crash.
    pub(super) reaper: Option<Arc<ReaperWithStandby>>,
}

impl World {
    fn reaper_with_standby(&mut self) -> Arc<ReaperWithStandby> {
        if let Some(reaper) = &self.standby.reaper {
            return Arc::clone(reaper);
        }
        let (port, clock) = (Arc::clone(&self.standby.port), self.clocks[Function::Reap as usize].clone());
        let reaper = Arc::new(ReaperWithStandby::new(self.reaper_of("standby", 600), port, clock, AFTER_S));
        self.standby.reaper = Some(Arc::clone(&reaper));
        reaper
    }

    /// The schedule ticks once, and the reaper leaves a standby tick. An earlier standby tick is still in the queue.
    pub(crate) fn tick_by_schedule(&mut self) {
        self.standby.standby_ticks.put_before(self.now());
        let (reaper, n) = (self.reaper_with_standby(), self.note_pass());
        match self.call(async move { reaper.scheduled().await }) {
            Some(answer) => self.judge_pass(n, answer.is_ok_and(|report| report.good)),
            None => self.standby.reaper = None,
        }
    }

    /// A second passes without the schedule. Each due standby tick is an event; a failed event is delivered again.
    pub(crate) fn receive_standby_ticks(&mut self) {
        self.clock.advance(1);
        // The standby ticks replace the schedule: to an observer the schedule goes on.
        self.last_pass_at = self.now();
        let n_due = self.standby.standby_ticks.n_due(self.now());
        if n_due == 0 {
            return;
        }
        let (reaper, n) = (self.reaper_with_standby(), self.note_pass());
        match self.call(async move { reaper.standby_ticked().await }) {
            Some(Ok(outcome)) => {
                self.standby.standby_ticks.acknowledge(n_due);
                self.judge_pass(n, outcome.is_pass && outcome.report.good);
            }
            Some(Err(_)) => {}
            None => self.standby.reaper = None,
        }
    }

    /// Records a possibly successful pass. Returns its number.
    fn note_pass(&mut self) -> usize {
        self.last_pass_at = self.now();
        let passes = &mut locked(&self.ledger).passes;
        passes.push(self.last_pass_at);
        passes.len() - 1
    }

    fn judge_pass(&self, n: usize, went_well: bool) {
        if !went_well {
            locked(&self.ledger).passes[n] = brevet_domain::time::Timestamp::EPOCH;
        }
    }
}

impl std::fmt::Debug for StandbySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandbySettings").field("standby_ticks", &self.standby_ticks).finish_non_exhaustive()
    }
}
