//! Simulation: the real engine in a model of the world, with faults. Test equipment: never shipped.
//!
//! The model is AWS as far as Brevet meets it: clocks that are apart, IAM that enforces later than it is configured and
//! takes calls that land late, STS sessions under their policies, a table whose indexes lag and whose TTL deletes. What
//! happens is a list of [`op::Op`]; an [`observer::Observer`] asks the model who could act, and holds every invariant
//! against it. What a run draws follows from its seed, so that it can be had again.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "test equipment: what goes wrong here is seen as a failure"
)]

pub mod catalogue;
pub mod controls;
pub mod generate;
pub mod interleave;
pub mod ledger;
pub mod observer;
pub mod op;
mod play;
pub mod policy;
pub mod run;
pub mod single;
pub mod stories;
pub mod table;
pub mod world;
