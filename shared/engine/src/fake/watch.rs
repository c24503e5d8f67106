//! A watch over the bundle that notes what it is told.

use std::sync::Mutex;

use brevet_domain::canonical::Digest;

use super::locked;
use crate::port::{BundleLapse, BundleWatch};

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

impl BundleWatch for Watched {
    fn lapsed(&self, lapse: &BundleLapse<'_>) {
        locked(&self.0).push((lapse.using, lapse.problem.to_string()));
    }
}
