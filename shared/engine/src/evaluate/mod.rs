//! What the `evaluate` function does: decide, count votes, offer, stop and lift, acknowledge. It never calls IAM or STS.

pub mod acknowledge;
pub mod decide;
pub mod offers;
pub mod revoke;
