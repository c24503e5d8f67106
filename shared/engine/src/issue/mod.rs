//! What the `issue` function does: vend credentials and attach policies. It never detaches or deletes.

pub mod attachment;
mod checks;
pub mod credentials;
mod stopped;
