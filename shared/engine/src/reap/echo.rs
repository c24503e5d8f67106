//! The reaper's second clock, for when its schedule stands still: each pass leaves an *echo*, which comes back a while
//! later and leaves the next one. Whatever the schedule does, there is always one under way.
//!
//! An echo is an item in a table of its own, whose stream Lambda holds back for its batching window. It is an event like
//! any other: where it fails it comes again. While the schedule comes, an echo makes no pass, but looks at the attachments
//! that are known to be due: it comes more often than a tick.

use std::sync::{Arc, Mutex};

use brevet_domain::time::Timestamp;
use futures_util::future::join;

use super::{FoundBy, PassReport, Reaper, locked};
use crate::port::{Clock, Echoes, PortResult};

/// What an echo led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What was done.
    pub report: PassReport,
    /// Whether it was a whole pass, since the schedule did not come.
    pub is_pass: bool,
}

/// A reaper that its schedule calls, and its own echoes where the schedule does not.
pub struct EchoingReaper {
    reaper: Reaper,
    echoes: Arc<dyn Echoes>,
    clock: Arc<dyn Clock>,
    /// How long ago the last pass must have begun for an echo to call for one, in seconds: longer than the schedule's period.
    after_s: u32,
    /// When the last pass of this process began. A process that knows of none makes one.
    began: Mutex<Option<Timestamp>>,
}

impl EchoingReaper {
    /// Lets `reaper` be called again by its echoes, `after_s` seconds or more after the last pass began.
    #[must_use]
    pub fn new(reaper: Reaper, echoes: Arc<dyn Echoes>, clock: Arc<dyn Clock>, after_s: u32) -> Self {
        Self { reaper, echoes, clock, after_s, began: Mutex::default() }
    }

    /// The reaper, for what the table's stream names.
    #[must_use]
    pub fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// The schedule has come: a pass, and an echo of it.
    ///
    /// # Errors
    ///
    /// Those of [`Reaper::pass`]. Where no echo could be left the one before is still under way, and that is only logged.
    pub async fn scheduled(&self) -> PortResult<PassReport> {
        let (left, passed) = join(self.leave_echo(), self.pass(FoundBy::Schedule)).await;
        if let Err(error) = left {
            tracing::error!(problem = error.chain(), "a pass left no echo");
        }
        passed
    }

    /// An echo has come back: the next one is left, and a pass is made if the last one began too long ago.
    /// Otherwise what is known to be due is looked at; that is on its list too, so nothing that fails with it is lost.
    ///
    /// # Errors
    ///
    /// Those of [`Reaper::pass`], and [`crate::port::PortError`] if no echo could be left: then this one must come again,
    /// or it was the last.
    pub async fn echoed(&self) -> PortResult<Heard> {
        let is_pass = self.is_late();
        let work = async {
            match is_pass {
                true => self.pass(FoundBy::Echo).await,
                false => Ok(self.reaper.look_again(FoundBy::Echo).await),
            }
        };
        let (left, done) = join(self.leave_echo(), work).await;
        left?;
        done.map(|report| Heard { report, is_pass })
    }

    async fn leave_echo(&self) -> PortResult<()> {
        self.echoes.leave_echo(self.clock.now()).await
    }

    async fn pass(&self, found_by: FoundBy) -> PortResult<PassReport> {
        *locked(&self.began) = Some(self.clock.now());
        self.reaper.pass_for(found_by).await
    }

    /// A clock that was put back since then says nothing.
    fn is_late(&self) -> bool {
        let now = self.clock.now();
        locked(&self.began).is_none_or(|began| now < began || now.seconds_since(began) >= u64::from(self.after_s))
    }
}

impl std::fmt::Debug for EchoingReaper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EchoingReaper").field("after_s", &self.after_s).finish_non_exhaustive()
    }
}
