//! Tests of `apply`: a golden table of every state and event, and the invariants over random lives.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that overflows fails; a new state or event is counted in `golden`"
)]

mod golden;
mod invariants;
mod lives;
mod rotating;
mod samples;
