//! Catalogues with one thing wrong: each is refused, at its place, with what would be right.

use std::fmt::Write;

use serde::Deserialize;

use super::*;

const GENERAL: &str = "policies/general.cedar";
const SECRETS: &str = "policies/read-secret.cedar";

/// One slip in the example catalogue, as `broken/*.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slip {
    name: String,
    /// The file that it is in.
    file: String,
    /// The file's other name, if it gets one.
    #[serde(rename = "as")]
    renamed: Option<String>,
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
fn slips() -> Vec<Slip> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| serde_saphyr::from_str::<Vec<Slip>>(&std::fs::read_to_string(file).unwrap()).unwrap();
    files.into_iter().flat_map(read).collect()
}

impl Slip {
    fn apply(&self, sources: &mut Sources) {
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
         policy.cedar: this is no part of a catalogue; it has `issuers.yaml`, `identities`, `entitlements`, `policies`, `cases` and `README.md`"
    );
    assert!(Sources::read(&dir).unwrap_err().to_string().starts_with(".: the folder cannot be read"));
}
