//! A watch over the bundle that notes what it is told.

use std::sync::Mutex;

use brevet_domain::canonical::Digest;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::time::Timestamp;

use super::locked;
use crate::port::{BundleLapse, BundleWatch, UseWatch};

/// What was told of the bundle in force: what stood in for it, and why.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Vec<(Option<Digest>, String)>>);

impl Watched {
    /// Everything told since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<(Option<Digest>, String)> {
        std::mem::take(&mut *locked(&self.0))
    }
}

/// The uses of break-glass that were told.
#[derive(Debug, Default)]
pub struct ToldUses(Mutex<Vec<GrantId>>);

impl ToldUses {
    /// Everything told since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<GrantId> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl UseWatch for ToldUses {
    fn used(&self, grant: GrantId, _: &IdentityId, _: &EntitlementId, _: Timestamp) {
        locked(&self.0).push(grant);
    }
}

impl BundleWatch for Watched {
    fn lapsed(&self, lapse: &BundleLapse<'_>) {
        locked(&self.0).push((lapse.using, lapse.problem.to_string()));
    }
}
