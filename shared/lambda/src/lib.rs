//! Code shared by the functions' entry points: configuration, logs, the clock, events and answers.
//!
//! `event` determines the kind of an event, `http` reads a call and `answer` writes the answer. `proof` verifies
//! tokens, `metric` writes the metrics behind the alarms.

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
