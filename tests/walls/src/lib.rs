//! Tests of the walls between the crates: see `tests/`.

#![expect(clippy::expect_used, reason = "only tests use it")]

use std::path::PathBuf;

/// The root of the checkout that is tested: told by cargo as the test starts, and not as it was built, since checkouts
/// may share a target folder.
///
/// # Panics
///
/// If cargo does not run the test.
#[must_use]
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this test");
    PathBuf::from(package).ancestors().nth(2).expect("the package lies two folders below the root").to_path_buf()
}
