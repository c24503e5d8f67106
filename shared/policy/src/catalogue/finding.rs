//! Findings: the mistakes in a catalogue, with their places.

use std::fmt;

use serde_saphyr::{Location, Spanned};

/// One mistake, with its correction and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the catalogue.
    pub file: String,
    /// The line, from 1; 0 if the finding concerns the whole file.
    pub line: u64,
    /// The column, from 1; 0 if the finding concerns the whole file.
    pub column: u64,
    /// The mistake and its correction.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message } = self;
        match line {
            0 => write!(f, "{file}: {message}"),
            _ => write!(f, "{file}:{line}:{column}: {message}"),
        }
    }
}

/// A catalogue that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueError {
    /// All findings, in the order of the files; never empty.
    pub findings: Vec<Finding>,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.findings.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogueError {}

#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding at the place of `value` in `file`.
    pub(super) fn at<T>(&mut self, file: &str, value: &Spanned<T>, message: impl Into<String>) {
        self.place(file, value.referenced, message);
    }

    /// Adds a finding at a place in `file`.
    pub(super) fn place(&mut self, file: &str, place: Location, message: impl Into<String>) {
        self.push(file, place.line(), place.column(), message.into());
    }

    /// Adds a finding at byte `offset` of `text`, the whole text of `file`.
    pub(super) fn offset(&mut self, file: &str, text: &str, offset: usize, message: impl Into<String>) {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count().saturating_add(1);
        let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
        self.push(file, number(line), number(column), message.into());
    }

    /// Adds a finding about the whole `file`.
    pub(super) fn whole(&mut self, file: &str, message: impl Into<String>) {
        self.push(file, 0, 0, message.into());
    }

    fn push(&mut self, file: &str, line: u64, column: u64, message: String) {
        self.0.push(Finding { file: file.to_owned(), line, column, message });
    }

    /// Returns an error if there is any finding.
    pub(super) fn stop(&mut self) -> Result<(), CatalogueError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(CatalogueError { findings: std::mem::take(self).sorted() })
    }

    /// All findings, in the order of the files.
    pub(super) fn sorted(self) -> Vec<Finding> {
        let mut findings = self.0;
        findings.sort();
        findings.dedup();
        findings
    }
}

/// The text of an error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace('\n', " ")
}
