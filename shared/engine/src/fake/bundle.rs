//! Bundles for tests: identities and entitlements, without policies.

use brevet_domain::bundle::{BundleText, INDEX_VERSION, Index, Listing, Rules};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::identity::Identity;

/// A bundle of `people` and `entitlements` only.
#[must_use]
#[expect(clippy::expect_used, reason = "only tests use it")]
pub fn bundle_of<'a>(people: impl IntoIterator<Item = &'a Identity>, entitlements: &[Entitlement]) -> BundleText {
    let index = Index {
        version: INDEX_VERSION,
        issuers: Vec::new(),
        identities: people.into_iter().map(|identity| (identity.id.clone(), identity.clone())).collect(),
        class_limits: [].into(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: [].into(),
    };
    let listing = |entitlement: &Entitlement| {
        (entitlement.id.clone(), Listing { entitlement: entitlement.clone(), rules: Rules::default() })
    };
    let listings = entitlements.iter().map(listing).collect();
    BundleText::build(index, &listings, &Rules::default(), &[].into()).expect("every part has a JSON form")
}
