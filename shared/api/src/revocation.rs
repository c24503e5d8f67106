//! Views of the kill switch's blocks, for callers with the right to read them.

use brevet_domain::canonical::Digest;
use brevet_domain::id::IdentityId;
use brevet_domain::revocation::{Progress, Reason, Revocation, RevocationAction, WideScope};
use brevet_domain::time::Timestamp;
use serde::Serialize;

/// One version of a block: who placed or lifted it, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActView {
    /// The version number, starting at 1.
    pub version: u64,
    /// The digest of the previous version; zeros for the first.
    pub prev: Digest,
    /// `placed` or `lifted`.
    pub act: RevocationAction,
    /// The human who placed or lifted the block.
    pub by: IdentityId,
    pub at: Timestamp,
    pub reason: Reason,
    /// The policies that allowed the act.
    pub determining: Vec<String>,
}

impl From<&Revocation> for ActView {
    fn from(revocation: &Revocation) -> Self {
        Self {
            version: revocation.version,
            prev: revocation.prev,
            act: revocation.act,
            by: revocation.by.clone(),
            at: revocation.at,
            reason: revocation.reason.clone(),
            determining: revocation.determining.clone(),
        }
    }
}

/// The progress of ending the grants that a block covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgressView {
    /// The number of covered grants that were live in the last complete walk over all live grants.
    pub n_alive: u64,
    /// When that walk ended.
    pub checked_at: Timestamp,
    /// When all covered grants were proved ended; null until then.
    pub zero_at: Option<Timestamp>,
    /// The seconds from placing the block to that proof.
    pub zero_after_s: Option<u64>,
}

/// A block of the kill switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationView {
    /// The scope that the block covers; also its key in paths.
    pub key: WideScope,
    /// Whether the block is in force.
    pub standing: bool,
    /// The latest version of the block.
    pub latest: ActView,
    /// The progress of ending the covered grants; null before the first complete walk.
    pub progress: Option<ProgressView>,
    /// The last versions, newest first; only in the answer for a single block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ActView>,
}

impl RevocationView {
    /// Shows the block whose latest version is `latest`.
    #[must_use]
    pub fn of(latest: &Revocation, progress: Option<&Progress>, history: &[Revocation]) -> Self {
        let progress = progress.map(|progress| ProgressView {
            n_alive: progress.n_alive,
            checked_at: progress.checked_at,
            zero_at: progress.zero_at,
            zero_after_s: progress.zero_after_s,
        });
        Self {
            key: latest.scope.clone(),
            standing: latest.stands(),
            latest: latest.into(),
            progress,
            history: history.iter().map(ActView::from).collect(),
        }
    }
}

/// A page of blocks by key, in force or lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationList {
    pub revocations: Vec<RevocationView>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}
