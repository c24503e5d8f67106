//! Leavers: when an identity, sponsor or entitlement is removed from the catalogue, its grants end on the next reaper
//! run.
//!
//! Apart from this check, the reaper reconciles a grant only when it is due. The next pass reconciles every live grant after a change of the
//! bundle or the table, and after the start of this process. A minute later another pass repeats that, because the
//! index that lists live grants lags. Issue checks grants that are newer than that.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::canonical::Digest;
use brevet_domain::grant::{EndCause, Event, Grant};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use futures_util::stream::StreamExt as _;

use super::{AT_ONCE, PassContext, PassReport, Reaper, Work};
use crate::catalogue::{InForce, has_left};
use crate::port::PortError;

/// After how long every live grant is reconciled again, in seconds: far longer than an index lags.
const REPEAT_S: u32 = 60;

/// The progress of this process in reconciling every live grant.
#[derive(Debug, Default)]
pub(super) struct CataloguePass {
    /// The bundle, and since when the table is confirmed.
    under: Option<(Digest, Option<Timestamp>)>,
    /// Whether every live grant was reconciled under it.
    is_over: bool,
    /// When to repeat the pass; absent once that has begun.
    repeat_at: Option<Timestamp>,
    /// The grants that were reconciled, until the pass is over.
    seen: BTreeSet<GrantId>,
}

impl Reaper {
    /// The bundle in force, without a stand-in: by an older bundle, new identities would seem to have left. If the
    /// bundle cannot be read, no grant counts as having left; nothing is vended under it either.
    pub(super) async fn current_bundle(&self) -> Option<Arc<InForce>> {
        let current = self.ports.catalogue.exactly(self.ports.clock.now()).await;
        let unread = |error: &PortError| {
            tracing::error!(
                problem = error.chain(),
                "the bundle in force cannot be read: no grant counts as having left the catalogue"
            );
        };
        current.inspect_err(unread).ok()
    }

    /// Reconciles every live grant if the bundle or the table has changed since the last full check. The next pass
    /// continues where this one ran out of time. These grants are not due, so the pass still counts as good.
    pub(super) async fn run_catalogue_pass(&self, context: PassContext<'_>, work: &mut Work, report: &mut PassReport) {
        let confirmed_at = self.confirmed_at();
        let Some(under) = context.bundle.map(|bundle| (bundle.digest(), confirmed_at)) else { return };
        let mut seen = {
            let mut pass = super::locked(&self.catalogue_pass);
            if pass.under != Some(under) {
                let repeat_at = Some(context.started.plus(REPEAT_S));
                *pass = CataloguePass { under: Some(under), repeat_at, ..CataloguePass::default() };
            }
            if pass.is_over && pass.repeat_at.is_some_and(|at| context.started >= at) {
                *pass = CataloguePass { under: Some(under), ..CataloguePass::default() };
            }
            if pass.is_over {
                return;
            }
            std::mem::take(&mut pass.seen)
        };
        // Due grants were reconciled earlier in this pass.
        let begun: BTreeSet<GrantId> = seen.iter().chain(work.reconciled.keys()).copied().collect();
        let mut live = self.live("leavers", context.started.plus(self.budget_s), begun);
        let outcomes = live.lines().map(|(_, line)| self.reconcile(line.id, context.bundle, context.found_by));
        work.take_all(outcomes.buffer_unordered(AT_ONCE), report).await;
        report.good &= live.is_readable;
        let is_over = live.is_whole && work.reconciled.values().all(|is_sure| *is_sure);
        let mut pass = super::locked(&self.catalogue_pass);
        pass.is_over = is_over;
        if !is_over {
            seen.extend(work.reconciled.iter().filter(|(_, is_sure)| **is_sure).map(|(id, _)| *id));
            pass.seen = seen;
        }
    }
}

impl Reaper {
    /// Whether `grant` has left the catalogue. False if the bundle in force cannot be read; nothing if only the part
    /// with its entitlement cannot be read. The grant then stays, and the next pass checks it again.
    pub(super) async fn has_left_catalogue(&self, grant: &Grant, bundle: Option<&InForce>) -> Option<bool> {
        let Some(bundle) = bundle else { return Some(false) };
        let unread = |error: &PortError| {
            tracing::error!(grant.id = %grant.id, problem = error.chain(), "a part of the bundle cannot be read: the \
                grant may have left");
        };
        has_left(grant, bundle).await.inspect_err(unread).ok()
    }
}

/// The event that ends a grant that has left the catalogue; see [`Event::Stopped`].
pub(super) fn leaver_event(grant: &Grant, now: Timestamp) -> Event {
    Event::Stopped { cause: EndCause::Leaver, by: None, fence: now.plus(grant.bounds.landing_s()) }
}
