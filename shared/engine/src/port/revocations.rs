//! The ports of the kill switch: acts of people are written by evaluate, progress by reap, and both read them.

use async_trait::async_trait;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::revocation::{Progress, Revocation, Right, WideScope};
use brevet_domain::time::Timestamp;

use super::{EvaluatorError, PortResult};

/// A page of the latest versions of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationPage {
    /// By scope, as their texts sort.
    pub latest: Vec<Revocation>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// What of the kill switch is read. All reads are consistent: no index stands between a block and the reaper.
#[async_trait]
pub trait RevocationReader: Send + Sync {
    /// The latest version for `scope`.
    async fn latest(&self, scope: &WideScope) -> PortResult<Option<Revocation>>;

    /// The latest version for each scope that ever was blocked, standing or not, at most `limit`.
    async fn revocations(&self, cursor: Option<&str>, limit: u32) -> PortResult<RevocationPage>;

    /// The last `limit` versions for `scope`, newest first.
    async fn history(&self, scope: &WideScope, limit: u32) -> PortResult<Vec<Revocation>>;

    /// How far the end of what `scope` covers has come.
    async fn progress(&self, scope: &WideScope) -> PortResult<Option<Progress>>;
}

/// What evaluate writes of it.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Stores a version, and with it the block that it places, or takes the block away that it lifts; all or nothing.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if the version is there already, or the one before is not the latest. A version that
    /// is there just so was put by an own attempt whose answer got lost: no error.
    async fn revoke(&self, new: &Revocation) -> PortResult<()>;
}

/// What reap writes of it.
#[async_trait]
pub trait ProgressStore: Send + Sync {
    /// Stores what a walk showed; kept out by what a walk that began later showed.
    async fn put_progress(&self, progress: &Progress) -> PortResult<()>;
}

/// Policy on the kill switch.
#[async_trait]
pub trait RevocationPolicy: Send + Sync {
    /// Judges whether a verified caller may do this with `scope`, whose block `placed_by` placed; the determining policies
    /// if so.
    async fn may(
        &self,
        caller: &Caller,
        right: Right,
        scope: &WideScope,
        placed_by: Option<&IdentityId>,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError>;
}
