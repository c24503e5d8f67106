//! Fuzzing of what is read from outside and of what is rendered for AWS. Test equipment: never shipped.
//!
//! A target draws an input, gives it to the code, and compares what comes out with a reckoning of its own. What a run
//! draws follows from the seed and its number, so that a failure can be had again: `fuzz NAME --seed S --from RUN --runs 1`.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test equipment: what goes wrong here is seen as a failure"
)]

mod harness;
mod mutate;
mod target;

pub use harness::{Failure, Figures, Range, Target, run};
pub use target::TARGETS;
