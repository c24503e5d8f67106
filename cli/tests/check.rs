//! `brevet check` and `brevet plan` as they are run: catalogues on disk, what is printed and the exit code.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

/// One slip in the example catalogue. The list is the compiler's own: see `shared/policy/src/tests/broken`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slip {
    name: String,
    file: String,
    #[serde(rename = "as")]
    renamed: Option<String>,
    find: String,
    replace: String,
    also: Option<Again>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
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

/// What the golden file of the compiler says about the slip called `name`.
fn golden(name: &str) -> Vec<String> {
    let text = fs::read_to_string(checkout().join("shared/policy/src/tests/broken.golden")).unwrap();
    let head = format!("# {name}");
    let section = text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.is_empty());
    section.map(str::to_owned).collect()
}

/// A copy of the example catalogue, gone when it is dropped.
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
        if let Some(again) = &slip.also {
            let many: String = (0..again.times).map(|n| again.replace.replace('#', &n.to_string())).collect();
            text = text.replacen(&again.find, &many, 1);
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
fn the_example_is_good_and_its_cases_come_out_as_expected() {
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
fn every_broken_catalogue_fails_with_a_message_at_its_place() {
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
fn a_pull_request_gets_its_findings_as_annotations() {
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
fn a_warning_is_an_annotation_too_and_no_failure() {
    let (code, out, err) = check(&checkout().join("infra/catalogue"), &["--format", "github"]);
    assert_eq!((code, err.as_str(), out.lines().count()), (Some(0), "", 3));
    assert!(out.starts_with("::warning file=") && out.contains("read-secret.yaml,line=15,col=9,"), "{out}");
}

#[test]
fn a_catalogue_whose_cases_fail_gives_no_bundle() {
    let copied = Copied::new("bundle");
    let dir = copied.0.to_str().unwrap().to_owned();
    assert!(brevet(&["bundle", &dir]).status.success());
    copied.slip(slips().iter().find(|slip| slip.name == "another outcome than expected").unwrap());
    let output = brevet(&["bundle", &dir]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn what_is_no_catalogue_is_refused() {
    let copied = Copied::new("stray");
    fs::write(copied.0.join("identities/eve.yml"), "").unwrap();
    fs::write(copied.0.join("polices.cedar"), "").unwrap();
    let (code, _, err) = check(&copied.0, &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/identities/eve.yml: files in `identities` must end in `.yaml`"), "{err}");
    assert!(err.contains("/polices.cedar: this is no part of a catalogue"), "{err}");
    let (code, _, err) = check(Path::new("/no/such/folder"), &[]);
    assert!(code == Some(1) && err.contains("the folder cannot be read"), "{err}");
}

#[test]
fn a_plan_tells_what_a_change_does_and_not_what_it_says() {
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
    edit("policies/general.cedar", "// Rules for everybody.", "// Rules for all.");
    let told = lines(plan(&copied.0));
    assert!(told.len() == 1 && told[0].contains(": 0 changes in 110 pairs"), "{told:?}");
    edit("policies/third-party-sync.cedar", "<= 300", "<= 900");
    edit(
        "cases/machines.yaml",
        "term_s: 301\n    expect: approval\n    approvers: [lea]",
        "term_s: 301\n    expect: allow",
    );
    let told = lines(plan(&copied.0));
    assert!(told[0].contains(": 1 change in 110 pairs"), "{told:?}");
    assert_eq!(
        told[1..],
        [
            "no longer needs approval: acme-sync × third-party-sync: up to 900 s alone, was up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s"
        ]
    );
    edit("identities/ana.yaml", "class: human", "class: robot");
    let output = plan(&copied.0);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_plan_tells_what_becomes_of_renewals_and_of_what_is_asked_on_behalf_of_somebody() {
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
    // Its cases expect what the example gives.
    fs::remove_dir_all(old.0.join("cases")).unwrap();
    let output = brevet(&["plan", old.0.to_str().unwrap(), new.0.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let out = String::from_utf8(output.stdout).unwrap();
    let told: Vec<_> = out.lines().collect();
    assert!(told[0].contains(": 2 changes in 110 pairs"), "{told:?}");
    assert_eq!(
        told[1..],
        [
            "newly allowed: remediation-agent × read-shop-orders: up to 300 s with approval by 1 of lea within 900 s (with a task, on behalf of `ana`)",
            "no longer needs approval: acme-sync × third-party-sync: up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s, was up to 900 s with approval by 1 of lea within 900 s (as a renewal)",
        ]
    );
}
