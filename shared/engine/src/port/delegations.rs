//! The port to delegations: written by evaluate alone, each version once.

use async_trait::async_trait;
use brevet_domain::delegation::Delegation;
use brevet_domain::id::IdentityId;

use super::{Mark, PortResult};

/// What humans let other identities ask for on their behalf. All reads are consistent.
///
/// That a version is still the latest is a condition of what rests on it: [`super::Also::StillDelegated`].
#[async_trait]
pub trait Delegations: Send + Sync {
    /// The latest version of what `by` lets `to` ask for, ended and past ones too.
    async fn delegation(&self, by: &IdentityId, to: &IdentityId) -> PortResult<Option<Delegation>>;

    /// The latest version of each of `by`'s, ended and past ones too.
    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>>;

    /// Stores a version, and with it the marks that end what it does not cover any more, if what the human's identities
    /// hold still has version `held`: so no grant comes in between.
    ///
    /// All or nothing, but that more marks than a transaction takes may be there without the version.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if the version is there, or something else was held or marked meanwhile. A version that is there just so was put by an own attempt whose answer got lost: no error.
    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()>;
}
