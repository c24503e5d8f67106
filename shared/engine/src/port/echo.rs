//! Port of the reaper's second clock.

use async_trait::async_trait;
use brevet_domain::time::Timestamp;

use super::PortResult;

/// Where echoes are left.
#[async_trait]
pub trait Echoes: Send + Sync {
    /// Leaves one at `at`. It comes back as an event a while later, once or more often.
    async fn leave_echo(&self, at: Timestamp) -> PortResult<()>;
}
