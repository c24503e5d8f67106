//! Catalogues with one mistake each: the compiler reports it at its place, with its correction.

use std::fmt::Write;

use serde::Deserialize;

use super::*;

const GENERAL: &str = "policies/general.cedar";
const SECRETS: &str = "policies/read-secret.cedar";

/// One mistake in the example catalogue, as listed in `broken/*.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slip {
    pub(crate) name: String,
    /// The file with the mistake.
    pub(crate) file: String,
    /// The new name of the file, if it is renamed.
    #[serde(rename = "as")]
    pub(crate) renamed: Option<String>,
    find: String,
    replace: String,
    repeat: Option<Replacement>,
}

/// A second text that is replaced by `times` copies; `#` stands for the number of the copy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    find: String,
    replace: String,
    times: usize,
}

/// All mistakes, in the order of the files.
pub(crate) fn slips() -> Vec<Slip> {
    let dir = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src/tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| serde_saphyr::from_str::<Vec<Slip>>(&std::fs::read_to_string(file).unwrap()).unwrap();
    let slips: Vec<_> = files.into_iter().flat_map(read).collect();
    // The golden file is read by name, so names are unique.
    let names: std::collections::BTreeSet<_> = slips.iter().map(|slip| &slip.name).collect();
    assert_eq!(names.len(), slips.len(), "two entries have the same name");
    slips
}

impl Slip {
    pub(crate) fn apply(&self, sources: &mut Sources) {
        let Self { name, file, find, .. } = self;
        let mut text = sources.0.remove(file).unwrap_or_else(|| panic!("{name}: there is no {file}"));
        assert!(text.contains(find), "{name}: `{find}` is not in {file}");
        text = text.replacen(find, &self.replace, 1);
        if let Some(repeat) = &self.repeat {
            let many: String = (0..repeat.times).map(|n| repeat.replace.replace('#', &n.to_string())).collect();
            assert!(text.contains(&repeat.find), "{name}: `{}` is not in {file}", repeat.find);
            text = text.replacen(&repeat.find, &many, 1);
        }
        sources.0.insert(self.renamed.clone().unwrap_or_else(|| file.clone()), text);
    }
}

#[test]
fn example_compiles_to_the_same_bundle_in_any_order() {
    assert_eq!(compile(&example()).unwrap().bundle, example_text());
    // Neither the file nor the order of policies changes the bundle.
    let mut moved = example();
    let secrets = moved.0.remove(SECRETS).unwrap();
    let general = moved.0.get_mut(GENERAL).unwrap();
    *general = format!("{secrets}\n{general}");
    assert_eq!(compile(&moved).unwrap().bundle.digest, example_text().digest);
}

#[test]
fn each_mistake_is_reported_at_its_place_with_its_correction() {
    let mut all = String::new();
    for slip in slips() {
        let mut sources = example();
        slip.apply(&mut sources);
        let name = &slip.name;
        let error = compile(&sources).expect_err(name);
        writeln!(all, "# {name}\n{error}\n").unwrap();
    }
    assert_golden(&all, include_str!("broken.golden"), "broken.golden");
}

/// The warnings of the example with `replace` instead of `find` in `file`, without its cases.
fn warnings_after(file: &str, find: &str, replace: &str) -> Vec<String> {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/"));
    let text = sources.0.get_mut(file).unwrap();
    assert!(text.contains(find), "{find}");
    *text = text.replacen(find, replace, 1);
    compile(&sources).unwrap().warnings.iter().map(ToString::to_string).collect()
}

const SECRET_WARNINGS: [&str; 2] = [
    "entitlements/read-secret.yaml:15:9: action `secretsmanager:GetSecretValue` has an effect that outlives the grant: a secret that was read stays known until it is rotated",
    "entitlements/rescue-secret.yaml:15:9: action `secretsmanager:GetSecretValue` has an effect that outlives the grant: a secret that was read stays known until it is rotated",
];

#[test]
fn outliving_actions_are_warned_of_and_listed() {
    assert_eq!(warnings_after("entitlements/deploy-release.yaml", "s3:PutObject", "s3:PutObject"), SECRET_WARNINGS);
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
    let warnings = warnings_after("entitlements/deploy-release.yaml", "s3:PutObject", "kms:*Grant");
    assert!(
        warnings[0].contains("action `kms:*Grant` reaches `kms:CreateGrant`, which has an effect that outlives"),
        "{warnings:?}"
    );
    let warnings = warnings_after("entitlements/deploy-release.yaml", "s3:PutObject", "s3express:CreateSession");
    assert!(warnings[0].ends_with("the bucket's session lives 5 minutes"), "{warnings:?}");
}

#[test]
fn break_glass_escalation_is_a_warning_that_names_the_reviewer() {
    let warnings = warnings_after(
        "entitlements/deploy-release.yaml",
        "credential_s: 900",
        "credential_s: 900\niam_allowed: true\nbreak_glass: {reviewer: omar}",
    );
    assert_eq!(warnings, SECRET_WARNINGS);
    let mut sources = example();
    let text = sources.0.get_mut("entitlements/deploy-release.yaml").unwrap();
    *text = text
        .replace("credential_s: 900", "credential_s: 900\niam_allowed: true\nbreak_glass: {reviewer: omar}")
        .replace("- s3:PutObject", "- iam:PassRole\n      - lambda:*Function");
    let compiled = compile(&sources).unwrap();
    let warnings: Vec<_> = compiled.warnings.iter().map(ToString::to_string).collect();
    for (expected, n) in [
        ("`iam:PassRole` without `StringEquals` on `iam:PassedToService` and roles by their whole names", 1),
        ("`iam:PassRole` with `lambda:CreateFunction` with `lambda:InvokeFunction` is path pathfinding/lambda-001", 1),
        ("`omar` reviews its use", 2),
        ("reaches `lambda:CreateFunction`, which has an effect that outlives the grant", 1),
    ] {
        assert_eq!(warnings.iter().filter(|line| line.contains(expected)).count(), n, "{expected}: {warnings:#?}");
    }
    let bundle = Bundle::load(&compiled.bundle).unwrap();
    let reviewer =
        &bundle.entitlement(&"deploy-release".parse().unwrap()).unwrap().break_glass.as_ref().unwrap().reviewer;
    assert_eq!(reviewer.as_str(), "omar");
    // A role by its whole name, for one service, is not an escalation.
    let text = sources.0.get_mut("entitlements/deploy-release.yaml").unwrap();
    *text = text.replace("      - lambda:*Function\n", "").replace("arn:${partition}:s3:::acme-release-artifacts/${version}/*", "arn:${partition}:iam::${account}:role/run-${version}\n    conditions: {StringEquals: {iam:PassedToService: [lambda.amazonaws.com]}}");
    let warnings = compile(&sources).unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    // A wildcard does not name one role, and a condition that also holds without the key does not name a service.
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
        let warnings = compile(&wider).unwrap().warnings;
        let wide = warnings.iter().filter(|one| one.message.contains("`iam:PassRole` without `StringEquals`"));
        assert_eq!((warnings.len(), wide.count()), (3, 1), "{replace}: {warnings:#?}");
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
         policy.cedar: this is not part of a catalogue, which holds `issuers.yaml`, `classes.yaml`, `approvals.yaml`, `identities`, `entitlements`, `policies`, `schedules`, `cases` and `README.md`"
    );
    assert!(Sources::read(&dir).unwrap_err().to_string().starts_with(".: the folder cannot be read"));
}

#[test]
fn brackets_without_end_are_refused_before_cedar_parses_them() {
    let mut sources = example();
    let text = format!("@id(\"deep\")\npermit (principal == {}", "{".repeat(16_000));
    sources.0.insert(GENERAL.to_owned(), text);
    let error = compile(&sources).unwrap_err().to_string();
    assert_eq!(
        error,
        "policies/general.cedar:2:85: brackets nest deeper than 64 here; split the condition into several policies"
    );
}
