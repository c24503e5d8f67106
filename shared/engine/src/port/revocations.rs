//! The ports of the kill switch: evaluate writes the acts of people, reap writes progress, and both read them.

use async_trait::async_trait;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::revocation::{Progress, Revocation, Right, WideScope};
use brevet_domain::time::Timestamp;

use super::{EvaluatorError, PortResult};

/// A page of the latest versions of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationPage {
    /// Sorted by the text of their scope.
    pub latest: Vec<Revocation>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// Reads the kill switch. All reads are consistent: no index stands between a block and the reaper.
#[async_trait]
pub trait RevocationReader: Send + Sync {
    /// The latest version for `scope`.
    async fn latest(&self, scope: &WideScope) -> PortResult<Option<Revocation>>;

    /// The latest version for each scope that was ever blocked, standing or lifted, at most `limit`.
    async fn revocations(&self, cursor: Option<&str>, limit: u32) -> PortResult<RevocationPage>;

    /// The last `limit` versions for `scope`, newest first.
    async fn history(&self, scope: &WideScope, limit: u32) -> PortResult<Vec<Revocation>>;

    /// How far the grants that `scope` covers have ended.
    async fn progress(&self, scope: &WideScope) -> PortResult<Option<Progress>>;
}

/// Evaluate's writes to the kill switch.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Stores a version, and places or lifts its block, all or nothing.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another version is stored under this number, or the one before is not the
    /// latest. An equal stored version comes from an attempt whose answer was lost, and is no error.
    async fn revoke(&self, new: &Revocation) -> PortResult<()>;
}

/// Reap's writes to the kill switch.
#[async_trait]
pub trait ProgressStore: Send + Sync {
    /// Stores the result of a pass, unless a pass that began later has stored one.
    async fn put_progress(&self, progress: &Progress) -> PortResult<()>;
}

/// Policy on the kill switch.
#[async_trait]
pub trait RevocationPolicy: Send + Sync {
    /// Judges whether a verified caller may do this with `scope`, whose block `placed_by` placed; returns the
    /// determining policies if so.
    async fn may(
        &self,
        caller: &Caller,
        right: Right,
        scope: &WideScope,
        placed_by: Option<&IdentityId>,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError>;
}
