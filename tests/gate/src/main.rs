//! Test gate.

fn main() {}
