//! The compiler: turns a catalogue folder into a bundle, or into a list of findings.
//!
//! Steps: read the files, read each into its `form`, check references between files, compile the policies, build the
//! bundle, and load it. Then check that every approval can be given and that every schedule is allowed, and decide the
//! cases.

mod approvals;
mod cases;
mod delivery;
mod duties;
mod entitlements;
mod escalation;
mod finding;
mod form;
mod forms;
mod identities;
mod issuers;
mod longest;
mod parameters;
mod pattern;
mod policies;
mod reach;
mod rules;
mod schedules;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use brevet_domain::bundle::{BundleText, INDEX_VERSION, Index, Listing, Rules, Schedules};
use brevet_domain::canonical::Digest;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;

pub use finding::{CatalogueError, Finding};
pub use policies::{SourcePosition, positions};
pub use sources::Sources;

use crate::bundle::Bundle;
use finding::Findings;

/// The longest part, in bytes. One item of the table holds it, with its keys.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html> (400 KB an item)
const MAX_PART_BYTES: usize = 380 * 1024;

/// A catalogue that compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub bundle: BundleText,
    /// Allowed settings that deserve attention, in the order of the files.
    pub warnings: Vec<Finding>,
    /// The number of cases, all of which gave the expected result.
    pub n_cases: usize,
}

/// Compiles the catalogue in folder `dir`.
///
/// # Errors
///
/// [`CatalogueError`] with all findings; file names are relative to `dir`.
pub fn compile_dir(dir: &Path) -> Result<Compiled, CatalogueError> {
    compile(&Sources::read(dir)?)
}

/// Compiles a catalogue. Pure: the same files give the same bundle, byte for byte.
///
/// # Errors
///
/// [`CatalogueError`] with all findings. A case with another result than expected is a finding.
pub fn compile(sources: &Sources) -> Result<Compiled, CatalogueError> {
    let Draft { forms, text, warnings } = draft(sources)?;
    // 4. The bundle as a deployment loads it.
    let mut findings = Findings::default();
    match Bundle::load(&text) {
        Ok(bundle) => {
            reach::check(&bundle, &forms, &mut findings);
            findings.stop()?; // a schedule or a case would only report the same mistake again
            schedules::check(&bundle, &forms, &mut findings);
            cases::check(&bundle, &forms, &mut findings);
        }
        Err(error) => findings.whole("policies", finding::chain(&error)),
    }
    findings.stop()?;
    let n_cases = forms.cases.iter().map(|in_file| in_file.form.cases.len()).sum();
    Ok(Compiled { bundle: text, warnings: warnings.sorted(), n_cases })
}

/// A bundle before its schedules and cases were decided.
struct Draft {
    forms: forms::Forms,
    text: BundleText,
    warnings: Findings,
}

/// Steps 1 to 3 of [`compile`].
fn draft(sources: &Sources) -> Result<Draft, CatalogueError> {
    let (mut findings, mut warnings) = (Findings::default(), Findings::default());
    // 1. Each file by itself. References to a file that cannot be read are not reported as well.
    let forms = forms::Forms::read(sources, &mut findings);
    findings.stop()?;
    // 2. References between files.
    let issuers = issuers::compile(&forms, &mut findings);
    let identities = identities::compile(&forms, &mut findings, &mut warnings);
    let class_limits = duties::class_limits(&forms, &mut findings);
    let steps = approvals::general(&forms, &mut findings);
    let entitlements = entitlements::compile(&forms, &class_limits, &mut findings, &mut warnings);
    let policies = policies::compile(sources, &forms, &entitlements, &mut findings);
    let schedules = schedules::compile(&forms, &mut findings);
    findings.stop()?;
    // 3. The bundle.
    let (version, parts) = (INDEX_VERSION, BTreeMap::new());
    let index = Index { version, issuers, identities, class_limits, steps, n_buckets: 0, parts };
    let text = bundle(index, entitlements, policies, &schedules, &mut findings);
    findings.stop()?;
    Ok(Draft { forms, text, warnings })
}

/// The bundle of a catalogue that compiles, without step 4. This is a small part of the work of [`compile`].
#[cfg(test)]
pub(crate) fn compile_unchecked(sources: &Sources) -> BundleText {
    match draft(sources) {
        Ok(draft) => draft.text,
        Err(error) => panic!("{error}"),
    }
}

fn bundle(
    index: Index,
    entitlements: BTreeMap<EntitlementId, Entitlement>,
    mut policies: BTreeMap<Option<EntitlementId>, Rules>,
    schedules: &Schedules,
    findings: &mut Findings,
) -> BundleText {
    let general = policies.remove(&None).unwrap_or_default();
    let listing = |(id, entitlement): (EntitlementId, Entitlement)| {
        let rules = policies.remove(&Some(id.clone())).unwrap_or_default();
        (id, Listing { entitlement, rules })
    };
    let listings = entitlements.into_iter().map(listing).collect();
    let text = BundleText::build(index, &listings, &general, schedules).unwrap_or_else(|error| {
        findings.whole("issuers.yaml", finding::chain(&error));
        BundleText { digest: Digest::ZERO, parts: BTreeMap::new() }
    });
    for (name, text) in &text.parts {
        if text.len() > MAX_PART_BYTES {
            let n = text.len();
            findings
                .whole(name, format!("this part of the bundle has {n} bytes; it may have at most {MAX_PART_BYTES}"));
        }
    }
    text
}

#[cfg(test)]
mod schemas;
