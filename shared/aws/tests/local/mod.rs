//! Where the emulators are, and clients for them.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::Credentials;

/// The URL in environment variable `name`; without it the test is skipped, aloud. `BREVET_TEST_REQUIRE_LOCAL=1` makes
/// that a failure.
pub(crate) fn url(name: &str) -> Option<String> {
    let url = std::env::var(name).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        assert_ne!(
            std::env::var("BREVET_TEST_REQUIRE_LOCAL").as_deref(),
            Ok("1"),
            "`{name}` must say where the emulator listens"
        );
        // Not by `eprintln!`, which is kept from sight while a test passes.
        let told =
            writeln!(std::io::stderr(), "SKIPPED: `{name}` does not say where the emulator listens; `make test` does");
        drop(told);
    }
    url
}

/// The emulators at `url`. They share two cores with everything else, so each attempt has longer than in the functions.
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

/// A name that no other test of this or another run uses.
pub(crate) fn fresh_name(prefix: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::SeqCst);
    format!("{prefix}-{}-{n}", std::process::id())
}
