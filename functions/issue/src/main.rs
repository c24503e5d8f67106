//! Lambda function `issue`.

fn main() {}
