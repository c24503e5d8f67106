//! Support for handler tests: an installation over the engine's fakes, plain-text proofs and HTTP events.

mod calls;
mod world;

pub use calls::{HttpCall, split_answer};
pub use world::{ClassPolicy, NamedProofs, World};
