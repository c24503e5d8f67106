//! The tests' SDK configuration for a URL.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::Credentials;

/// The configuration for an emulator at `url`.
///
/// The emulators share two cores with everything else, so each attempt may take longer than in the functions.
pub(crate) async fn config(url: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(60))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("AKIABREVETBOOTSTRAP0", "bootstrap", None, None, "tests"))
        .timeout_config(timeouts)
        .load()
        .await
}
