//! Time enters as `now` (invariant 13): only one file reads the clock and draws random numbers.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::PathBuf;

use brevet_walls::{root, sources};

/// Names that read a clock or draw random numbers. The clippy lint covers calls; this list also covers paths and
/// macros.
const CLOCKS: [&str; 4] = ["SystemTime::now", "Utc::now", "Local::now", "Instant::now"];
const RANDOMNESS: [&str; 6] = ["Ulid::generate", "Ulid::new()", "Uuid::", "rand::", "getrandom", "SystemRandom"];

/// Shipped files that contain one of `words` outside comments.
fn readers(words: &[&str]) -> Vec<String> {
    let root = root();
    let crates = ["shared", "functions"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let folders = crates.map(|entry| entry.unwrap().path().join("src")).filter(|folder| folder.is_dir());
    let files = folders.flat_map(|folder| sources(&folder));
    let reads = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| words.iter().any(|word| line.contains(word)))
    };
    let mut found: Vec<_> =
        files.filter(reads).map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect();
    found.sort();
    found
}

#[test]
fn invariant_13_only_one_file_reads_the_clock_and_draws_random_numbers() {
    assert_eq!(readers(&CLOCKS), ["shared/lambda/src/clock.rs"], "take `now` instead");
    // The first file makes keys for tests, only behind `test-util`.
    let drawing = ["shared/identity/src/testing.rs", "shared/lambda/src/clock.rs"];
    assert_eq!(readers(&RANDOMNESS), drawing, "take an `IdSource` instead");
}
