//! Parameters of a request. Each has a type and bounds, and never admits a wildcard.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::entitlement::{Parameter, ParameterValue};
use brevet_domain::time::Day;
use serde_saphyr::{Location, Spanned};

use super::entitlements::GIVEN;
use super::finding::Findings;
use super::form::{EntitlementForm, ParameterForm, ParameterKind};
use super::pattern::{self, VALUES};

/// The most values that one parameter may list.
const MAX_VALUES: usize = 64;

/// The largest absolute value of an integer parameter. No name needs more.
const MAX_NUMBER: i64 = 1_000_000_000_000_000;

/// Compiles all parameters of an entitlement. A parameter is left out only after a finding.
pub(super) fn compile(file: &str, form: &EntitlementForm, findings: &mut Findings) -> BTreeMap<String, Parameter> {
    let mut parameters = BTreeMap::new();
    for (name, parameter) in &form.parameters {
        check_name(file, name, parameter, findings);
        let in_file = ParameterInFile { file, name, form: &parameter.value, place: parameter.referenced };
        in_file.check_keys(findings);
        if let Some(parameter) = in_file.compile(findings) {
            parameters.insert(name.clone(), parameter);
        }
    }
    parameters
}

fn check_name(file: &str, name: &str, parameter: &Spanned<ParameterForm>, findings: &mut Findings) {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !(starts && rest && name.len() <= 32) {
        let message = format!(
            "`{name}` is not a parameter name; it must be 1 to 32 of `a-z`, `0-9`, `_`, starting with a letter"
        );
        findings.at(file, parameter, message);
    }
    if GIVEN.contains(&name) {
        findings.at(file, parameter, format!("`{name}` cannot be a parameter: the deployment sets it"));
    }
}

/// One parameter with its place.
struct ParameterInFile<'a> {
    file: &'a str,
    name: &'a str,
    form: &'a ParameterForm,
    place: Location,
}

fn word(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Text => "text",
        ParameterKind::Integer => "integer",
        ParameterKind::Enum => "enum",
        ParameterKind::Date => "date",
    }
}

impl ParameterInFile<'_> {
    fn kind(&self) -> ParameterKind {
        self.form.kind.as_ref().map_or_else(ParameterKind::default, |kind| kind.value)
    }

    /// Reports keys that belong to another type.
    fn check_keys(&self, findings: &mut Findings) {
        use ParameterKind::{Date, Enum, Integer, Text};
        let form = self.form;
        let place = |place: Option<Location>| place;
        for (key, found, of) in [
            ("pattern", place(form.pattern.as_ref().map(|key| key.referenced)), &[Text][..]),
            ("max_length", place(form.max_length.as_ref().map(|key| key.referenced)), &[Text]),
            ("min", place(form.min.as_ref().map(|key| key.referenced)), &[Integer, Date]),
            ("max", place(form.max.as_ref().map(|key| key.referenced)), &[Integer, Date]),
            ("values", place(form.values.as_ref().map(|key| key.referenced)), &[Enum]),
        ] {
            let Some(found) = found.filter(|_| !of.contains(&self.kind())) else { continue };
            let of: Vec<_> = of.iter().map(|kind| format!("`{}`", word(*kind))).collect();
            let (of, is) = (of.join(" or "), word(self.kind()));
            let message =
                format!("`{key}` belongs to type {of}, but `{}` is `{is}`; remove it, or change `type`", self.name);
            findings.place(self.file, found, message);
        }
    }

    fn missing<T>(&self, key: &str, what: &str, findings: &mut Findings) -> Option<T> {
        let message = format!("parameter `{}` of type `{}` needs `{key}`: {what}", self.name, word(self.kind()));
        findings.place(self.file, self.place, message);
        None
    }

    fn compile(&self, findings: &mut Findings) -> Option<Parameter> {
        match self.kind() {
            ParameterKind::Text => self.text(findings),
            ParameterKind::Integer => self.integer(findings),
            ParameterKind::Enum => self.list(findings),
            ParameterKind::Date => self.date(findings),
        }
    }

    fn text(&self, findings: &mut Findings) -> Option<Parameter> {
        let what = "a regular expression that the whole value must match";
        let pattern = self.form.pattern.as_ref().or_else(|| self.missing("pattern", what, findings));
        let what = "the longest value, in characters";
        let max_length = self.form.max_length.as_ref().or_else(|| self.missing("max_length", what, findings));
        if let Some((pattern, problem)) = pattern.and_then(|p| Some((p, pattern::problem(&p.value, &VALUES)?))) {
            findings.at(self.file, pattern, problem);
        }
        let most = u32::try_from(ParameterValue::MAX).unwrap_or(u32::MAX);
        if let Some(length) = max_length.filter(|length| !(1..=most).contains(&length.value)) {
            let message = format!("`max_length` is {}; it must be 1 to {most} characters", length.value);
            findings.at(self.file, length, message);
        }
        Some(Parameter::Text { pattern: pattern?.value.clone(), max_length: max_length?.value })
    }

    fn integer(&self, findings: &mut Findings) -> Option<Parameter> {
        let mut bound = |key: &str, what: &str, given: &Option<Spanned<String>>| {
            let Some(text) = given else { return self.missing(key, what, findings) };
            let number = text.value.parse::<i64>().ok().filter(|number| number.to_string() == text.value);
            let number = number.filter(|number| (-MAX_NUMBER..=MAX_NUMBER).contains(number));
            if number.is_none() {
                let message = format!(
                    "`{key}` is `{}`; it must be a whole number from -{MAX_NUMBER} to {MAX_NUMBER}, without leading zeros",
                    text.value
                );
                findings.at(self.file, text, message);
            }
            number
        };
        let (min, max) = (
            bound("min", "the smallest allowed number", &self.form.min),
            bound("max", "the largest allowed number", &self.form.max),
        );
        let (min, max) = (min?, max?);
        self.check_order(min <= max, findings);
        Some(Parameter::Integer { min, max })
    }

    fn date(&self, findings: &mut Findings) -> Option<Parameter> {
        let mut bound = |key: &str, given: &Option<Spanned<String>>| {
            let Some(text) = given else { return Some(None) };
            match text.value.parse::<Day>() {
                Ok(day) => Some(Some(day)),
                Err(error) => {
                    findings.at(self.file, text, format!("`{key}`: {error}"));
                    None
                }
            }
        };
        let (min, max) = (bound("min", &self.form.min), bound("max", &self.form.max));
        let (min, max) = (min?, max?);
        self.check_order(min.zip(max).is_none_or(|(min, max)| min <= max), findings);
        Some(Parameter::Date { min, max })
    }

    fn check_order(&self, in_order: bool, findings: &mut Findings) {
        if let Some(min) = self.form.min.as_ref().filter(|_| !in_order) {
            let message = format!("`min` is greater than `max`, so no value of `{}` fits; swap them", self.name);
            findings.at(self.file, min, message);
        }
    }

    fn list(&self, findings: &mut Findings) -> Option<Parameter> {
        let Some(values) = &self.form.values else {
            return self.missing("values", "the allowed values", findings);
        };
        if !(1..=MAX_VALUES).contains(&values.value.len()) {
            let n = values.value.len();
            findings.at(self.file, values, format!("`values` lists {n} values; it must list 1 to {MAX_VALUES}"));
        }
        let mut known = BTreeSet::new();
        for value in &values.value {
            if !known.insert(value.value.clone()) {
                findings.at(self.file, value, format!("`{}` is listed twice in `values`", value.value.as_str()));
            }
        }
        Some(Parameter::Enum { values: known })
    }
}
