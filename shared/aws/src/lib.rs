//! Adapters to AWS. Each implements a port of the engine. This is the only crate with AWS SDKs.
//!
//! Read `error` first: it decides what is known of the effect of a failed call.

#[cfg(all(feature = "dynamodb", feature = "sts"))]
mod canary;
pub mod config;
#[cfg(feature = "dynamodb")]
mod dynamodb;
pub mod error;
#[cfg(feature = "iam")]
mod iam;
#[cfg(feature = "invoke")]
mod invoke;
#[cfg(feature = "secretsmanager")]
mod secrets;
#[cfg(feature = "dynamodb")]
mod standby_ticks;
#[cfg(feature = "sts")]
mod sts;

#[cfg(all(feature = "dynamodb", feature = "sts"))]
pub use canary::DynamoCanary;
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoStore;
#[cfg(feature = "iam")]
pub use iam::{IamAccountListing, IamDeprovisioner, IamPrincipals, IamProvisioner, IamSessionRoles};
#[cfg(feature = "invoke")]
pub use invoke::LambdaEvaluateCall;
#[cfg(feature = "secretsmanager")]
pub use secrets::SecretsRotator;
#[cfg(feature = "dynamodb")]
pub use standby_ticks::DynamoStandbyTicks;
#[cfg(feature = "sts")]
pub use sts::{StsProofs, StsVendor};
