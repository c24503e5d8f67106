//! What goes over HTTP: bodies and queries that are read, answers and problems that are written.
//!
//! `read` turns what a caller sent into domain types or says what was wrong; `view` shows a grant; `evaluation` what
//! would be said; `answer` holds the other answers; `problem` is every refusal.

pub mod answer;
pub mod evaluation;
pub mod problem;
pub mod read;
pub mod revocation;
pub mod view;
