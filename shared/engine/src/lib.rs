//! Use cases over small ports: submit, decide, vote, vend, stop, read and reap.
//!
//! This crate knows no AWS, Cedar or HTTP. `port` declares what adapters must provide; each other module is one
//! use case, called by one function. The fakes behind feature `test-util` pass the same contract tests as the adapters.

pub mod catalogue;
#[cfg(feature = "test-util")]
pub mod contract;
pub mod drill;
pub mod evaluate;
#[cfg(feature = "test-util")]
pub mod fake;
pub mod intake;
pub mod issue;
mod journal;
pub mod port;
pub mod reap;
pub mod records;
pub mod refusal;

#[cfg(test)]
mod tests;
