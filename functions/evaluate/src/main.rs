//! Lambda function `evaluate`.

fn main() {}
