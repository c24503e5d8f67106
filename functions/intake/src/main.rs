//! Lambda function `intake`.

fn main() {}
