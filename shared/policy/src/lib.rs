//! Catalogue to bundle to decision; the only crate with Cedar.
//!
//! [`catalogue`] compiles a folder into a bundle and refuses what is wrong in it. [`Bundle`] loads such a
//! bundle and decides under it. Whatever cannot be evaluated is denied (invariant 9).

mod ask;
mod behalf;
mod bundle;
pub mod catalogue;
pub mod compare;
mod decide;
mod declared;
mod entities;
mod nearest;
mod offer;
mod revoke;
mod scope;
mod steps;
mod vote;

pub use ask::Fault;
pub use bundle::{Bundle, PolicyError};
pub use decide::DecideError;
pub use revoke::RevokeRefusal;
pub use vote::Refusal;

#[cfg(test)]
mod tests;
