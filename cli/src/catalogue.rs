//! `brevet bundle` and `brevet check`.

use std::path::Path;

use brevet_domain::bundle::BundleText;
use brevet_policy::catalogue::compile_dir;

/// The bundle of the catalogue in `dir`, as one line of JSON; or what is wrong, a line each.
pub(crate) fn bundle(dir: &Path) -> Result<String, String> {
    let text = compile(dir)?;
    serde_json::to_string(&text).map_err(|error| format!("the bundle cannot be written: {error}"))
}

/// What is in the catalogue in `dir`, in one line; or what is wrong, a line each.
pub(crate) fn check(dir: &Path) -> Result<String, String> {
    let text = compile(dir)?;
    let index = text.index().map_err(|error| error.to_string())?;
    Ok(format!(
        "{}: good; {} issuers, {} identities, {} entitlements, {} parts; bundle {}",
        dir.display(),
        index.issuers.len(),
        index.identities.len(),
        index.entitlements.len(),
        text.parts.len(),
        text.digest,
    ))
}

fn compile(dir: &Path) -> Result<BundleText, String> {
    compile_dir(dir).map_err(|error| {
        let line = |finding| format!("{}/{finding}", dir.display());
        error.findings.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
