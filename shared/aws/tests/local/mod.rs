//! Where the emulators are, and clients for them.

mod config;

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use config::config;

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

/// A name that no other test of this or another run uses.
pub(crate) fn fresh_name(prefix: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::SeqCst);
    format!("{prefix}-{}-{n}", std::process::id())
}
