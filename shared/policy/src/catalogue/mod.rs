//! The compiler: a catalogue folder becomes a bundle, or a list of what is wrong in it.
//!
//! Steps: read the files, read each into its shape (`form`), check what depends on other files, compile the
//! policies, put the bundle together, load it, ask it whether every approval can be given and every schedule gets what it
//! declares, and put the cases to it.

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
pub use policies::{Place, places};
pub use sources::Sources;

use crate::bundle::Bundle;
use finding::Findings;

/// The longest part, in bytes: one item of the table holds it, with its keys.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html> (400 KB an item)
const MAX_PART_BYTES: usize = 380 * 1024;

/// A catalogue that compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What a deployment runs on.
    pub bundle: BundleText,
    /// What is allowed, but should be known, in the order of the files.
    pub warnings: Vec<Finding>,
    /// How many cases came out as expected.
    pub n_cases: usize,
}

/// Compiles the catalogue in folder `dir`.
///
/// # Errors
///
/// [`CatalogueError`] with everything that was found wrong; files are named relative to `dir`.
pub fn compile_dir(dir: &Path) -> Result<Compiled, CatalogueError> {
    compile(&Sources::read(dir)?)
}

/// Compiles a catalogue. Pure: the same files give the same bundle, byte for byte.
///
/// # Errors
///
/// [`CatalogueError`] with everything that was found wrong. A case that comes out otherwise than expected counts as such.
pub fn compile(sources: &Sources) -> Result<Compiled, CatalogueError> {
    let Draft { forms, text, warnings } = draft(sources)?;
    // 4. As its readers will see it.
    let mut findings = Findings::default();
    match Bundle::load(&text) {
        Ok(bundle) => {
            reach::check(&bundle, &forms, &mut findings);
            findings.stop()?; // a schedule or a case about it would only say so again
            schedules::check(&bundle, &forms, &mut findings);
            cases::check(&bundle, &forms, &mut findings);
        }
        Err(error) => findings.whole("policies", finding::chain(&error)),
    }
    findings.stop()?;
    let n_cases = forms.cases.iter().map(|in_file| in_file.form.cases.len()).sum();
    Ok(Compiled { bundle: text, warnings: warnings.sorted(), n_cases })
}

/// A bundle before anything was asked of it.
struct Draft {
    forms: forms::Forms,
    text: BundleText,
    warnings: Findings,
}

/// Steps 1 to 3 of [`compile`].
fn draft(sources: &Sources) -> Result<Draft, CatalogueError> {
    let (mut findings, mut warnings) = (Findings::default(), Findings::default());
    // 1. Each file by itself. What refers to a file that cannot be read is not reported as well.
    let forms = forms::Forms::read(sources, &mut findings);
    findings.stop()?;
    // 2. What depends on other files.
    let issuers = issuers::compile(&forms, &mut findings);
    let identities = identities::compile(&forms, &mut findings, &mut warnings);
    let lanes = duties::lanes(&forms, &mut findings);
    let steps = approvals::general(&forms, &mut findings);
    let entitlements = entitlements::compile(&forms, &lanes, &mut findings, &mut warnings);
    let policies = policies::compile(sources, &forms, &entitlements, &mut findings);
    let schedules = schedules::compile(&forms, &mut findings);
    findings.stop()?;
    // 3. The bundle.
    let (version, parts) = (INDEX_VERSION, BTreeMap::new());
    let index = Index { version, issuers, identities, lanes, steps, n_buckets: 0, parts };
    let text = bundle(index, entitlements, policies, &schedules, &mut findings);
    findings.stop()?;
    Ok(Draft { forms, text, warnings })
}

/// The bundle of a catalogue that compiles, without asking it anything: a small part of the work of [`compile`].
#[cfg(test)]
pub(crate) fn unasked(sources: &Sources) -> BundleText {
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
                .whole(name, format!("this part of the bundle has {n} bytes; at most {MAX_PART_BYTES} can be stored"));
        }
    }
    text
}

#[cfg(test)]
mod schemas;
