//! `brevet plan`.

use std::path::Path;

use brevet_policy::Bundle;
use brevet_policy::compare::compare;

use crate::catalogue::{Format, Said, Text, compile};

/// What the change from the catalogue in `old` to that in `new` does to decisions, a line each; those that give more first.
pub(crate) fn plan(old: &Path, new: &Path) -> Said {
    let load = |dir: &Path| {
        let compiled = compile(dir, Format::Text)?;
        Bundle::load(&compiled.bundle).map_err(|error| Text::err(format!("{}: {error}", dir.display())))
    };
    let (was, is) = (load(old)?, load(new)?);
    let comparison = compare(&was, &is);
    let n = comparison.changes.len();
    let noun = if n == 1 { "change" } else { "changes" };
    let mut lines = vec![format!(
        "{} → {}: {n} {noun} in {} pairs of identity and entitlement; bundle {} → {}",
        old.display(),
        new.display(),
        comparison.n_pairs,
        was.digest(),
        is.digest(),
    )];
    lines.extend(comparison.changes.iter().map(ToString::to_string));
    lines.extend(comparison.limits);
    lines.extend(comparison.notes);
    Ok(Text::out(lines.join("\n")))
}
