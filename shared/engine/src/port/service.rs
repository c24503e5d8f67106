//! The table at hand, and the table that was confirmed to be in service.

use async_trait::async_trait;
use brevet_domain::confirmation::{Confirmation, Unconfirmed};

use super::PortResult;

/// Compares the table at hand with the one in service.
#[async_trait]
pub trait InService: Send + Sync {
    /// The identity of the table at hand: see [`brevet_domain::confirmation::table_identity`]. Read afresh each time,
    /// because the table may be replaced while a function runs.
    async fn table(&self) -> PortResult<String>;

    /// The deploying role's confirmation, if the table has one. Consistent.
    async fn confirmation(&self) -> PortResult<Option<Confirmation>>;
}

/// The confirmation of the table at hand, or why it does not hold.
///
/// # Errors
///
/// [`super::PortError`] if either cannot be read.
pub(crate) async fn in_service(port: &dyn InService) -> PortResult<Result<Confirmation, Unconfirmed>> {
    // The table is read second: if it is replaced in between, the older confirmation does not match it.
    let confirmation = port.confirmation().await?;
    let table = port.table().await?;
    Ok(Confirmation::check(confirmation, &table))
}
