//! The files of a catalogue.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::finding::{CatalogueError, Findings};

/// The file with the issuers.
pub(super) const ISSUERS: &str = "issuers.yaml";

/// The file with the limits of each class; optional.
pub(super) const CLASSES: &str = "classes.yaml";

/// The file with the steps that apply to all approvals; optional.
pub(super) const APPROVALS: &str = "approvals.yaml";

/// The folders that are compiled, with the endings of their files.
const FOLDERS: [(&str, &str); 5] = [
    ("cases", ".yaml"),
    ("entitlements", ".yaml"),
    ("identities", ".yaml"),
    ("policies", ".cedar"),
    ("schedules", ".yaml"),
];

/// A file that may also be in the folder; not compiled.
const BESIDE: &str = "README.md";

/// The texts of a catalogue's files, by path relative to its folder, with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(pub BTreeMap<String, String>);

impl Sources {
    /// Reads folder `dir`. It refuses names that are not part of a catalogue, so that a typo in a name does not leave a
    /// rule out. It skips hidden files.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] if a file cannot be read or does not belong there.
    pub fn read(dir: &Path) -> Result<Self, CatalogueError> {
        let (mut files, mut findings) = (BTreeMap::new(), Findings::default());
        for name in names(dir, ".", &mut findings) {
            let folder = FOLDERS.iter().find(|(folder, _)| *folder == name);
            if let Some((folder, ending)) = folder {
                for file in names(&dir.join(folder), folder, &mut findings) {
                    let path = format!("{folder}/{file}");
                    if file.ends_with(ending) {
                        read(dir, path, &mut files, &mut findings);
                    } else {
                        findings.whole(&path, format!("files in `{folder}` must end in `{ending}`"));
                    }
                }
            } else if [ISSUERS, CLASSES, APPROVALS].contains(&name.as_str()) {
                read(dir, name, &mut files, &mut findings);
            } else if name != BESIDE {
                findings.whole(
                    &name,
                    "this is not part of a catalogue, which holds `issuers.yaml`, `classes.yaml`, `approvals.yaml`, `identities`, `entitlements`, `policies`, `schedules`, `cases` and `README.md`",
                );
            }
        }
        findings.stop()?;
        Ok(Self(files))
    }

    /// The paths and texts of the files of `folder`.
    pub(super) fn folder(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        self.0
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn names(dir: &Path, shown: &str, findings: &mut Findings) -> Vec<String> {
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            names.push(
                name.into_string()
                    .map_err(|name| io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} is not UTF-8")))?,
            );
        }
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    };
    list().unwrap_or_else(|error| {
        findings.whole(shown, format!("the folder cannot be read: {error}"));
        Vec::new()
    })
}

fn read(dir: &Path, path: String, files: &mut BTreeMap<String, String>, findings: &mut Findings) {
    match fs::read_to_string(dir.join(&path)) {
        Ok(text) => {
            files.insert(path, text);
        }
        Err(error) => findings.whole(&path, format!("the file cannot be read: {error}")),
    }
}
