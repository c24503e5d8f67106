//! The emulators' addresses, and clients for them.

mod config;

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use config::config;

/// The URL in the environment variable `name`. Without it the test reports itself as skipped.
///
/// With `BREVET_TEST_REQUIRE_LOCAL=1`, a missing URL fails the test.
pub(crate) fn url(name: &str) -> Option<String> {
    let url = std::env::var(name).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        assert_ne!(
            std::env::var("BREVET_TEST_REQUIRE_LOCAL").as_deref(),
            Ok("1"),
            "set `{name}` to the URL of the emulator"
        );
        // The test harness hides `eprintln!` while a test passes.
        let written = writeln!(std::io::stderr(), "SKIPPED: `{name}` is not set; `make test` sets it");
        drop(written);
    }
    url
}

/// A name that no other test uses, in this run or another.
pub(crate) fn fresh_name(prefix: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::SeqCst);
    format!("{prefix}-{}-{n}", std::process::id())
}
