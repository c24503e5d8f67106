//! Reads all files of a catalogue. A value that does not fit its form becomes a finding at its place.

use std::collections::BTreeMap;

use brevet_domain::id::IdentityId;
use brevet_domain::identity::IdentityClass;
use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::cases::CasesForm;
use super::finding::Findings;
use super::form::{
    ApprovalsForm, ClassForm, ClassesForm, EntitlementForm, IdentityForm, IssuerForm, IssuersForm, ScheduleForm,
    StepForm,
};
use super::sources::{APPROVALS, CLASSES, ISSUERS, Sources};

/// A form with its file.
#[derive(Debug)]
pub(super) struct InFile<T> {
    pub(super) file: String,
    pub(super) form: T,
}

/// All files of a catalogue except its policies.
#[derive(Debug)]
pub(super) struct Forms {
    pub(super) issuers: Vec<InFile<IssuerForm>>,
    pub(super) identities: Vec<InFile<IdentityForm>>,
    pub(super) entitlements: Vec<InFile<EntitlementForm>>,
    pub(super) schedules: Vec<InFile<ScheduleForm>>,
    pub(super) cases: Vec<InFile<CasesForm>>,
    pub(super) classes: Option<BTreeMap<IdentityClass, Spanned<ClassForm>>>,
    /// The steps that apply to all approvals.
    pub(super) steps: Vec<Spanned<StepForm>>,
}

impl Forms {
    /// Reads all files. A file that cannot be read becomes a finding and is left out.
    pub(super) fn read(sources: &Sources, findings: &mut Findings) -> Self {
        let mut issuers = Vec::new();
        match sources.0.get(ISSUERS) {
            Some(text) => {
                if let Some(form) = parse::<IssuersForm>(ISSUERS, text, findings) {
                    let in_file = |form| InFile { file: ISSUERS.to_owned(), form };
                    issuers.extend(form.issuers.into_iter().map(in_file));
                }
            }
            None => findings.whole(ISSUERS, "the file is missing; it must list the accepted token issuers"),
        }
        let classes = sources.0.get(CLASSES).and_then(|text| parse::<ClassesForm>(CLASSES, text, findings));
        let approvals = sources.0.get(APPROVALS).and_then(|text| parse::<ApprovalsForm>(APPROVALS, text, findings));
        let forms = Self {
            issuers,
            steps: approvals.map(|form| form.steps).unwrap_or_default(),
            classes: classes.map(|form| form.classes),
            identities: folder(sources, "identities", findings),
            entitlements: folder(sources, "entitlements", findings),
            schedules: folder(sources, "schedules", findings),
            cases: folder(sources, "cases", findings),
        };
        for InFile { file, form } in &forms.identities {
            check_name(file, &form.id, findings);
        }
        for InFile { file, form } in &forms.entitlements {
            check_name(file, &form.id, findings);
        }
        for InFile { file, form } in &forms.schedules {
            check_name(file, &form.id, findings);
        }
        forms
    }

    pub(super) fn identity(&self, id: &IdentityId) -> Option<&IdentityForm> {
        let forms = self.identities.iter().map(|in_file| &in_file.form);
        forms.into_iter().find(|form| form.id.value == *id)
    }

    /// Whether `id` is a registered human.
    pub(super) fn is_human(&self, id: &IdentityId) -> bool {
        self.identity(id).is_some_and(|form| form.class.value == IdentityClass::Human)
    }
}

fn folder<T: DeserializeOwned>(sources: &Sources, folder: &str, findings: &mut Findings) -> Vec<InFile<T>> {
    let files = sources.folder(folder);
    files
        .filter_map(|(file, text)| parse(file, text, findings).map(|form| InFile { file: file.to_owned(), form }))
        .collect()
}

fn parse<T: DeserializeOwned>(file: &str, text: &str, findings: &mut Findings) -> Option<T> {
    match serde_saphyr::from_str(text) {
        Ok(form) => Some(form),
        Err(error) => {
            let message = error.without_snippet().to_string();
            let message = plain(&message);
            match error.location() {
                Some(place) => findings.place(file, place, message),
                None => findings.whole(file, message),
            }
            None
        }
    }
}

/// The message of the YAML reader in plain words. The place is left out, since the finding carries it.
fn plain(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    match message {
        "invalid u8" | "invalid u32" => "this must be a whole number, not negative".to_owned(),
        _ if message.starts_with("multiple YAML documents") => {
            "a file may have only one document; move the others to their own files".to_owned()
        }
        "invalid boolean" => "this must be `true` or `false`".to_owned(),
        "expected mapping start" => "this must be keys with their values, as `{key: value}`".to_owned(),
        "expected sequence start" => "this must be a list, as `[one, another]`".to_owned(),
        "misplaced bracket" => {
            "misplaced bracket; remove it, open it first, or quote the text that contains it".to_owned()
        }
        _ => {
            let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
            let duplicate = message.strip_prefix("duplicate mapping key: ");
            duplicate.map_or_else(|| message.to_owned(), |key| format!("`{key}` is given twice; remove one"))
        }
    }
}

/// Checks that the file is named after its id, so that ids are unique.
fn check_name<T: ToString>(file: &str, id: &Spanned<T>, findings: &mut Findings) {
    let id_text = id.value.to_string();
    let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".yaml"));
    if stem != Some(&id_text) {
        findings.at(file, id, format!("the file of `{id_text}` must be called `{id_text}.yaml`"));
    }
}
