//! Each invariant in the README has a test that is named after it.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::Path;

/// The text of every Rust and Python file under `folder`.
fn sources(folder: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn every_invariant_in_the_readme_has_a_test_named_after_it() {
    let root = brevet_walls::root();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, after) = readme.split_once("## Invariants").unwrap();
    let (invariants, _) = after.split_once("\n## ").unwrap();
    let n_invariants = invariants.lines().filter(|line| line.contains(". **")).count();
    assert_eq!(n_invariants, 14);
    let tests: String = ["shared", "infra", "tests"].iter().map(|folder| sources(&root.join(folder))).collect();
    let untested: Vec<_> = (1..=n_invariants)
        .filter(|n| ["fn ", "def test_"].iter().all(|word| !tests.contains(&format!("{word}invariant_{n:02}_"))))
        .collect();
    assert!(untested.is_empty(), "no test is named after invariant {untested:?}");
}
