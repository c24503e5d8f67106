//! Runs `brevet check` and `brevet plan` on catalogues on disk, and checks the output and the exit code.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

/// One mistake in the example catalogue. The compiler's tests own the list: see `shared/policy/src/tests/broken`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slip {
    name: String,
    file: String,
    #[serde(rename = "as")]
    renamed: Option<String>,
    find: String,
    replace: String,
    repeat: Option<Replacement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    find: String,
    replace: String,
    times: usize,
}

fn checkout() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

fn slips() -> Vec<Slip> {
    let dir = checkout().join("shared/policy/src/tests/broken");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| serde_saphyr::from_str::<Vec<Slip>>(&fs::read_to_string(file).unwrap()).unwrap();
    files.into_iter().flat_map(read).collect()
}

/// The lines of the compiler's golden file for the mistake called `name`.
fn golden(name: &str) -> Vec<String> {
    let text = fs::read_to_string(checkout().join("shared/policy/src/tests/broken.golden")).unwrap();
    let head = format!("# {name}");
    let section = text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.is_empty());
    section.map(str::to_owned).collect()
}

/// A copy of the example catalogue; dropping it deletes the folder.
struct Copied(PathBuf);

impl Copied {
    fn new(name: &str) -> Self {
        let to = std::env::temp_dir().join(format!("brevet-check-{}-{name}", std::process::id()));
        copy(&checkout().join("infra/catalogue"), &to);
        Self(to)
    }

    fn slip(&self, slip: &Slip) {
        let path = self.0.join(&slip.file);
        let mut text = fs::read_to_string(&path).unwrap().replacen(&slip.find, &slip.replace, 1);
        if let Some(repeat) = &slip.repeat {
            let many: String = (0..repeat.times).map(|n| repeat.replace.replace('#', &n.to_string())).collect();
            text = text.replacen(&repeat.find, &many, 1);
        }
        fs::remove_file(path).unwrap();
        fs::write(self.0.join(slip.renamed.as_ref().unwrap_or(&slip.file)), text).unwrap();
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn brevet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brevet")).args(arguments).output().unwrap()
}

fn check(dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = brevet(&[&["check", dir.to_str().unwrap()], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn example_catalogue_passes_check_with_two_warnings() {
    let (code, out, err) = check(&checkout().join("infra/catalogue"), &[]);
    assert_eq!((code, err.lines().count()), (Some(0), 2));
    for (line, file) in err.lines().zip(["read-secret", "rescue-secret"]) {
        let place = format!("/entitlements/{file}.yaml:15:9: action");
        assert!(line.starts_with("warning: ") && line.contains(&place), "{err}");
    }
    assert!(out.contains(": good; 5 issuers, 10 identities, 11 entitlements,"), "{out}");
    let n_cases: usize = out.split(" cases").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(n_cases >= 10, "{out}");
}

#[test]
fn check_fails_for_every_broken_catalogue_with_a_message_at_its_place() {
    let slips = slips();
    assert!(slips.len() >= 40, "{}", slips.len());
    for slip in &slips {
        let name = &slip.name;
        let copied = Copied::new("text");
        copied.slip(slip);
        let (code, out, err) = check(&copied.0, &[]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{name}");
        let expected: Vec<_> = golden(name).iter().map(|line| format!("{}/{line}", copied.0.display())).collect();
        assert!(!expected.is_empty(), "{name} has no message in the golden file");
        assert_eq!(err.lines().collect::<Vec<_>>(), expected, "{name}");
        for line in golden(name) {
            let (place, message) = line.split_once(": ").unwrap();
            let numbers: Vec<_> = place.split(':').skip(1).map(|number| number.parse::<u64>().unwrap()).collect();
            assert!(numbers.len() == 2 && numbers[0] > 0 && !message.is_empty(), "{name}: {line}");
        }
    }
}

#[test]
fn github_format_prints_findings_as_annotations() {
    let copied = Copied::new("github");
    let slips = slips();
    copied.slip(slips.iter().find(|slip| slip.name == "managed for too long").unwrap());
    let (code, out, err) = check(&copied.0, &["--format", "github"]);
    let file = copied.0.join("entitlements/third-party-sync.yaml");
    let start = format!("::error file={},line=10,col=13,title=brevet check::`max_term_s` is 3601;", file.display());
    assert_eq!((code, err.as_str(), out.lines().count()), (Some(1), "", 1));
    assert!(out.starts_with(&start), "{out}");
}

#[test]
fn github_format_prints_warnings_as_annotations_without_failing() {
    let (code, out, err) = check(&checkout().join("infra/catalogue"), &["--format", "github"]);
    assert_eq!((code, err.as_str(), out.lines().count()), (Some(0), "", 3));
    assert!(out.starts_with("::warning file=") && out.contains("read-secret.yaml,line=15,col=9,"), "{out}");
}

#[test]
fn bundle_fails_when_a_case_fails() {
    let copied = Copied::new("bundle");
    let dir = copied.0.to_str().unwrap().to_owned();
    assert!(brevet(&["bundle", &dir]).status.success());
    copied.slip(slips().iter().find(|slip| slip.name == "another outcome than expected").unwrap());
    let output = brevet(&["bundle", &dir]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn check_refuses_a_folder_that_is_not_a_catalogue() {
    let copied = Copied::new("stray");
    fs::write(copied.0.join("identities/eve.yml"), "").unwrap();
    fs::write(copied.0.join("polices.cedar"), "").unwrap();
    let (code, _, err) = check(&copied.0, &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/identities/eve.yml: files in `identities` must end in `.yaml`"), "{err}");
    assert!(err.contains("/polices.cedar: this is not part of a catalogue"), "{err}");
    let (code, _, err) = check(Path::new("/no/such/folder"), &[]);
    assert!(code == Some(1) && err.contains("the folder cannot be read"), "{err}");
}

#[test]
fn plan_reports_changed_decisions_and_ignores_changed_comments() {
    let example = checkout().join("infra/catalogue");
    let copied = Copied::new("plan");
    let plan = |new: &Path| brevet(&["plan", example.to_str().unwrap(), new.to_str().unwrap()]);
    let lines = |output: Output| -> Vec<String> {
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let edit = |file: &str, find: &str, replace: &str| {
        let path = copied.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(find), "{find}");
        fs::write(path, text.replacen(find, replace, 1)).unwrap();
    };
    edit(
        "policies/general.cedar",
        "// Rules for all identities. A forbid overrides every permit.",
        "// Another comment.",
    );
    let printed = lines(plan(&copied.0));
    assert!(printed.len() == 1 && printed[0].contains(": 0 changes in 110 pairs"), "{printed:?}");
    edit("policies/third-party-sync.cedar", "<= 300", "<= 900");
    edit(
        "cases/machines.yaml",
        "term_s: 301\n    expect: approval\n    approvers: [lea]",
        "term_s: 301\n    expect: allow",
    );
    let printed = lines(plan(&copied.0));
    assert!(printed[0].contains(": 1 change in 110 pairs"), "{printed:?}");
    assert_eq!(
        printed[1..],
        [
            "no longer needs approval: acme-sync × third-party-sync: up to 900 s alone, was up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s"
        ]
    );
    edit("identities/ana.yaml", "class: human", "class: robot");
    let output = plan(&copied.0);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn plan_reports_changes_to_renewals_and_to_requests_on_behalf_of_a_human() {
    let (old, new) = (Copied::new("strict"), Copied::new("loose"));
    let edit = |file: &str, find: &str, replace: &str| {
        let path = old.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(find), "{find}");
        fs::write(path, text.replacen(find, replace, 1)).unwrap();
    };
    let short = "context.termSeconds <= 300";
    edit("policies/third-party-sync.cedar", short, &format!("{short} && !context.isRenewal"));
    let low = "resource.risk == \"low\"";
    edit("policies/read-shop-orders.cedar", low, &format!("{low} && !(context has onBehalfOf)"));
    // The example's cases expect the decisions of the unchanged example.
    fs::remove_dir_all(old.0.join("cases")).unwrap();
    let output = brevet(&["plan", old.0.to_str().unwrap(), new.0.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let out = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<_> = out.lines().collect();
    assert!(printed[0].contains(": 2 changes in 110 pairs"), "{printed:?}");
    assert_eq!(
        printed[1..],
        [
            "newly allowed: remediation-agent × read-shop-orders: up to 300 s with approval by 1 of lea within 900 s (with a task, on behalf of `ana`)",
            "no longer needs approval: acme-sync × third-party-sync: up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s, was up to 900 s with approval by 1 of lea within 900 s (as a renewal)",
        ]
    );
}
