//! The `brevet` command.

fn main() {}
