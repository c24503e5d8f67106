//! Ports to attachment principals, split by who may call what: issue puts, reap deletes, both read.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use brevet_domain::canonical::{Digest, canonical};
use brevet_domain::grant::EffectiveAccess;
pub use brevet_domain::place::Place;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;

use super::PortResult;

/// Everything that stands on a principal and bears on attaching to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its permissions boundary.
    pub boundary_arn: Option<String>,
    /// Its inline policies, by name; documents as JSON text, not URL-encoded.
    pub inline: BTreeMap<String, String>,
    /// The managed policies attached to it.
    pub attached: BTreeSet<String>,
    /// How many managed policies may be attached to it.
    pub attached_quota: usize,
}

/// What reading one place showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceReading {
    /// The inline document as JSON text, or the ARN of the attached policy; absent where nothing stands.
    pub standing: Option<String>,
    /// AWS's id of this call.
    pub request_id: String,
}

/// What a reading says of a grant's attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing stands there.
    Absent,
    /// What was put stands there.
    Present,
    /// Something else stands there.
    Altered,
}

impl PlaceReading {
    /// Compares what stands with the digest that was stored before it was put.
    #[must_use]
    pub fn against(&self, plan_digest: Digest) -> Seen {
        let Some(text) = &self.standing else { return Seen::Absent };
        // IAM may give a document back with other white space or order.
        let parsed = serde_json::from_str::<serde_json::Value>(text).ok();
        let text = parsed.and_then(|value| canonical(&value).ok()).unwrap_or_else(|| text.clone());
        if Digest::of_bytes(text.as_bytes()) == plan_digest { Seen::Present } else { Seen::Altered }
    }
}

/// Reads attachment principals. Never answered from the outcome of a write.
#[async_trait]
pub trait Principals: Send + Sync {
    /// Reads a principal whole.
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal>;

    /// Reads one place.
    async fn read(&self, place: &Place) -> PortResult<PlaceReading>;
}

/// Attaches. Only issue holds it.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Makes the one call of `plan`; the same call again changes nothing.
    async fn attach(&self, plan: &AttachmentPlan) -> PortResult<()>;
}

/// Removes, and tries what is still allowed. Only reap holds it.
#[async_trait]
pub trait Deprovisioner: Send + Sync {
    /// Deletes or detaches; nothing to remove is fine, and so is a principal that is gone.
    async fn remove(&self, place: &Place) -> PortResult<()>;

    /// Asks AWS's simulator whether `probes` are still allowed to the principal at `now`: it has no clock of its own.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>
    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess>;
}
