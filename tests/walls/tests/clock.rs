//! Time enters as `now` (invariant 13): one file reads the clock and draws at random.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::PathBuf;

use brevet_walls::{root, sources};

/// What reads a clock or draws at random. The lint of the same name covers calls; this also covers paths and macros.
const CLOCKS: [&str; 4] = ["SystemTime::now", "Utc::now", "Local::now", "Instant::now"];
const CHANCE: [&str; 6] = ["Ulid::generate", "Ulid::new()", "Uuid::", "rand::", "getrandom", "SystemRandom"];

/// Shipped files whose code, comments left out, holds one of `words`.
fn readers(words: &[&str]) -> Vec<String> {
    let root = root();
    let crates = ["shared", "functions"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let files = crates.flat_map(|krate| sources(&krate.unwrap().path().join("src")));
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
fn invariant_13_one_file_reads_the_clock_and_draws_at_random() {
    assert_eq!(readers(&CLOCKS), ["shared/lambda/src/clock.rs"], "take `now` instead");
    // The first makes keys for tests, only behind `test-util`.
    let drawing = ["shared/identity/src/testing.rs", "shared/lambda/src/clock.rs"];
    assert_eq!(readers(&CHANCE), drawing, "take an `IdSource` instead");
}
