//! The fake of the table of echoes, and of the stream that gives them back.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::time::Timestamp;

use super::faults::{Faults, Nature};
use super::locked;
use crate::port::{Echoes, PortResult};

/// Echoes in memory: what was left comes back in one event, once the oldest was held back for long enough.
#[derive(Debug)]
pub struct MemoryEchoes {
    under_way: Mutex<Vec<Timestamp>>,
    held_back_s: u32,
    faults: Arc<Faults>,
}

impl MemoryEchoes {
    /// None was left yet; each is held back for `held_back_s` seconds.
    #[must_use]
    pub fn new(held_back_s: u32, faults: Arc<Faults>) -> Self {
        Self { under_way: Mutex::default(), held_back_s, faults }
    }

    /// One that was left at `at`, before anybody looked. No port call.
    pub fn left_before(&self, at: Timestamp) {
        locked(&self.under_way).push(at);
    }

    /// How many come back at `now`, in one event. No port call.
    #[must_use]
    pub fn n_back(&self, now: Timestamp) -> usize {
        let under_way = locked(&self.under_way);
        let is_due = under_way.first().is_some_and(|left| left.plus(self.held_back_s) <= now);
        if is_due { under_way.len() } else { 0 }
    }

    /// The event of the first `n` went well; it is not given again.
    pub fn heard(&self, n: usize) {
        locked(&self.under_way).drain(..n);
    }
}

#[async_trait]
impl Echoes for MemoryEchoes {
    async fn leave_echo(&self, at: Timestamp) -> PortResult<()> {
        let act = |_| {
            locked(&self.under_way).push(at);
            Ok(())
        };
        self.faults.call("leave_echo", Nature::Write, act).await
    }
}
