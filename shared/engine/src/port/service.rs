//! Which table this is, and which one was confirmed to be in service.

use async_trait::async_trait;
use brevet_domain::confirmation::{Confirmation, Unconfirmed};

use super::PortResult;

/// Tells the table at hand from the one in service.
#[async_trait]
pub trait InService: Send + Sync {
    /// What tells the table at hand from every other one: see [`brevet_domain::confirmation::table_identity`]. Asked afresh
    /// each time: a table may be put in the place of another while a function runs.
    async fn table(&self) -> PortResult<String>;

    /// The deploying role's word, if it stands in the table. Consistent.
    async fn confirmation(&self) -> PortResult<Option<Confirmation>>;
}

/// The word that the table at hand is in service, or why it is not.
///
/// # Errors
///
/// [`super::PortError`] if either cannot be read.
pub(crate) async fn in_service(port: &dyn InService) -> PortResult<Result<Confirmation, Unconfirmed>> {
    // The table after the word: where it changes meanwhile, the older word does not fit it.
    let standing = port.confirmation().await?;
    let table = port.table().await?;
    Ok(Confirmation::check(standing, &table))
}
