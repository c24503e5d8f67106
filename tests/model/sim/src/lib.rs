//! Simulation: the real engine in a model of the world, with faults. Test equipment: never shipped.
//!
//! The model covers AWS as far as Brevet uses it: clocks that differ; IAM that enforces after a lag and accepts late
//! calls; STS sessions under their policies; a table with lagging indexes and TTL deletion. A run is a list of
//! [`op::Op`]. An [`observer::Observer`] asks the model who could act, and checks every invariant against it. Every
//! draw of a run follows from its seed, so that each run can be reproduced.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "test equipment: a panic here is a test failure"
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
