//! The bundle in force, and for how long the last good one may stand in for one that cannot be used.
//!
//! The use cases that verify proofs, check requests and decide share this one cache.
//!
//! **Staleness.** Invariant 9: an unreadable or stale bundle denies.
//!
//! - A bundle is *fresh* at `now` if `BUNDLE#current` named it when read at `now`.
//! - If `BUNDLE#current` cannot be read, or names a bundle of which a needed part is missing, altered or does not load,
//!   the previous bundle stands in. Each decision records the digest that it used.
//! - A bundle stands in only within a bound after `BUNDLE#current` was last *seen* to name it. Later nothing is
//!   decided.
//!
//! So no decision rests on a bundle that was not known to be in force within the bound, and an instance that has just
//! started has no bundle to fall back on. The bound counts from the last reading that named it, not from the first
//! failure, which is stricter: the time that an idle instance slept counts as well.
//!
//! A bad part holds back only requests that need it. Everything else is decided under the bundle in force, and every
//! part that was used matches its digest.

mod in_force;
mod kept;
mod left;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brevet_domain::canonical::Digest;
use brevet_domain::time::Timestamp;

pub use in_force::InForce;
pub use kept::Kept;
pub(crate) use left::has_left;

use crate::port::{BundleLapse, BundleSource, BundleWatch, PortError, PortResult};

/// Finds the bundle to decide under.
pub struct Catalogue {
    source: Arc<dyn BundleSource>,
    max_age_s: u32,
    watch: Arc<dyn BundleWatch>,
    held: Mutex<HeldBundles>,
}

/// A bundle, and when `BUNDLE#current` was last seen to name it.
#[derive(Clone)]
struct CurrentBundle {
    bundle: Arc<InForce>,
    at: Timestamp,
}

/// The last bundle that was in force and could be opened, and the one before it.
#[derive(Default)]
struct HeldBundles {
    last: Option<CurrentBundle>,
    before: Option<CurrentBundle>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").field("max_age_s", &self.max_age_s).finish_non_exhaustive()
    }
}

impl Catalogue {
    /// A catalogue that reads from `source`. A bundle that was in force stands in for at most `max_age_s` seconds if
    /// the one in force cannot be used. Each such call is reported to `watch`.
    #[must_use]
    pub fn new(source: Arc<dyn BundleSource>, max_age_s: u32, watch: Arc<dyn BundleWatch>) -> Self {
        Self { source, max_age_s, watch, held: Mutex::default() }
    }

    /// The bundle to use at `now`. `BUNDLE#current` is read each time, so that a new bundle takes effect at once.
    ///
    /// # Errors
    ///
    /// [`PortError`] if no bundle can be used: fail closed.
    pub async fn current(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        self.using(now, |bundle| async { Ok(bundle) }).await
    }

    /// Loads from the bundle in force at `now` or, if that or a part that `load` needs cannot be used, from the
    /// previous bundle while it may stand in.
    ///
    /// # Errors
    ///
    /// [`PortError`] of the bundle in force, if no other may be used.
    pub async fn using<T, F>(&self, now: Timestamp, load: impl Fn(Arc<InForce>) -> F) -> PortResult<T>
    where
        F: Future<Output = PortResult<T>>,
    {
        self.of(self.in_force(now).await, now, load).await
    }

    /// Like [`Self::using`], for a later step of the call whose `now` this is. If `BUNDLE#current` was read at that
    /// instant, it is not read again, so that the whole call rests on one reading.
    ///
    /// # Errors
    ///
    /// As [`Self::using`].
    pub async fn still_using<T, F>(&self, now: Timestamp, load: impl Fn(Arc<InForce>) -> F) -> PortResult<T>
    where
        F: Future<Output = PortResult<T>>,
    {
        let read = self.held().last.as_ref().filter(|last| last.at == now).map(|last| Arc::clone(&last.bundle));
        let in_force = match read {
            Some(bundle) => Ok(bundle),
            None => self.in_force(now).await,
        };
        self.of(in_force, now, load).await
    }

    async fn of<T, F>(
        &self,
        in_force: PortResult<Arc<InForce>>,
        now: Timestamp,
        load: impl Fn(Arc<InForce>) -> F,
    ) -> PortResult<T>
    where
        F: Future<Output = PortResult<T>>,
    {
        let (named, problem) = match in_force {
            Ok(bundle) => match load(Arc::clone(&bundle)).await {
                Ok(loaded) => return Ok(loaded),
                Err(problem) => (Some(bundle.digest()), problem),
            },
            Err(problem) => (None, problem),
        };
        for other in self.standing_in(now).into_iter().filter(|other| Some(other.digest()) != named) {
            let digest = other.digest();
            // INVARIANT: the stand-in is verified and loaded like any other bundle.
            if let Ok(loaded) = load(other).await {
                self.watch.lapsed(&BundleLapse { problem: &problem, using: Some(digest), at: now });
                return Ok(loaded);
            }
        }
        self.watch.lapsed(&BundleLapse { problem: &problem, using: None, at: now });
        Err(problem)
    }

    /// The bundle in force at `now`, without a stand-in: for acts that an older bundle must not decide.
    ///
    /// # Errors
    ///
    /// [`PortError`] if it cannot be used.
    pub async fn exactly(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        let report = |problem: &PortError| self.watch.lapsed(&BundleLapse { problem, using: None, at: now });
        self.in_force(now).await.inspect_err(report)
    }

    /// The bundle that `BUNDLE#current` names.
    async fn in_force(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        let nothing =
            || PortError::Unreadable { operation: "bundle:Read", what: "no bundle has been published".to_owned() };
        let digest = self.source.current().await?.ok_or_else(nothing)?;
        if let Some(known) = self.held().confirm(digest, now) {
            return Ok(known);
        }
        let opened = Arc::new(InForce::open(Arc::clone(&self.source), digest).await?);
        // Another call may have opened it meanwhile.
        let mut held = self.held();
        Ok(held.confirm(digest, now).unwrap_or_else(|| {
            held.before = held.last.take();
            held.last = Some(CurrentBundle { bundle: Arc::clone(&opened), at: now });
            opened
        }))
    }

    /// Bundles that were in force within the bound, the latest first.
    fn standing_in(&self, now: Timestamp) -> Vec<Arc<InForce>> {
        let held = self.held();
        // After the clock went back, the age of a bundle is unknown.
        let young = |seen: &&CurrentBundle| seen.at <= now && now <= seen.at.plus(self.max_age_s);
        let both = held.last.iter().chain(&held.before);
        both.filter(young).map(|seen| Arc::clone(&seen.bundle)).collect()
    }

    fn held(&self) -> MutexGuard<'_, HeldBundles> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldBundles {
    /// The bundle `digest` if it is held; records that it was in force at `now`.
    fn confirm(&mut self, digest: Digest, now: Timestamp) -> Option<Arc<InForce>> {
        let is = |seen: &Option<CurrentBundle>| seen.as_ref().is_some_and(|seen| seen.bundle.digest() == digest);
        if !is(&self.last) && is(&self.before) {
            // The previous bundle is in force again.
            std::mem::swap(&mut self.last, &mut self.before);
        }
        let last = self.last.as_mut().filter(|last| last.bundle.digest() == digest)?;
        last.at = last.at.max(now);
        Some(Arc::clone(&last.bundle))
    }
}

#[cfg(test)]
mod tests;
