//! Logs: one JSON object a line on standard output, which Lambda hands to `CloudWatch`.

use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Ours; everything else stays at `info` or above, since what lies below (bodies, headers) may hold credentials.
const OURS: [&str; 5] = ["brevet", "intake", "evaluate", "issue", "reap"];

/// Starts logging at the level in `RUST_LOG`: `error`, `warn`, `info` (the default) or `debug`.
pub fn init() {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter(&wanted))
        .try_init();
    if started.is_err() {
        tracing::warn!("logging was started before");
    }
    if !wanted.is_empty() && Level::from_str(&wanted).is_err() {
        tracing::warn!("`RUST_LOG` is none of `error`, `warn`, `info`, `debug`: `info` is used");
    }
}

fn filter(wanted: &str) -> EnvFilter {
    EnvFilter::new(directives(Level::from_str(wanted).unwrap_or(Level::INFO)))
}

fn directives(level: Level) -> String {
    let mut text = level.min(Level::INFO).to_string();
    for ours in OURS {
        text.push_str(&format!(",{ours}={level}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_details_are_ever_logged() {
        assert_eq!(directives(Level::WARN), "WARN,brevet=WARN,intake=WARN,evaluate=WARN,issue=WARN,reap=WARN");
        assert!(directives(Level::TRACE).starts_with("INFO,brevet=TRACE,"));
        let tricked = filter("hyper=trace").to_string();
        assert!(!tricked.to_lowercase().contains("hyper") && !tricked.to_lowercase().contains("trace"), "{tricked}");
    }
}
