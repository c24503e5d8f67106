//! Tests of the walls between the crates: see `tests/`.
