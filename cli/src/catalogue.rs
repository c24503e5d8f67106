//! `brevet bundle` and `brevet check`.

use std::fmt::Write;
use std::path::Path;

use brevet_domain::bundle::BundleError;
use brevet_policy::catalogue::{CatalogueError, Compiled, Finding, compile_dir};
use clap::ValueEnum;

/// The output format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `file:line:column: message`, to standard error.
    Text,
    /// Annotations of a GitHub pull request, to standard output.
    Github,
}

/// The output of a command: `Err` if the command fails.
pub(crate) type CommandOutput = Result<Text, Text>;

/// Text for the two output streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Text {
    pub(crate) fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), err: String::new() }
    }

    pub(crate) fn err(text: impl Into<String>) -> Self {
        Self { out: String::new(), err: text.into() }
    }
}

/// Returns the bundle of the catalogue in `dir` as one line of JSON, or one line for each finding.
pub(crate) fn bundle(dir: &Path) -> CommandOutput {
    let compiled = compile(dir, Format::Text)?;
    let json = serde_json::to_string(&compiled.bundle);
    json.map(Text::out).map_err(|error| Text::err(format!("the bundle cannot be serialized: {error}")))
}

/// Returns a one-line summary of the catalogue in `dir`, or one line for each finding.
pub(crate) fn check(dir: &Path, format: Format) -> CommandOutput {
    let compiled = compile(dir, format)?;
    let bundle = compiled.bundle;
    let unusable = |error: BundleError| Text::err(error.to_string());
    let index = bundle.index().map_err(unusable)?;
    let listings = bundle.listings(&index).map_err(unusable)?;
    let warnings = format_findings(dir, &compiled.warnings, Level::Warning, format);
    let summary = format!(
        "{}: good; {} issuers, {} identities, {} entitlements, {} parts, {} cases as expected; bundle {}",
        dir.display(),
        index.issuers.len(),
        index.identities.len(),
        listings.len(),
        bundle.parts.len(),
        compiled.n_cases,
        bundle.digest,
    );
    Ok(match format {
        Format::Text => Text { out: summary, err: warnings },
        Format::Github if warnings.is_empty() => Text::out(summary),
        Format::Github => Text::out(format!("{warnings}\n{summary}")),
    })
}

pub(crate) fn compile(dir: &Path, format: Format) -> Result<Compiled, Text> {
    compile_dir(dir).map_err(|error| catalogue_error(dir, &error, format))
}

/// Formats the findings of the catalogue in `dir` for the stream that `format` uses.
pub(crate) fn catalogue_error(dir: &Path, error: &CatalogueError, format: Format) -> Text {
    let text = format_findings(dir, &error.findings, Level::Error, format);
    match format {
        Format::Text => Text::err(text),
        Format::Github => Text::out(text),
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
}

fn format_findings(dir: &Path, findings: &[Finding], level: Level, format: Format) -> String {
    let line = |finding: &Finding| match (format, level) {
        (Format::Text, Level::Error) => format!("{}/{finding}", dir.display()),
        (Format::Text, Level::Warning) => format!("warning: {}/{finding}", dir.display()),
        (Format::Github, Level::Error) => annotation("error", dir, finding),
        (Format::Github, Level::Warning) => annotation("warning", dir, finding),
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Source: <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>
fn annotation(level: &str, dir: &Path, finding: &Finding) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let file = format!("{}/{}", dir.display(), finding.file);
    let mut line = format!("::{level} file={}", escape(&file).replace(':', "%3A").replace(',', "%2C"));
    if finding.line > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, ",line={},col={}", finding.line, finding.column);
    }
    let _ = write!(line, ",title=brevet check::{}", escape(&finding.message));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_escapes_a_multiline_message_into_one_line() {
        let finding =
            |line, message: &str| Finding { file: "a,b.yaml".into(), line, column: 2, message: message.into() };
        assert_eq!(
            annotation("error", Path::new("cat"), &finding(3, "100 %\nnext: line, and more")),
            "::error file=cat/a%2Cb.yaml,line=3,col=2,title=brevet check::100 %25%0Anext: line, and more"
        );
        assert_eq!(
            annotation("error", Path::new("c"), &finding(0, "x")),
            "::error file=c/a%2Cb.yaml,title=brevet check::x"
        );
    }
}
