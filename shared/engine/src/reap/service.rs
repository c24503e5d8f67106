//! A restored table: it ends what it knows as ever, but nothing is issued over it until somebody confirms it, and then
//! everything that it knew before that ends.

use brevet_domain::grant::{EndCause, Event, Grant};
use brevet_domain::time::Timestamp;

use super::{Reaper, locked};
use crate::port::in_service;

impl Reaper {
    /// Reads whether the table is the one in service; whether it is. A pass over another one is not good, however well it
    /// went: what was blocked and ended since its backup is not on record.
    pub(super) async fn look_at_table(&self) -> bool {
        let confirmed = match in_service(&*self.ports.service).await {
            Ok(Ok(word)) => Some(word),
            Ok(Err(unconfirmed)) => {
                tracing::error!(problem = %unconfirmed, "the table is not confirmed: nothing is issued until it is");
                None
            }
            Err(error) => {
                tracing::error!(problem = error.chain(), "which table this is cannot be read");
                None
            }
        };
        let is_known = confirmed.is_some();
        *locked(&self.confirmed) = confirmed;
        is_known
    }

    /// That it is stopped since it was decided before the table was confirmed: AWS and the table disagree on it.
    pub(super) fn voided(&self, grant: &Grant, now: Timestamp) -> Option<Event> {
        let is_void = locked(&self.confirmed).as_ref().is_some_and(|word| word.voids(grant));
        let fence = now.plus(grant.bounds.landing_s());
        is_void.then_some(Event::Stopped { cause: EndCause::Drift, by: None, fence })
    }

    /// The time before which every session that was issued is void, as long as one can live.
    pub(super) fn void_before(&self, now: Timestamp) -> Option<Timestamp> {
        locked(&self.confirmed).as_ref()?.cut(self.bounds.skew_s, now)
    }

    /// From when on the table in service was confirmed to be it, if it is.
    pub(super) fn confirmed_at(&self) -> Option<Timestamp> {
        locked(&self.confirmed).as_ref().map(|word| word.at)
    }
}
