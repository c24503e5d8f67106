//! `brevet plan`.

use std::path::Path;

use brevet_policy::Bundle;
use brevet_policy::compare::compare;

use crate::catalogue::{CommandOutput, Format, Text, compile};

/// Returns one line for each decision that changes from the catalogue in `old` to that in `new`, widening changes
/// first.
pub(crate) fn plan(old: &Path, new: &Path) -> CommandOutput {
    let load = |dir: &Path| {
        let compiled = compile(dir, Format::Text)?;
        Bundle::load(&compiled.bundle).map_err(|error| Text::err(format!("{}: {error}", dir.display())))
    };
    let (before, after) = (load(old)?, load(new)?);
    let comparison = compare(&before, &after);
    let n = comparison.changes.len();
    let noun = if n == 1 { "change" } else { "changes" };
    let mut lines = vec![format!(
        "{} → {}: {n} {noun} in {} pairs of identity and entitlement; bundle {} → {}",
        old.display(),
        new.display(),
        comparison.n_pairs,
        before.digest(),
        after.digest(),
    )];
    lines.extend(comparison.changes.iter().map(ToString::to_string));
    lines.extend(comparison.limits);
    lines.extend(comparison.notes);
    Ok(Text::out(lines.join("\n")))
}
