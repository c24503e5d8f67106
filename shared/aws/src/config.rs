//! The one SDK configuration: pinned behaviour, bounded time, few attempts. Built once per process.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// The longest that one call may take with all its attempts, in seconds: what fences are computed from.
pub const CALL_BOUND_S: u32 = 8;

/// The SDK has no attempt or operation time-out unless it is set.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(u64::from(CALL_BOUND_S)))
        .build()
}

/// Reads region, endpoints and credentials from the environment, as the SDK does.
///
/// Every call may be repeated, up to three times in all: each write is conditional, or puts the same thing again. What a
/// repetition leaves unknown, [`crate::error::Watch`] tells.
pub async fn from_env() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .load()
        .await
}
