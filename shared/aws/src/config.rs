//! The one SDK configuration: pinned behaviour, bounded time, few attempts. Built once per process.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// The longest time of one call with all its attempts, in seconds. Fences are computed from it.
pub const CALL_BOUND_S: u32 = 8;

/// The time-outs of each call. The SDK sets no attempt or operation time-out by default.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(u64::from(CALL_BOUND_S)))
        .build()
}

/// Reads region, endpoints and credentials from the environment, as the SDK does.
///
/// The SDK makes up to three attempts per call. A second attempt is safe: each write is conditional or idempotent.
/// [`crate::error::Watch`] shows which effects remain unknown.
pub async fn from_env() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .load()
        .await
}
