//! Ports to AWS, the clock and chance.

use std::fmt;

use async_trait::async_trait;
use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::plan::SessionPlan;
use brevet_domain::time::Timestamp;

use super::PortResult;

/// Reads the time.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Makes names that nobody can guess.
pub trait IdSource: Send + Sync {
    /// A new grant id.
    fn grant_id(&self, now: Timestamp) -> GrantId;

    /// A new evidence id.
    fn evidence_id(&self, now: Timestamp) -> EvidenceId;
}

/// STS credentials. Handed to the caller and to nothing else; `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token.
    pub session_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What a vend yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vended {
    /// The credentials.
    pub credentials: Credentials,
    /// When AWS lets them expire.
    pub expires_at: Timestamp,
    /// `PackedPolicySize` in percent, where STS says it.
    pub packed_percent: Option<u32>,
}

/// Vends credentials.
#[async_trait]
pub trait Vendor: Send + Sync {
    /// Makes the one `AssumeRole` call of `plan`.
    async fn vend(&self, plan: &SessionPlan) -> PortResult<Vended>;
}

/// What reading the reserved deny of a session role showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyReading {
    /// The document as JSON text (not URL-encoded); absent where the role has no such policy.
    pub document: Option<String>,
    /// AWS's id of this call.
    pub request_id: String,
    /// The `Date` of the answer, by AWS's clock, in whole seconds.
    pub aws_date: Timestamp,
}

/// The reserved deny on session roles.
#[async_trait]
pub trait SessionRoles: Send + Sync {
    /// Reads it from IAM. Never answered from the outcome of a write.
    async fn read_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<DenyReading>;

    /// Puts it, replacing what stands there.
    async fn put_deny(&self, role_arn: &str, policy_name: &str, document: &str) -> PortResult<()>;

    /// Deletes it; nothing to delete is fine.
    async fn delete_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<()>;
}
