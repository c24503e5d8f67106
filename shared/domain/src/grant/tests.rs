//! What `apply` does: a golden table of every state and event, and the invariants over random lives.

mod golden;
mod samples;
