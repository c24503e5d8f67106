//! From proof to caller. The caller's identity comes from a signed token, never from a parameter.
//!
//! [`bearer`] takes the token out of an `Authorization` header and [`Verifier`] turns it into a
//! [`Caller`](brevet_domain::identity::Caller): one registered identity, its task, and a summary of the proof.
//! Every function that acts for a caller verifies the token itself. This crate reads no clock; time enters as `now`.

mod bearer;
mod cache;
mod claims;
mod error;
mod http;
mod json;
mod keys;
mod registered;
mod source;
#[cfg(test)]
mod testing;
mod token;
mod verifier;

pub use bearer::bearer;
pub use cache::{LAST_GOOD_S, REFETCH_PAUSE_S, REFRESH_AFTER_S};
pub use claims::MAX_LIFE_S;
pub use error::ProofError;
pub use http::{HttpKeySource, MAX_BODY_BYTES};
pub use source::{KeyError, KeySource};
pub use token::MAX_TOKEN_BYTES;
pub use verifier::{Audiences, Verifier};
