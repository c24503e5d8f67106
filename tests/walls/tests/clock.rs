//! Time enters as `now` (invariant 13): one file reads the clock.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// What reads a clock or draws at random. The lint of the same name covers calls; this also covers paths and macros.
const CLOCKS: [&str; 4] = ["SystemTime::now", "Utc::now", "Local::now", "Instant::now"];

/// Every Rust file under `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn one_file_reads_the_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let crates = ["shared", "functions"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let files: Vec<_> = crates.flat_map(|krate| sources(&krate.unwrap().path().join("src"))).collect();
    assert!(files.len() > 20, "the test sees the sources at all");
    let mut readers = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.into_iter().any(|line| CLOCKS.iter().any(|clock| line.contains(clock))) {
            assert!(text.contains("struct SystemClock"), "{path:?} reads the clock: take `now` instead");
            readers.push(path);
        }
    }
    assert!(readers.len() <= 1, "more than one file reads the clock: {readers:?}");
}
