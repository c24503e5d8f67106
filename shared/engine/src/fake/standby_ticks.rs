//! The fake of the standby table and of the stream that delivers its ticks.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::time::Timestamp;

use super::faults::{CallKind, Faults};
use super::locked;
use crate::port::{PortResult, StandbyTicks};

/// Standby ticks in memory. The stream delivers all of them in one event, once the oldest has waited long enough.
#[derive(Debug)]
pub struct MemoryStandbyTicks {
    under_way: Mutex<Vec<Timestamp>>,
    held_back_s: u32,
    faults: Arc<Faults>,
}

impl MemoryStandbyTicks {
    /// Starts without ticks. Each tick waits `held_back_s` seconds.
    #[must_use]
    pub fn new(held_back_s: u32, faults: Arc<Faults>) -> Self {
        Self { under_way: Mutex::default(), held_back_s, faults }
    }

    /// Adds a tick that was put at `at`. No port call.
    pub fn put_before(&self, at: Timestamp) {
        locked(&self.under_way).push(at);
    }

    /// The number of ticks that one event delivers at `now`. No port call.
    #[must_use]
    pub fn n_due(&self, now: Timestamp) -> usize {
        let under_way = locked(&self.under_way);
        let is_due = under_way.first().is_some_and(|put_at| put_at.plus(self.held_back_s) <= now);
        if is_due { under_way.len() } else { 0 }
    }

    /// Removes the first `n` ticks, whose event succeeded. They are not delivered again.
    pub fn acknowledge(&self, n: usize) {
        locked(&self.under_way).drain(..n);
    }
}

#[async_trait]
impl StandbyTicks for MemoryStandbyTicks {
    async fn put_standby_tick(&self, at: Timestamp) -> PortResult<()> {
        let act = |_| {
            locked(&self.under_way).push(at);
            Ok(())
        };
        self.faults.call("put_standby_tick", CallKind::Write, act).await
    }
}
