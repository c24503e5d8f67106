//! Tests of the boundaries between the crates: see `tests/`.

#![expect(clippy::expect_used, reason = "only tests use it")]

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the tested checkout. It is read when the test runs, not when it was built, because checkouts may share
/// a target folder.
///
/// # Panics
///
/// If the test does not run under cargo.
#[must_use]
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this test");
    PathBuf::from(package).ancestors().nth(2).expect("the package lies two folders below the root").to_path_buf()
}

/// Every Rust file under `folder`.
///
/// # Panics
///
/// If the folder cannot be read.
#[must_use]
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
