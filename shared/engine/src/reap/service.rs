//! A restored table: the reaper ends the grants that it lists as usual, but nothing is issued over it until an operator
//! confirms it. Then everything that was decided before the confirmation ends.

use brevet_domain::grant::{EndCause, Event, Grant};
use brevet_domain::time::Timestamp;

use super::{Reaper, locked};
use crate::port::in_service;

impl Reaper {
    /// Reads and returns whether the table is the one in service. A pass over another table never counts as good: blocks
    /// and ends since the backup are not on record.
    pub(super) async fn check_table_confirmation(&self) -> bool {
        let confirmed = match in_service(&*self.ports.service).await {
            Ok(Ok(confirmation)) => Some(confirmation),
            Ok(Err(unconfirmed)) => {
                tracing::error!(problem = %unconfirmed, "the table is not confirmed: issuing is stopped until it is");
                None
            }
            Err(error) => {
                tracing::error!(problem = error.chain(), "the confirmation of the table cannot be read");
                None
            }
        };
        let is_known = confirmed.is_some();
        *locked(&self.confirmed) = confirmed;
        is_known
    }

    /// The event that ends a grant decided before the table was confirmed, since AWS and the table disagree on it.
    pub(super) fn voided(&self, grant: &Grant, now: Timestamp) -> Option<Event> {
        let is_void = locked(&self.confirmed).as_ref().is_some_and(|confirmation| confirmation.voids(grant));
        let fence = now.plus(grant.bounds.landing_s());
        is_void.then_some(Event::Stopped { cause: EndCause::Drift, by: None, fence })
    }

    /// The instant before which issued sessions are void, for as long as one of them can live.
    pub(super) fn void_before(&self, now: Timestamp) -> Option<Timestamp> {
        locked(&self.confirmed).as_ref()?.cut(self.bounds.skew_s, now)
    }

    /// When the table was confirmed to be in service, if it is.
    pub(super) fn confirmed_at(&self) -> Option<Timestamp> {
        locked(&self.confirmed).as_ref().map(|confirmation| confirmation.at)
    }
}
