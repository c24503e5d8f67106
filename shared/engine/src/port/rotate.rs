//! The port to the secrets that are rotated after a grant has ended.

use async_trait::async_trait;
use brevet_domain::canonical::Digest;

use super::PortResult;

/// The stage of the version that a rotation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStage {
    /// There is no such version, or it has no label any more.
    Absent,
    /// The version is being made: the rotation is under way, or stopped halfway.
    Pending,
    /// The version is, or was, the current one: the rotation is done.
    Current,
}

/// One reading of one version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionReading {
    pub stage: VersionStage,
    /// The id of this AWS call.
    pub request_id: String,
}

/// Rotates secrets. Only reap has this port, and it neither reads nor sets a secret's value.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// Reads the stage of version `token` of `secret`. A read is never answered from the result of a rotation.
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading>;

    /// Asks for an immediate rotation of `secret` that makes version `token`, as the secret is configured. The rotation
    /// continues after the answer. AWS refuses it while another one is under way.
    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()>;
}
