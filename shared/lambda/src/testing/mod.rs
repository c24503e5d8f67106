//! For the tests of handlers: a small world over the engine's fakes, proofs that say who they are, HTTP events.

mod calls;
mod world;

pub use calls::{HttpCall, taken_apart};
pub use world::{ClassPolicy, NamedProofs, World};
