//! The reaper that its echoes call, in a process of its own.

use std::sync::Arc;

use brevet_engine::fake::MemoryEchoes;
use brevet_engine::port::Echoes;
use brevet_engine::reap::EchoingReaper;

use super::{Function, TICK_S, World};
use crate::policy::locked;

/// For how long an echo is held back, in seconds: a quarter of a tick, as in the template.
pub(super) const HELD_BACK_S: u32 = TICK_S.div_ceil(4);
/// How long ago the last pass must have begun for an echo to call for one, in seconds: a quarter more than a tick.
const AFTER_S: u32 = TICK_S + HELD_BACK_S;

/// What the second clock is made of.
pub struct Echoing {
    /// Where echoes are left, as the reaper knows it.
    pub(super) port: Arc<dyn Echoes>,
    /// What gives them back.
    pub(super) echoes: Arc<MemoryEchoes>,
    /// The process; none before the first event, and after a crash.
    pub(super) reaper: Option<Arc<EchoingReaper>>,
}

impl World {
    fn echoing_reaper(&mut self) -> Arc<EchoingReaper> {
        if let Some(reaper) = &self.echoing.reaper {
            return Arc::clone(reaper);
        }
        let (port, clock) = (Arc::clone(&self.echoing.port), self.clocks[Function::Reap as usize].clone());
        let reaper = Arc::new(EchoingReaper::new(self.reaper_of("echoing", 600), port, clock, AFTER_S));
        self.echoing.reaper = Some(Arc::clone(&reaper));
        reaper
    }

    /// The schedule comes, and leaves an echo; that of an earlier tick is still under way.
    pub(crate) fn come_by_schedule(&mut self) {
        self.echoing.echoes.left_before(self.now());
        let (reaper, n) = (self.echoing_reaper(), self.note_pass());
        match self.call(async move { reaper.scheduled().await }) {
            Some(answer) => self.judge_pass(n, answer.is_ok_and(|report| report.good)),
            None => self.echoing.reaper = None,
        }
    }

    /// A second goes by with no schedule. What comes back is an event; where it does not go well it comes again.
    pub(crate) fn hear_echoes(&mut self) {
        self.clock.advance(1);
        // That there is a clock is what echoes are for: to whoever looks from outside, the schedule goes on.
        self.last_pass_at = self.now();
        let n_back = self.echoing.echoes.n_back(self.now());
        if n_back == 0 {
            return;
        }
        let (reaper, n) = (self.echoing_reaper(), self.note_pass());
        match self.call(async move { reaper.echoed().await }) {
            Some(Ok(heard)) => {
                self.echoing.echoes.heard(n_back);
                self.judge_pass(n, heard.is_pass && heard.report.good);
            }
            Some(Err(_)) => {}
            None => self.echoing.reaper = None,
        }
    }

    /// Notes a pass that may have gone well: which it is.
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

impl std::fmt::Debug for Echoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Echoing").field("echoes", &self.echoes).finish_non_exhaustive()
    }
}
