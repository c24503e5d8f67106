//! The drills' results go into the reaper's health record: if a drill does not show that access ends, nothing is
//! issued.

use std::sync::Arc;

use brevet_domain::drill::{Drilled, Unproved};

use super::Reaper;
use crate::port::{DrillReader, PortResult};

/// The drills that the reaper checks.
#[derive(Clone)]
pub struct Drills {
    pub reader: Arc<dyn DrillReader>,
    /// The deliveries whose drills must pass; empty if nothing is drilled.
    pub required: Vec<Drilled>,
    /// How old the last passed run may be, in seconds.
    pub max_age_s: u32,
}

impl Drills {
    /// No drill is required.
    #[must_use]
    pub fn none(reader: Arc<dyn DrillReader>) -> Self {
        Self { reader, required: Vec::new(), max_age_s: 0 }
    }
}

impl std::fmt::Debug for Drills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drills").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Reaper {
    /// The drills that do not show that access ends. The last health record named those in `before`.
    ///
    /// # Errors
    ///
    /// [`crate::port::PortError`] if a drill cannot be read. The pass is then not recorded and the last heartbeat grows
    /// old, as it must while it is unknown whether anything may be issued.
    pub(super) async fn unproved(&self, before: &[Unproved]) -> PortResult<Vec<Unproved>> {
        let Drills { reader, required, max_age_s } = &self.ports.drills;
        let mut unproved = Vec::new();
        for drilled in required {
            let last = reader.last_drill(*drilled).await?;
            unproved.extend(Unproved::of((*drilled, last.as_ref()), before, *max_age_s, self.ports.clock.now()));
        }
        Ok(unproved)
    }
}
