//! Ports to AWS, the clock and randomness.

use std::fmt;

use async_trait::async_trait;
use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::plan::SessionPlan;
use brevet_domain::time::Timestamp;

use super::PortResult;

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Makes ids that cannot be guessed.
pub trait IdSource: Send + Sync {
    fn grant_id(&self, now: Timestamp) -> GrantId;

    fn evidence_id(&self, now: Timestamp) -> EvidenceId;
}

/// STS credentials. Only the caller gets them; `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The result of a vend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vended {
    pub credentials: Credentials,
    /// When AWS expires the credentials.
    pub expires_at: Timestamp,
    /// `PackedPolicySize` in percent, if STS returned it.
    pub packed_percent: Option<u32>,
}

/// Vends credentials.
#[async_trait]
pub trait Vendor: Send + Sync {
    /// Makes the one `AssumeRole` call of `plan`.
    async fn vend(&self, plan: &SessionPlan) -> PortResult<Vended>;
}

/// One reading of the reserved deny of a session role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyReading {
    /// The document as JSON text (not URL-encoded); absent if the role has no such policy.
    pub document: Option<String>,
    /// The id of this AWS call.
    pub request_id: String,
    /// The `Date` of the answer, by AWS's clock, in whole seconds.
    pub aws_date: Timestamp,
}

/// The reserved deny on session roles.
#[async_trait]
pub trait SessionRoles: Send + Sync {
    /// Reads the deny from IAM. A read is never answered from the result of a write.
    async fn read_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<DenyReading>;

    /// Puts the deny, replacing the document that is there.
    async fn put_deny(&self, role_arn: &str, policy_name: &str, document: &str) -> PortResult<()>;

    /// Deletes the deny. Succeeds if there is none.
    async fn delete_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<()>;
}
