//! Blocks of the kill switch as those see them who may.

use brevet_domain::canonical::Digest;
use brevet_domain::id::IdentityId;
use brevet_domain::revocation::{Act, Progress, Reason, Revocation, WideScope};
use brevet_domain::time::Timestamp;
use serde::Serialize;

/// One act on a block: who placed or lifted it, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActView {
    /// Its number, from 1 on.
    pub version: u64,
    /// The digest of the act before; zeroes for the first.
    pub prev: Digest,
    /// `placed` or `lifted`.
    pub act: Act,
    /// The human who did it.
    pub by: IdentityId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The policies that allowed it.
    pub determining: Vec<String>,
}

impl From<&Revocation> for ActView {
    fn from(one: &Revocation) -> Self {
        Self {
            version: one.version,
            prev: one.prev,
            act: one.act,
            by: one.by.clone(),
            at: one.at,
            reason: one.reason.clone(),
            determining: one.determining.clone(),
        }
    }
}

/// How far the end of what a block covers has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgressView {
    /// How many grants that it covers were alive at the last whole walk over every live grant.
    pub n_alive: u64,
    /// When that walk ended.
    pub walked_at: Timestamp,
    /// When it was proved that none lives any more; null until then.
    pub zero_at: Option<Timestamp>,
    /// How long that took from the placing on, in seconds.
    pub zero_after_s: Option<u64>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationView {
    /// What it covers, and its name in paths.
    pub key: WideScope,
    /// Whether it stands.
    pub standing: bool,
    /// The last act on it.
    pub latest: ActView,
    /// How far the end of what it covers has come; null before the first whole walk.
    pub progress: Option<ProgressView>,
    /// The last acts, newest first; where one block alone is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ActView>,
}

impl RevocationView {
    /// The block whose last act was `latest`.
    #[must_use]
    pub fn of(latest: &Revocation, progress: Option<&Progress>, history: &[Revocation]) -> Self {
        let progress = progress.map(|progress| ProgressView {
            n_alive: progress.n_alive,
            walked_at: progress.walked_at,
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

/// A page of blocks, standing or lifted, by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationList {
    /// The page.
    pub revocations: Vec<RevocationView>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}
