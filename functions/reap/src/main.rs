//! Lambda function `reap`.

fn main() {}
