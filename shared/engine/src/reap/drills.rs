//! What the drills showed goes into the heart: where one does not show that access ends, nothing is issued.

use std::sync::Arc;

use brevet_domain::drill::{Drilled, Unproved};

use super::Reaper;
use crate::port::{DrillReader, PortResult};

/// The drills that there are.
#[derive(Clone)]
pub struct Drills {
    /// How far they have come.
    pub reader: Arc<dyn DrillReader>,
    /// Which must pass; none where nothing is drilled.
    pub wanted: Vec<Drilled>,
    /// How long ago each must have passed at most, in seconds.
    pub max_age_s: u32,
}

impl Drills {
    /// Nothing is drilled, and nothing is wanted of drills.
    #[must_use]
    pub fn none(reader: Arc<dyn DrillReader>) -> Self {
        Self { reader, wanted: Vec::new(), max_age_s: 0 }
    }
}

impl std::fmt::Debug for Drills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drills").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Reaper {
    /// The drills that do not show that access ends; the last heart knew of those `before`.
    ///
    /// # Errors
    ///
    /// [`crate::port::PortError`] if one cannot be read. Then the pass does not count: its heart grows old, as it must where it
    /// is not known whether anything may be issued.
    pub(super) async fn unproved(&self, before: &[Unproved]) -> PortResult<Vec<Unproved>> {
        let Drills { reader, wanted, max_age_s } = &self.ports.drills;
        let mut unproved = Vec::new();
        for drilled in wanted {
            let last = reader.last_drill(*drilled).await?;
            unproved.extend(Unproved::of((*drilled, last.as_ref()), before, *max_age_s, self.ports.clock.now()));
        }
        Ok(unproved)
    }
}
