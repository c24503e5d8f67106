//! `brevet bundle` and `brevet check`.

use std::fmt::Write;
use std::path::Path;

use brevet_domain::bundle::BundleError;
use brevet_policy::catalogue::{CatalogueError, Compiled, Finding, compile_dir};
use clap::ValueEnum;

/// How findings are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `file:line:column: message`, to standard error.
    Text,
    /// As annotations of a pull request on GitHub, to standard output.
    Github,
}

/// What a command has to say: `Err` if something was found wrong.
pub(crate) type Said = Result<Text, Text>;

/// Text for the two outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// For standard output.
    pub(crate) out: String,
    /// For standard error.
    pub(crate) err: String,
}

impl Text {
    /// One text for standard output.
    pub(crate) fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), err: String::new() }
    }

    /// One text for standard error.
    pub(crate) fn err(text: impl Into<String>) -> Self {
        Self { out: String::new(), err: text.into() }
    }
}

/// The bundle of the catalogue in `dir`, as one line of JSON; or what is wrong, a line each.
pub(crate) fn bundle(dir: &Path) -> Said {
    let compiled = compile(dir, Format::Text)?;
    let json = serde_json::to_string(&compiled.bundle);
    json.map(Text::out).map_err(|error| Text::err(format!("the bundle cannot be written: {error}")))
}

/// What is in the catalogue in `dir`, in one line; or what is wrong, a line each.
pub(crate) fn check(dir: &Path, format: Format) -> Said {
    let compiled = compile(dir, format)?;
    let text = compiled.bundle;
    let unusable = |error: BundleError| Text::err(error.to_string());
    let index = text.index().map_err(unusable)?;
    let listings = text.listings(&index).map_err(unusable)?;
    let warned = told(dir, &compiled.warnings, Level::Warning, format);
    let summary = format!(
        "{}: good; {} issuers, {} identities, {} entitlements, {} parts, {} cases as expected; bundle {}",
        dir.display(),
        index.issuers.len(),
        index.identities.len(),
        listings.len(),
        text.parts.len(),
        compiled.n_cases,
        text.digest,
    );
    Ok(match format {
        Format::Text => Text { out: summary, err: warned },
        Format::Github if warned.is_empty() => Text::out(summary),
        Format::Github => Text::out(format!("{warned}\n{summary}")),
    })
}

pub(crate) fn compile(dir: &Path, format: Format) -> Result<Compiled, Text> {
    compile_dir(dir).map_err(|error| untold(dir, &error, format))
}

/// What is wrong with the catalogue in `dir`.
pub(crate) fn untold(dir: &Path, error: &CatalogueError, format: Format) -> Text {
    let text = told(dir, &error.findings, Level::Error, format);
    match format {
        Format::Text => Text::err(text),
        Format::Github => Text::out(text),
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
}

fn told(dir: &Path, findings: &[Finding], level: Level, format: Format) -> String {
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
    fn an_annotation_holds_whatever_a_message_says_on_one_line() {
        let finding =
            |line, message: &str| Finding { file: "a,b.yaml".into(), line, column: 2, message: message.into() };
        assert_eq!(
            annotation("error", Path::new("cat"), &finding(3, "100 %\nnew: line, and more")),
            "::error file=cat/a%2Cb.yaml,line=3,col=2,title=brevet check::100 %25%0Anew: line, and more"
        );
        assert_eq!(
            annotation("error", Path::new("c"), &finding(0, "x")),
            "::error file=c/a%2Cb.yaml,title=brevet check::x"
        );
    }
}
