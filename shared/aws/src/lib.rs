//! Adapters to AWS: each keeps the contract of a port of the engine. The only crate with the SDKs.
//!
//! `error` is the part to read first: it decides what a failed call is known to have done.

#[cfg(all(feature = "dynamodb", feature = "sts"))]
mod canary;
pub mod config;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "dynamodb")]
mod echoes;
pub mod error;
#[cfg(feature = "iam")]
mod iam;
#[cfg(feature = "invoke")]
mod invoke;
#[cfg(feature = "secretsmanager")]
mod secrets;
#[cfg(feature = "sts")]
mod sts;

#[cfg(all(feature = "dynamodb", feature = "sts"))]
pub use canary::DynamoCanary;
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoStore;
#[cfg(feature = "dynamodb")]
pub use echoes::DynamoEchoes;
#[cfg(feature = "iam")]
pub use iam::{IamDeprovisioner, IamEstate, IamPrincipals, IamProvisioner, IamSessionRoles};
#[cfg(feature = "invoke")]
pub use invoke::LambdaEvaluateCall;
#[cfg(feature = "secretsmanager")]
pub use secrets::SecretsRotator;
#[cfg(feature = "sts")]
pub use sts::{StsProofs, StsVendor};
