//! The port to delegations. Only evaluate writes them, each version once.

use async_trait::async_trait;
use brevet_domain::delegation::Delegation;
use brevet_domain::id::IdentityId;

use super::{Mark, PortResult};

/// What humans let other identities request on their behalf. All reads are consistent.
///
/// A write that rests on a version is conditioned on it: [`super::TransactionItem::StillDelegated`].
#[async_trait]
pub trait Delegations: Send + Sync {
    /// The latest version of the delegation from `by` to `to`, even if ended or past.
    async fn delegation(&self, by: &IdentityId, to: &IdentityId) -> PortResult<Option<Delegation>>;

    /// The latest version of each delegation of `by`, even if ended or past.
    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>>;

    /// Stores a version, and the marks that end grants it no longer covers, if the human's holdings still have version
    /// `held`. So no grant comes in between.
    ///
    /// All or nothing, except that marks beyond the size of a transaction may be stored without the version.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another version is stored under this number, or the holdings or marks have
    /// changed. An equal stored version comes from an attempt whose answer was lost, and is no error.
    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()>;
}
