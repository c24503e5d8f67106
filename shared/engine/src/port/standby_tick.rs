//! The port of the reaper's second clock.

use async_trait::async_trait;
use brevet_domain::time::Timestamp;

use super::PortResult;

/// Puts standby ticks.
#[async_trait]
pub trait StandbyTicks: Send + Sync {
    /// Puts one at `at`. It comes back as an event after a delay, at least once.
    async fn put_standby_tick(&self, at: Timestamp) -> PortResult<()>;
}
