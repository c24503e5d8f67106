//! Fuzzing of external input and of rendered policies. Test equipment: never shipped.
//!
//! A target draws an input, gives it to the code, and compares the result with an independent computation. Every draw
//! follows from the seed and the run's number, so a failure can be reproduced: `fuzz NAME --seed S --from RUN --runs
//! 1`.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test equipment: a panic here is a test failure"
)]

mod harness;
mod mutate;
mod target;

pub use harness::{Failure, Figures, Range, Target, run};
pub use target::TARGETS;
