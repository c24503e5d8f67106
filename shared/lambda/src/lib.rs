//! What the functions share at their edge: configuration, logs, the clock, events and answers.
//!
//! `event` tells what woke a function, `http` reads a call, `answer` writes what goes back, `proof` turns tokens
//! into callers, `metric` says what alarms wait for.

pub mod answer;
pub mod clock;
pub mod config;
pub mod event;
pub mod http;
pub mod logs;
pub mod metric;
pub mod proof;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
