//! Ports of the sweep: what stands in AWS under this installation's names, and where it is told what was found.

use async_trait::async_trait;
use brevet_domain::count::Count;
use brevet_domain::finding::Finding;

use super::PortResult;

/// The roles of this installation, as AWS lists them; sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// ARNs of attachment principals: those under this installation's path, and those that the deployment names besides.
    pub attachment: Vec<String>,
    /// ARNs of session roles.
    pub session: Vec<String>,
}

/// The policies on one principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The names of its inline policies.
    pub inline: Vec<String>,
    /// The ARNs of the managed policies attached to it.
    pub attached: Vec<String>,
}

/// Lists what may be left in AWS. Only reap holds it.
#[async_trait]
pub trait Estate: Send + Sync {
    /// Every role that this installation vends from or attaches to.
    async fn roles(&self) -> PortResult<Roles>;

    /// What stands on a principal; nothing if there is no such role.
    async fn standing(&self, principal_arn: &str) -> PortResult<Standing>;
}

/// The chain of findings. Only reap adds to it.
#[async_trait]
pub trait Findings: Send + Sync {
    /// The last one. Consistent.
    async fn last_finding(&self) -> PortResult<Option<Finding>>;

    /// Puts the next one where none is, and `count` in the same transaction, on the condition of [`super::Also::Count`].
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another one has its number, or the count has changed.
    async fn add_finding(&self, finding: &Finding, count: Option<&Count>) -> PortResult<()>;

    /// The latest, newest first, at most `limit`. Consistent.
    async fn findings(&self, limit: u32) -> PortResult<Vec<Finding>>;
}
