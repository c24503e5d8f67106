//! The port to the secrets that are rotated once a grant has ended.

use async_trait::async_trait;
use brevet_domain::canonical::Digest;

use super::PortResult;

/// Where the version stands that a rotation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStage {
    /// There is none of that name, or none that is labelled any more.
    Absent,
    /// It is being made: the rotation is under way, or failed on its way.
    Pending,
    /// It is, or was, the one that everybody gets: the rotation is done.
    Current,
}

/// What reading a secret showed of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionReading {
    /// Where it stands.
    pub stage: VersionStage,
    /// AWS's id of this call.
    pub request_id: String,
}

/// Rotates secrets. Only reap holds it; it neither reads nor sets what a secret says.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// Reads where the version `token` of `secret` stands. Never answered from the outcome of a rotation.
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading>;

    /// Asks for a rotation of `secret` that makes the version `token`, at once, as the secret is set up for it. It goes on
    /// after the answer. Refused while another one is under way.
    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()>;
}
