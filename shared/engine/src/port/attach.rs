//! Ports to attachment principals, split by right: issue puts, reap deletes, both read.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
pub use brevet_domain::attachment_target::AttachmentTarget;
use brevet_domain::canonical::{Digest, canonical};
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;

use super::PortResult;

/// The state of a principal as far as it matters to an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub boundary_arn: Option<String>,
    /// Inline policies by name; documents as JSON text, not URL-encoded.
    pub inline: BTreeMap<String, String>,
    /// ARNs of the attached managed policies.
    pub attached: BTreeSet<String>,
    /// How many managed policies the account's quota allows on the principal.
    pub attached_quota: usize,
}

/// One reading of an attachment target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReading {
    /// The inline document as JSON text, or the ARN of the attached policy; absent if neither exists.
    pub standing: Option<String>,
    /// The id of this AWS call.
    pub request_id: String,
}

/// The status of a grant's attachment, by one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentStatus {
    /// There is no policy at the target.
    Absent,
    /// The policy that was put is there.
    Present,
    /// Another policy is there.
    Altered,
}

impl TargetReading {
    /// Compares the reading with the digest that was stored before the put.
    #[must_use]
    pub fn against(&self, plan_digest: Digest) -> AttachmentStatus {
        let Some(text) = &self.standing else { return AttachmentStatus::Absent };
        // IAM may return a document with other white space or order.
        let parsed = serde_json::from_str::<serde_json::Value>(text).ok();
        let text = parsed.and_then(|value| canonical(&value).ok()).unwrap_or_else(|| text.clone());
        if Digest::of_bytes(text.as_bytes()) == plan_digest {
            AttachmentStatus::Present
        } else {
            AttachmentStatus::Altered
        }
    }
}

/// Reads attachment principals. A read is never answered from the result of a write.
#[async_trait]
pub trait Principals: Send + Sync {
    /// Reads a whole principal.
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal>;

    /// Reads one attachment target.
    async fn read(&self, target: &AttachmentTarget) -> PortResult<TargetReading>;
}

/// Attaches policies. Only issue has this port.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Makes the one call of `plan`. Repeating the call changes nothing.
    async fn attach(&self, plan: &AttachmentPlan) -> PortResult<()>;
}

/// Removes attachments and simulates what is still allowed. Only reap has this port.
#[async_trait]
pub trait Deprovisioner: Send + Sync {
    /// Deletes or detaches. Succeeds if the policy or the principal does not exist.
    async fn remove(&self, target: &AttachmentTarget) -> PortResult<()>;

    /// Asks AWS's simulator whether `probes` are still allowed to the principal at `now`, which the simulator cannot
    /// know.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>
    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess>;
}
