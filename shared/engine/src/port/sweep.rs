//! Ports of the sweep: the policies in AWS under this installation's names, and the chain of findings.

use async_trait::async_trait;
use brevet_domain::finding::Finding;
use brevet_domain::holders::AttachmentHolders;

use super::PortResult;

/// The roles of this installation, as AWS lists them; sorted, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// ARNs of attachment principals: those under this installation's path, and others that the deployment names.
    pub attachment: Vec<String>,
    /// ARNs of session roles.
    pub session: Vec<String>,
}

/// The policies on one principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub inline: Vec<String>,
    pub attached: Vec<String>,
}

/// Lists the roles and policies of this installation in AWS. Only reap has this port.
#[async_trait]
pub trait AccountListing: Send + Sync {
    /// Every role that this installation vends from or attaches to.
    async fn roles(&self) -> PortResult<Roles>;

    /// The policies on a principal; empty if there is no such role.
    async fn standing(&self, principal_arn: &str) -> PortResult<Standing>;
}

/// The chain of findings. Only reap adds to it.
#[async_trait]
pub trait Findings: Send + Sync {
    /// The last finding. Consistent.
    async fn last_finding(&self) -> PortResult<Option<Finding>>;

    /// Adds the next finding, put if absent, and `holders` in the same transaction, on the condition of
    /// [`super::TransactionItem::Holders`].
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another finding has its number, or the holders have changed.
    async fn add_finding(&self, finding: &Finding, holders: Option<&AttachmentHolders>) -> PortResult<()>;

    /// The latest findings, newest first, at most `limit`. Consistent.
    async fn findings(&self, limit: u32) -> PortResult<Vec<Finding>>;
}
