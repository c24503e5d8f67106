//! Catalogues with one thing wrong: each is refused, at its place, with what would be right.

use std::fmt::Write;

use serde::Deserialize;

use super::*;

const GENERAL: &str = "policies/general.cedar";
const SECRETS: &str = "policies/read-secret.cedar";

/// One slip in the example catalogue, as `broken/*.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slip {
    pub(crate) name: String,
    /// The file that it is in.
    pub(crate) file: String,
    /// The file's other name, if it gets one.
    #[serde(rename = "as")]
    pub(crate) renamed: Option<String>,
    find: String,
    replace: String,
    also: Option<Again>,
}

/// Another text that is replaced, by many: `#` stands for the number of each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    find: String,
    replace: String,
    times: usize,
}

/// All slips, in the order of the files.
pub(crate) fn slips() -> Vec<Slip> {
    let dir = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src/tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| serde_saphyr::from_str::<Vec<Slip>>(&std::fs::read_to_string(file).unwrap()).unwrap();
    let slips: Vec<_> = files.into_iter().flat_map(read).collect();
    // The golden file is read by name.
    let names: std::collections::BTreeSet<_> = slips.iter().map(|slip| &slip.name).collect();
    assert_eq!(names.len(), slips.len(), "two slips have one name");
    slips
}

impl Slip {
    pub(crate) fn apply(&self, sources: &mut Sources) {
        let Self { name, file, find, .. } = self;
        let mut text = sources.0.remove(file).unwrap_or_else(|| panic!("{name}: there is no {file}"));
        assert!(text.contains(find), "{name}: `{find}` is not in {file}");
        text = text.replacen(find, &self.replace, 1);
        if let Some(again) = &self.also {
            let many: String = (0..again.times).map(|n| again.replace.replace('#', &n.to_string())).collect();
            assert!(text.contains(&again.find), "{name}: `{}` is not in {file}", again.find);
            text = text.replacen(&again.find, &many, 1);
        }
        sources.0.insert(self.renamed.clone().unwrap_or_else(|| file.clone()), text);
    }
}

#[test]
fn the_example_compiles_and_always_to_the_same_bundle() {
    assert_eq!(compile(&example()).unwrap().bundle, example_text());
    // Neither where a policy stands nor in what order changes what it means.
    let mut moved = example();
    let secrets = moved.0.remove(SECRETS).unwrap();
    let general = moved.0.get_mut(GENERAL).unwrap();
    *general = format!("{secrets}\n{general}");
    assert_eq!(compile(&moved).unwrap().bundle.digest, example_text().digest);
}

#[test]
fn each_slip_is_refused_at_its_place_with_what_would_be_right() {
    let mut told = String::new();
    for slip in slips() {
        let mut sources = example();
        slip.apply(&mut sources);
        let name = &slip.name;
        let error = compile(&sources).expect_err(name);
        writeln!(told, "# {name}\n{error}\n").unwrap();
    }
    assert_golden(&told, include_str!("broken.golden"), "broken.golden");
}

/// The example with `replace` instead of `find` in `file`, its cases left out: what it warns of.
fn warned(file: &str, find: &str, replace: &str) -> Vec<String> {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/"));
    let text = sources.0.get_mut(file).unwrap();
    assert!(text.contains(find), "{find}");
    *text = text.replacen(find, replace, 1);
    compile(&sources).unwrap().warnings.iter().map(ToString::to_string).collect()
}

const SECRET_WARNINGS: [&str; 2] = [
    "entitlements/read-secret.yaml:15:9: action `secretsmanager:GetSecretValue` has an effect that outlives the grant: who has read a secret knows it until it is rotated",
    "entitlements/rescue-secret.yaml:15:9: action `secretsmanager:GetSecretValue` has an effect that outlives the grant: who has read a secret knows it until it is rotated",
];

#[test]
fn what_outlives_a_grant_is_warned_of_and_listed() {
    assert_eq!(warned("entitlements/deploy-release.yaml", "s3:PutObject", "s3:PutObject"), SECRET_WARNINGS);
    let bundle = example_bundle();
    let listed: Vec<_> = bundle
        .entitlement(&"read-secret".parse().unwrap())
        .unwrap()
        .outlives
        .iter()
        .map(|one| one.action.as_str())
        .collect();
    assert_eq!(listed, ["secretsmanager:GetSecretValue"]);
    assert!(bundle.entitlement(&"deploy-release".parse().unwrap()).unwrap().outlives.is_empty());
    let told = warned("entitlements/deploy-release.yaml", "s3:PutObject", "kms:*Grant");
    assert!(
        told[0].contains("action `kms:*Grant` reaches `kms:CreateGrant`, which has an effect that outlives"),
        "{told:?}"
    );
    let told = warned("entitlements/deploy-release.yaml", "s3:PutObject", "s3express:CreateSession");
    assert!(told[0].ends_with("the bucket's session lives 5 minutes"), "{told:?}");
}

#[test]
fn break_glass_may_escalate_and_says_who_reviews_it() {
    let told = warned(
        "entitlements/deploy-release.yaml",
        "credential_s: 900",
        "credential_s: 900\niam_allowed: true\nbreak_glass: {reviewer: omar}",
    );
    assert_eq!(told, SECRET_WARNINGS);
    let mut sources = example();
    let text = sources.0.get_mut("entitlements/deploy-release.yaml").unwrap();
    *text = text
        .replace("credential_s: 900", "credential_s: 900\niam_allowed: true\nbreak_glass: {reviewer: omar}")
        .replace("- s3:PutObject", "- iam:PassRole\n      - lambda:*Function");
    let compiled = compile(&sources).unwrap();
    let told: Vec<_> = compiled.warnings.iter().map(ToString::to_string).collect();
    for (expected, n) in [
        ("`iam:PassRole` without `StringEquals` on `iam:PassedToService` and roles by their whole names", 1),
        ("`iam:PassRole` with `lambda:CreateFunction` with `lambda:InvokeFunction` is path pathfinding/lambda-001", 1),
        ("`omar` reviews its use", 2),
        ("reaches `lambda:CreateFunction`, which has an effect that outlives the grant", 1),
    ] {
        assert_eq!(told.iter().filter(|line| line.contains(expected)).count(), n, "{expected}: {told:#?}");
    }
    let bundle = Bundle::load(&compiled.bundle).unwrap();
    let reviewer =
        &bundle.entitlement(&"deploy-release".parse().unwrap()).unwrap().break_glass.as_ref().unwrap().reviewer;
    assert_eq!(reviewer.as_str(), "omar");
    // A role by name, for one service, is no escalation by itself.
    let text = sources.0.get_mut("entitlements/deploy-release.yaml").unwrap();
    *text = text.replace("      - lambda:*Function\n", "").replace("arn:${partition}:s3:::acme-release-artifacts/${version}/*", "arn:${partition}:iam::${account}:role/run-${version}\n    conditions: {StringEquals: {iam:PassedToService: [lambda.amazonaws.com]}}");
    let told = compile(&sources).unwrap().warnings;
    assert_eq!(told.len(), 2, "{told:#?}");
    // Several roles are none by name, and a condition that holds without the key names no service.
    for (find, replace) in [
        ("role/run-${version}", "role/*-${version}"),
        ("role/run-${version}", "role/run-?${version}"),
        ("{StringEquals: ", "{StringEqualsIfExists: "),
        ("{StringEquals: ", "{ForAllValues:StringEquals: "),
        ("{StringEquals: ", "{StringLike: "),
        ("iam:PassedToService", "aws:PrincipalTag/team"),
    ] {
        let mut wider = sources.clone();
        let text = wider.0.get_mut("entitlements/deploy-release.yaml").unwrap();
        assert!(text.contains(find), "{find}");
        *text = text.replacen(find, replace, 1);
        let told = compile(&wider).unwrap().warnings;
        let wide = |one: &crate::catalogue::Finding| one.message.contains("`iam:PassRole` without `StringEquals`");
        assert_eq!((told.len(), told.iter().filter(|one| wide(one)).count()), (3, 1), "{replace}: {told:#?}");
    }
}

#[test]
fn a_folder_with_something_that_does_not_belong_is_refused() {
    let dir = std::env::temp_dir().join(format!("brevet-catalogue-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("identities")).unwrap();
    std::fs::write(dir.join("identities/ana.yml"), "").unwrap();
    std::fs::write(dir.join("policy.cedar"), "").unwrap();
    let error = Sources::read(&dir).unwrap_err().to_string();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(
        error,
        "identities/ana.yml: files in `identities` must end in `.yaml`\n\
         policy.cedar: this is no part of a catalogue; it has `issuers.yaml`, `classes.yaml`, `approvals.yaml`, `identities`, `entitlements`, `policies`, `schedules`, `cases` and `README.md`"
    );
    assert!(Sources::read(&dir).unwrap_err().to_string().starts_with(".: the folder cannot be read"));
}

#[test]
fn brackets_without_end_are_refused_before_cedar_recovers_from_each() {
    let mut sources = example();
    let text = format!("@id(\"deep\")\npermit (principal == {}", "{".repeat(16_000));
    sources.0.insert(GENERAL.to_owned(), text);
    let told = compile(&sources).unwrap_err().to_string();
    assert_eq!(
        told,
        "policies/general.cedar:2:85: brackets nest deeper than 64 here; split the condition into several policies"
    );
}
