//! The contract of every port: one suite per port, run on the fake and on the adapter alike.
//!
//! `store_contract!`, `vendor_contract!`, `roles_contract!`, `rotator_contract!` and `principals_contract!` write one
//! test for each check. A check panics if the contract is broken.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is test code, shared between crates")]

pub mod delegations;
pub mod drills;
pub mod duties;
pub mod early_ends;
pub mod findings;
pub mod holders;
pub mod lists;
pub mod principals;
pub mod reviews;
pub mod revocations;
pub mod roles;
pub mod rotator;
mod samples;
pub mod service;
pub mod store;
pub mod vendor;

/// Writes the given checks as tests. `$made` creates the fixture, or returns `None` if the check is impossible here.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($suite:ident, $made:expr, $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                if let Some(made) = $made.await {
                    $crate::contract::$suite::$check(&made).await;
                }
            }
        )*
    };
}
