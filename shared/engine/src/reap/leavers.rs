//! Leavers: whose identity, sponsor or entitlement is in the catalogue no more holds nothing any longer.
//!
//! A grant is otherwise looked at when it is due. When another bundle or another table is in force, and when this process has just
//! started, the next pass looks at every live grant, and one a minute later at all of them once more: the index that
//! lists them lags, and what it does not show yet must not be missed. What is new by then is checked by issue.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::canonical::Digest;
use brevet_domain::grant::{EndCause, Event, Grant};
use brevet_domain::id::GrantId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::time::Timestamp;
use futures_util::stream::StreamExt as _;

use super::{AT_ONCE, Look, PassReport, Reaper, Work};
use crate::catalogue::InForce;
use crate::port::{PortError, PortResult};

/// After how long every live grant is looked at once more, in seconds: far more than an index lags.
const AGAIN_S: u32 = 60;

/// How far this process has come with looking at every live grant.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Under which bundle, and since when the table is in service.
    under: Option<(Digest, Option<Timestamp>)>,
    /// Whether that is done.
    is_over: bool,
    /// When to do it once more; nothing once that was begun.
    again_at: Option<Timestamp>,
    /// The grants that were looked at, until it is.
    seen: BTreeSet<GrantId>,
}

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

    /// Looks at every live grant if another bundle or table is in force than when that was last done. What a pass has no time
    /// for is left to the next one: nothing of it is due, so the heart beats on.
    pub(super) async fn walk_leavers(&self, look: Look<'_>, work: &mut Work, report: &mut PassReport) {
        let confirmed_at = self.confirmed_at();
        let Some(under) = look.known.map(|known| (known.digest(), confirmed_at)) else { return };
        let mut seen = {
            let mut walk = super::locked(&self.walk);
            if walk.under != Some(under) {
                let again_at = Some(look.started.plus(AGAIN_S));
                *walk = Walk { under: Some(under), again_at, ..Walk::default() };
            }
            if walk.is_over && walk.again_at.is_some_and(|at| look.started >= at) {
                *walk = Walk { under: Some(under), ..Walk::default() };
            }
            if walk.is_over {
                return;
            }
            std::mem::take(&mut walk.seen)
        };
        // What was due was looked at in this very pass.
        let begun: BTreeSet<GrantId> = seen.iter().chain(work.looked.keys()).copied().collect();
        let mut live = self.live("leavers", look.started.plus(self.budget_s), begun);
        let looks = live.lines().map(|(_, line)| self.look(line.id, look.known, look.found_by));
        work.take_all(looks.buffer_unordered(AT_ONCE), report).await;
        report.good &= live.is_readable;
        let is_over = live.is_whole && work.looked.values().all(|is_sure| *is_sure);
        let mut walk = super::locked(&self.walk);
        walk.is_over = is_over;
        if !is_over {
            seen.extend(work.looked.iter().filter(|(_, is_sure)| **is_sure).map(|(id, _)| *id));
            walk.seen = seen;
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
    let is_human = |id| index.identities.get(id).is_some_and(|identity| identity.class == IdentityClass::Human);
    if !grant.on_behalf_of.as_ref().is_none_or(is_human) {
        return Ok(true);
    }
    if !same_class(&grant.identity) || !index.identities.contains_key(&grant.sponsor) {
        return Ok(true);
    }
    bundle.lists(&grant.entitlement).await.map(|listed| !listed)
}

impl Reaper {
    /// Whether the bundle in force, if it can be read, does not know `grant` any more; nothing where its part cannot be
    /// read. Then it stays, and the next pass looks again.
    pub(super) async fn left_by(&self, grant: &Grant, known: Option<&InForce>) -> Option<bool> {
        let Some(bundle) = known else { return Some(false) };
        let unread = |error: &PortError| {
            tracing::error!(grant.id = %grant.id, problem = error.chain(), "whether it has left cannot be read");
        };
        has_left(grant, bundle).await.inspect_err(unread).ok()
    }
}

/// That it is stopped for having left; see [`Event::Stopped`].
pub(super) fn left(grant: &Grant, now: Timestamp) -> Event {
    Event::Stopped { cause: EndCause::Leaver, by: None, fence: now.plus(grant.bounds.landing_s()) }
}
