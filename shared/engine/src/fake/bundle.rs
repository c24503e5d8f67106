//! Bundles for tests: people and what they can ask for, without policies.

use brevet_domain::bundle::{BundleText, INDEX_VERSION, Index, Listing, Rules};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::identity::Identity;

/// The bundle that registers `people` and lists `entitlements`, and says nothing else.
#[must_use]
#[expect(clippy::expect_used, reason = "only tests use it")]
pub fn bundle_of<'a>(people: impl IntoIterator<Item = &'a Identity>, entitlements: &[Entitlement]) -> BundleText {
    let index = Index {
        version: INDEX_VERSION,
        issuers: Vec::new(),
        identities: people.into_iter().map(|one| (one.id.clone(), one.clone())).collect(),
        lanes: [].into(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: [].into(),
    };
    let listing = |one: &Entitlement| (one.id.clone(), Listing { entitlement: one.clone(), rules: Rules::default() });
    let listings = entitlements.iter().map(listing).collect();
    BundleText::build(index, &listings, &Rules::default(), &[].into()).expect("all of it has a JSON form")
}
