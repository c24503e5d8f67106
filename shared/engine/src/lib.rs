//! Use cases over small ports: submit, decide, vote, vend, stop, read and reap.
//!
//! Nothing here knows AWS, Cedar or HTTP. `port` says what the outside must offer; each other module is one
//! use case, called by one function. The fakes behind feature `test-util` keep the same contracts as the adapters.

pub mod acknowledge;
pub mod activate;
pub mod catalogue;
mod checks;
#[cfg(feature = "test-util")]
pub mod contract;
pub mod decide;
pub mod drill;
#[cfg(feature = "test-util")]
pub mod fake;
pub mod intake;
pub mod issue;
mod journal;
pub mod offers;
pub mod port;
pub mod reap;
pub mod refusal;
pub mod report;
pub mod revoke;
mod stopped;

#[cfg(test)]
mod tests;
