//! Leavers: whose identity, sponsor or entitlement is in the catalogue no more holds nothing any longer.
//!
//! A grant is otherwise looked at when it is due. When another bundle is in force, and when this process has just
//! started, the next pass looks at every live grant once.

use brevet_domain::bundle::Index;
use brevet_domain::grant::{DueRole, EndCause, Event, Grant};
use brevet_domain::time::Timestamp;

use super::{Known, Look, PassReport, Reaper, RoleWork};
use crate::port::{PortError, SHARDS};

impl Reaper {
    /// The bundle in force. Nobody leaves by one that cannot be read; nothing is vended under it either.
    pub(super) async fn known(&self) -> Option<Known> {
        let current = self.ports.catalogue.current().await;
        let unread = |error: &PortError| {
            tracing::error!(
                problem = error.chain(),
                "the bundle in force cannot be read: nobody is known to have left"
            );
        };
        current.inspect_err(unread).ok()
    }

    /// Looks at every live grant if another bundle is in force than when that was last done.
    pub(super) async fn walk_leavers(&self, look: Look<'_>, work: &mut RoleWork, report: &mut PassReport) {
        let Some((digest, _)) = look.known else { return };
        if super::locked(&self.walked).as_ref() == Some(digest) {
            return;
        }
        let everything = Look { up_to: Timestamp::LATEST, ..look };
        for (role, shard) in (0..SHARDS).flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]) {
            if let Err(error) = self.shard(role, shard, everything, work, report).await {
                tracing::error!(?role, shard, problem = error.chain(), "live grants could not be listed for leavers");
                report.good = false;
            }
        }
        if report.good {
            *super::locked(&self.walked) = Some(*digest);
        }
    }
}

/// Whether the catalogue does not know the grant any more as it was decided.
pub(crate) fn has_left(grant: &Grant, index: &Index) -> bool {
    let same_class = |id| index.identities.get(id).is_some_and(|identity| identity.class == grant.class);
    !same_class(&grant.identity)
        || !index.identities.contains_key(&grant.sponsor)
        || !index.entitlements.contains_key(&grant.entitlement)
}

/// That it is stopped for having left; see [`Event::Stopped`].
pub(super) fn left(grant: &Grant, now: Timestamp) -> Event {
    Event::Stopped { cause: EndCause::Leaver, by: None, fence: now.plus(grant.bounds.landing_s()) }
}
