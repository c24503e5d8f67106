//! The reaper's second clock, for when its schedule fails. Each pass puts a *standby tick*, which comes back after a
//! delay and puts the next one. So one is always under way, whatever the schedule does.
//!
//! A standby tick is an item in a table of its own, whose stream Lambda holds back for its batching window. Like any
//! event it is redelivered if it fails. While the schedule works, a standby tick makes no pass but reconciles the
//! attachments that are due for a retry, because it comes more often than a scheduled tick.

use std::sync::{Arc, Mutex};

use brevet_domain::time::Timestamp;
use futures_util::future::join;

use super::{FoundBy, PassReport, Reaper, locked};
use crate::port::{Clock, PortResult, StandbyTicks};

/// The result of a standby tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyOutcome {
    pub report: PassReport,
    /// Whether it was a whole pass, because the schedule had failed.
    pub is_pass: bool,
}

/// A reaper that is called by its schedule, and by standby ticks when the schedule fails.
pub struct ReaperWithStandby {
    reaper: Reaper,
    standby_ticks: Arc<dyn StandbyTicks>,
    clock: Arc<dyn Clock>,
    /// A standby tick makes a pass if the last one began at least so many seconds ago: longer than the schedule's
    /// period.
    after_s: u32,
    /// When the last pass of this process began. In a new process, the first standby tick makes a pass.
    began: Mutex<Option<Timestamp>>,
}

impl ReaperWithStandby {
    /// Wires `reaper` to standby ticks. One makes a pass if the last pass began `after_s` seconds ago or earlier.
    #[must_use]
    pub fn new(reaper: Reaper, standby_ticks: Arc<dyn StandbyTicks>, clock: Arc<dyn Clock>, after_s: u32) -> Self {
        Self { reaper, standby_ticks, clock, after_s, began: Mutex::default() }
    }

    /// The reaper, for events from the table's stream.
    #[must_use]
    pub fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Handles a scheduled tick: makes a pass and puts a standby tick.
    ///
    /// # Errors
    ///
    /// Those of [`Reaper::pass`]. If no standby tick could be put, the earlier one is still under way: that is only
    /// logged.
    pub async fn scheduled(&self) -> PortResult<PassReport> {
        let (left, passed) = join(self.put_standby_tick(), self.pass(FoundBy::Schedule)).await;
        if let Err(error) = left {
            tracing::error!(problem = error.chain(), "a pass could not put its standby tick");
        }
        passed
    }

    /// Handles a standby tick: puts the next one, and makes a pass if the last one began too long ago. Otherwise it
    /// reconciles due retries, which are on their lists too, so that a failure loses none.
    ///
    /// # Errors
    ///
    /// Those of [`Reaper::pass`], and [`crate::port::PortError`] if the next standby tick could not be put: this one
    /// must then be redelivered, or it is the last.
    pub async fn standby_ticked(&self) -> PortResult<StandbyOutcome> {
        let is_pass = self.is_late();
        let work = async {
            match is_pass {
                true => self.pass(FoundBy::StandbyTick).await,
                false => Ok(self.reaper.reconcile_retries(FoundBy::StandbyTick).await),
            }
        };
        let (left, done) = join(self.put_standby_tick(), work).await;
        left?;
        done.map(|report| StandbyOutcome { report, is_pass })
    }

    async fn put_standby_tick(&self) -> PortResult<()> {
        self.standby_ticks.put_standby_tick(self.clock.now()).await
    }

    async fn pass(&self, found_by: FoundBy) -> PortResult<PassReport> {
        *locked(&self.began) = Some(self.clock.now());
        self.reaper.pass_for(found_by).await
    }

    /// Whether the last pass began too long ago. After the clock went back that is unknown, and counts as late.
    fn is_late(&self) -> bool {
        let now = self.clock.now();
        locked(&self.began).is_none_or(|began| now < began || now.seconds_since(began) >= u64::from(self.after_s))
    }
}

impl std::fmt::Debug for ReaperWithStandby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReaperWithStandby").field("after_s", &self.after_s).finish_non_exhaustive()
    }
}
