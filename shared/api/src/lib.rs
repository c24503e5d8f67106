//! HTTP wire types: request bodies and queries, answers and problems.
//!
//! `read` parses requests into domain types or names the error. `view` shows a grant, `evaluation` a dry run and
//! `revocation` a block of the kill switch. `answer` holds the other answers, `problem` every refusal.

pub mod answer;
pub mod evaluation;
pub mod problem;
pub mod read;
pub mod revocation;
pub mod view;
