//! Runs `brevet explain` on the example catalogue, and checks the output and the exit codes.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn catalogue() -> String {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../infra/catalogue").to_str().unwrap().to_owned()
}

/// Exit code, standard output and standard error of `brevet explain` on the example, with these arguments.
fn explain(words: &str) -> (Option<i32>, String, String) {
    let dir = catalogue();
    let mut command = Command::new(env!("CARGO_BIN_EXE_brevet"));
    let output = command.args(["explain", &dir]).args(words.split(' ')).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr).replace(&dir, "DIR"))
}

const ASKED: [&str; 13] = [
    "--identity release-pipeline --entitlement deploy-release --term 600 --parameter version=v1.2.3",
    "--identity release-pipeline --entitlement deploy-release --term 601 --parameter version=v1.2.3",
    "--identity release-pipeline --entitlement deploy-release --term 600 --parameter version=latest",
    "--identity release-pipeline --entitlement deploy-release --term 600",
    "--identity remediation-agent --entitlement read-secret --term 300 --parameter secret=shop/db",
    "--identity remediation-agent --entitlement read-secret --term 300 --parameter secret=shop/db --ticket INC-1",
    "--identity remediation-agent --entitlement read-secret --term 300 --parameter secret=shop/db --task t-7",
    "--identity remediation-agent --entitlement read-secret --term 300 --parameter secret=shop/db --task t-7 --ticket INC-1",
    "--identity ana --entitlement read-orders-table --term 600",
    "--identity ana --entitlement read-orders-table --term 600 --ticket INC-1 --at 2026-11-22T14:00:00Z",
    "--identity acme-sync --entitlement legacy-batch --term 600 --parameter run=r-1",
    "--identity nightly-batch --entitlement legacy-batch --term 600 --parameter run=r-1 --task r-1 --plan",
    "--identity release-pipeline --entitlement deploy-release --term 600 --parameter version=v1.2.3 --plan --account 123456789012",
];

#[test]
fn explain_output_matches_the_golden_file() {
    let mut printed = String::new();
    for words in ASKED {
        let (code, out, err) = explain(words);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words}");
        write!(printed, "$ brevet explain infra/catalogue {words}\n{out}").unwrap();
    }
    let golden = include_str!("explain.golden");
    let differs = printed.lines().zip(golden.lines()).find(|(printed, golden)| printed != golden);
    assert!(printed == golden, "`explain.golden` differs first at {differs:?}; now it would be:\n{printed}");
}

#[test]
fn explain_json_carries_the_same_answer() {
    let json = |words: &str| -> Value { serde_json::from_str(&explain(&format!("{words} --json")).1).unwrap() };
    let denied = json(ASKED[5]);
    assert_eq!(denied["outcome"], "deny");
    let rule = &denied["rules"][0];
    assert_eq!(
        (rule["id"].as_str(), rule["file"].as_str()),
        (Some("agents-work-on-a-task"), Some("policies/general.cedar"))
    );
    // `line` is where the policy begins.
    let text = std::fs::read_to_string(Path::new(&catalogue()).join("policies/general.cedar")).unwrap();
    let line = text.lines().nth(usize::try_from(rule["line"].as_u64().unwrap()).unwrap() - 1).unwrap();
    assert_eq!(line, "@id(\"agents-work-on-a-task\")");
    assert_eq!(
        (&denied["nearest"]["changes"][0]["change"], &denied["nearest"]["outcome"]),
        (&"task".into(), &"allow".into())
    );
    // The nearest request passes.
    assert_eq!(json(ASKED[7])["outcome"], "allow");
    let plan = json(ASKED[12]);
    assert_eq!(plan["plan"]["kind"], "session");
    assert!(
        plan["plan"]["role_arn"].as_str().unwrap().starts_with("arn:aws:iam::123456789012:role/brevet/dev/session/")
    );
    assert_eq!(json(ASKED[2])["outcome"], "invalid_request");
    assert!(json(ASKED[0]).get("plan").is_none(), "the plan is only printed with `--plan`");
}

#[test]
fn explain_fails_for_unknown_names_and_invalid_arguments() {
    for (words, expected) in [
        ("--identity nobody --entitlement deploy-release --term 60", "DIR: there is no identity `nobody`\n"),
        ("--identity ana --entitlement no-such-thing --term 60", "DIR: there is no entitlement `no-such-thing`\n"),
    ] {
        assert_eq!(explain(words), (Some(1), String::new(), expected.to_owned()));
    }
    for (words, expected) in [
        ("--identity ana --entitlement read-secret --term 59", "a term of 59 s is out of range"),
        ("--identity ana --entitlement read-secret --term 60 --parameter x", "a parameter is written `name=value`"),
        ("--identity ana --entitlement read-secret --term 60 --parameter x=*", "wildcards and `$` are never allowed"),
        ("--identity ana --entitlement read-secret --term 60 --at noon", "is not an instant"),
        ("--identity ana --term 60", "--entitlement <ENTITLEMENT>"),
    ] {
        let (code, out, err) = explain(words);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words}");
        assert!(err.contains(expected), "{words}: {err}");
    }
}
