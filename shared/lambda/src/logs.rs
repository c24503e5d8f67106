//! Logs: one JSON object per line on standard output, which Lambda forwards to `CloudWatch`.

use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Brevet's own crates. Other crates log at `info` or above only: their details (bodies, headers) may hold credentials.
const OWN_CRATES: [&str; 5] = ["brevet", "intake", "evaluate", "issue", "reap"];

/// Starts logging at the level in `RUST_LOG`: `error`, `warn`, `info` (the default) or `debug`.
pub fn init() {
    let level = std::env::var("RUST_LOG").unwrap_or_default();
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter(&level))
        .try_init();
    if started.is_err() {
        tracing::warn!("logging is already initialized");
    }
    if !level.is_empty() && Level::from_str(&level).is_err() {
        tracing::warn!("`RUST_LOG` is not a known level, so `info` is used; set `error`, `warn`, `info` or `debug`");
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(directives(Level::from_str(level).unwrap_or(Level::INFO)))
}

fn directives(level: Level) -> String {
    let mut text = level.min(Level::INFO).to_string();
    for own_crate in OWN_CRATES {
        text.push_str(&format!(",{own_crate}={level}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_never_logs_details_of_other_crates() {
        assert_eq!(directives(Level::WARN), "WARN,brevet=WARN,intake=WARN,evaluate=WARN,issue=WARN,reap=WARN");
        assert!(directives(Level::TRACE).starts_with("INFO,brevet=TRACE,"));
        let tricked = filter("hyper=trace").to_string();
        assert!(!tricked.to_lowercase().contains("hyper") && !tricked.to_lowercase().contains("trace"), "{tricked}");
    }
}
