//! `brevet dev token` refuses what it cannot sign, and says what to do.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::process::Command;

fn token(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_brevet")).args(["dev", "token"]).args(arguments).output().unwrap();
    assert_eq!(output.stdout, b"", "no token");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn token_without_a_local_stack_names_the_command_that_starts_one() {
    let (code, said) = token(&["ana", "--folder", "/nowhere"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "/nowhere has no local issuer: start the local stack with `make up`\n")
    );
}

#[test]
fn token_for_an_unknown_use_names_the_uses() {
    let (code, said) = token(&["ana", "--for", "fun"]);
    assert!(code == Some(2) && said.contains("asking, voting, credentials"), "{said}");
}
