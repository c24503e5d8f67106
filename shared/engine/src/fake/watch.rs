//! Observers that keep the notifications they receive.

use std::sync::Mutex;

use brevet_domain::canonical::Digest;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::time::Timestamp;

use super::locked;
use crate::port::{BundleLapse, BundleWatch, UseWatch};

/// The recorded lapses of the bundle in force: the bundle used instead, and the problem.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Vec<(Option<Digest>, String)>>);

impl Watched {
    /// Returns and removes everything recorded so far.
    #[must_use]
    pub fn take(&self) -> Vec<(Option<Digest>, String)> {
        std::mem::take(&mut *locked(&self.0))
    }
}

/// The recorded uses of break-glass.
#[derive(Debug, Default)]
pub struct RecordedUses(Mutex<Vec<GrantId>>);

impl RecordedUses {
    /// Returns and removes everything recorded so far.
    #[must_use]
    pub fn take(&self) -> Vec<GrantId> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl UseWatch for RecordedUses {
    fn used(&self, grant: GrantId, _: &IdentityId, _: &EntitlementId, _: Timestamp) {
        locked(&self.0).push(grant);
    }
}

impl BundleWatch for Watched {
    fn lapsed(&self, lapse: &BundleLapse<'_>) {
        locked(&self.0).push((lapse.using, lapse.problem.to_string()));
    }
}
