//! Leavers: whose identity, sponsor or entitlement is in the catalogue no more holds nothing any longer.
//!
//! A grant is otherwise looked at when it is due. When another bundle is in force, and when this process has just
//! started, the next pass looks at every live grant once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use brevet_domain::grant::{DueRole, EndCause, Event, Grant};
use brevet_domain::time::Timestamp;

use super::{Look, PassReport, Reaper, RoleWork};
use crate::catalogue::InForce;
use crate::port::{PortError, PortResult, SHARDS};

impl Reaper {
    /// The bundle in force, and no other that may stand in for it: what it granted would seem to have left by an older
    /// one. Nobody leaves by one that cannot be read; nothing is vended under it either.
    pub(super) async fn known(&self) -> Option<Arc<InForce>> {
        let current = self.ports.catalogue.exactly(self.ports.clock.now()).await;
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
        let Some(digest) = look.known.map(InForce::digest) else { return };
        if *super::locked(&self.walked) == Some(digest) {
            return;
        }
        self.in_doubt.store(false, Ordering::Relaxed);
        let everything = Look { up_to: Timestamp::LATEST, ..look };
        for (role, shard) in (0..SHARDS).flat_map(|shard| [(DueRole::Reap, shard), (DueRole::Issue, shard)]) {
            if let Err(error) = self.shard(role, shard, everything, work, report).await {
                tracing::error!(?role, shard, problem = error.chain(), "live grants could not be listed for leavers");
                report.good = false;
            }
        }
        if report.good && !self.in_doubt.load(Ordering::Relaxed) {
            *super::locked(&self.walked) = Some(digest);
        }
    }
}

/// Whether the catalogue does not know the grant any more as it was decided.
///
/// # Errors
///
/// [`PortError`] if the part that would list its entitlement cannot be read.
pub(crate) async fn has_left(grant: &Grant, bundle: &InForce) -> PortResult<bool> {
    let index = bundle.index();
    let same_class = |id| index.identities.get(id).is_some_and(|identity| identity.class == grant.class);
    if !same_class(&grant.identity) || !index.identities.contains_key(&grant.sponsor) {
        return Ok(true);
    }
    bundle.lists(&grant.entitlement).await.map(|listed| !listed)
}

impl Reaper {
    /// Whether the bundle in force, if it can be read, does not know `grant` any more. Where its part cannot be read, it
    /// stays, and the next pass looks again.
    pub(super) async fn left_by(&self, grant: &Grant, known: Option<&InForce>) -> bool {
        let Some(bundle) = known else { return false };
        has_left(grant, bundle).await.unwrap_or_else(|error| {
            tracing::error!(grant.id = %grant.id, problem = error.chain(), "whether it has left cannot be read");
            self.in_doubt.store(true, Ordering::Relaxed);
            false
        })
    }
}

/// That it is stopped for having left; see [`Event::Stopped`].
pub(super) fn left(grant: &Grant, now: Timestamp) -> Event {
    Event::Stopped { cause: EndCause::Leaver, by: None, fence: now.plus(grant.bounds.landing_s()) }
}
