//! Compiles a catalogue into a bundle and decides requests under it. This is the only crate that uses Cedar.
//!
//! [`catalogue`] compiles a folder into a bundle and reports each mistake. [`Bundle`] loads a bundle and decides under
//! it. A request that cannot be evaluated is denied (invariant 9).

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
