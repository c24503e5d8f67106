//! The bundle in force, and for how long the last good one may stand in for one that cannot be used.
//!
//! One cache for whoever verifies proofs, checks requests and decides.
//!
//! **Staleness.** Invariant 9: an unreadable or stale bundle denies. A bundle is *fresh* at `now` if `BUNDLE#current` named
//! it when read at `now`. Where that cannot be read, or names a bundle of which a needed part is missing, altered or does
//! not load, the bundle before it goes on, and each decision records the digest it really used; but only for as long as
//! its bound since `BUNDLE#current` was last *seen* to name it. Later nothing is decided. So whatever fails, no decision
//! rests on a bundle that was not known to be in force within the bound, and an instance that has just started has no
//! bundle to go on with. Counting from there, not from when the trouble was first seen, is the stricter reading: the
//! time that an idle instance slept counts as well.
//!
//! A bad part holds back what needs it and no more: everything else is decided under the bundle in force, all of whose
//! parts that were used are what its digest says.

mod in_force;
mod kept;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brevet_domain::canonical::Digest;
use brevet_domain::time::Timestamp;

pub use in_force::InForce;
pub use kept::Kept;

use crate::port::{BundleLapse, BundleSource, BundleWatch, PortError, PortResult};

/// Finds the bundle to decide under.
pub struct Catalogue {
    source: Arc<dyn BundleSource>,
    max_age_s: u32,
    watch: Arc<dyn BundleWatch>,
    held: Mutex<Held>,
}

/// A bundle, and when `BUNDLE#current` was last seen to name it.
#[derive(Clone)]
struct Seen {
    bundle: Arc<InForce>,
    at: Timestamp,
}

/// The last bundle that was in force and could be opened, and the one before.
#[derive(Default)]
struct Held {
    last: Option<Seen>,
    before: Option<Seen>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").field("max_age_s", &self.max_age_s).finish_non_exhaustive()
    }
}

impl Catalogue {
    /// A catalogue that reads from `source`, where a bundle that was in force goes on for at most `max_age_s` seconds if
    /// the one in force cannot be used. `watch` is told whenever that is so.
    #[must_use]
    pub fn new(source: Arc<dyn BundleSource>, max_age_s: u32, watch: Arc<dyn BundleWatch>) -> Self {
        Self { source, max_age_s, watch, held: Mutex::default() }
    }

    /// The bundle to use at `now`: `BUNDLE#current` is read, so that a new bundle holds at once.
    ///
    /// # Errors
    ///
    /// [`PortError`] if no bundle can be used: fail closed.
    pub async fn current(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        self.using(now, |bundle| async { Ok(bundle) }).await
    }

    /// What `load` makes of the bundle to use at `now`: the one in force or, if that or what `load` needs of it cannot be
    /// used, the one before, for as long as it may go on.
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

    /// The same for a later step of a call whose `now` this is: if `BUNDLE#current` was read at that very instant, it is
    /// not read again, so that the whole call rests on one reading.
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
            // INVARIANT: it is verified and loaded as any other.
            if let Ok(loaded) = load(other).await {
                self.watch.lapsed(&BundleLapse { problem: &problem, using: Some(digest), at: now });
                return Ok(loaded);
            }
        }
        self.watch.lapsed(&BundleLapse { problem: &problem, using: None, at: now });
        Err(problem)
    }

    /// The bundle in force at `now` and no other: for what must not be done by one that was superseded.
    ///
    /// # Errors
    ///
    /// [`PortError`] if it cannot be used.
    pub async fn exactly(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        let told = |problem: &PortError| self.watch.lapsed(&BundleLapse { problem, using: None, at: now });
        self.in_force(now).await.inspect_err(told)
    }

    /// The bundle that is named as the one in force.
    async fn in_force(&self, now: Timestamp) -> PortResult<Arc<InForce>> {
        let nothing = || PortError::Unreadable { operation: "bundle:Read", what: "no bundle was published".to_owned() };
        let digest = self.source.current().await?.ok_or_else(nothing)?;
        if let Some(known) = self.held().confirm(digest, now) {
            return Ok(known);
        }
        let opened = Arc::new(InForce::open(Arc::clone(&self.source), digest).await?);
        // Somebody else may have opened it meanwhile.
        let mut held = self.held();
        Ok(held.confirm(digest, now).unwrap_or_else(|| {
            held.before = held.last.take();
            held.last = Some(Seen { bundle: Arc::clone(&opened), at: now });
            opened
        }))
    }

    /// Bundles that were in force within the bound, the last first.
    fn standing_in(&self, now: Timestamp) -> Vec<Arc<InForce>> {
        let held = self.held();
        // A clock that went back proves nothing.
        let young = |seen: &&Seen| seen.at <= now && now <= seen.at.plus(self.max_age_s);
        let both = held.last.iter().chain(&held.before);
        both.filter(young).map(|seen| Arc::clone(&seen.bundle)).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The bundle `digest`, if it is held: it was named as the one in force at `now`.
    fn confirm(&mut self, digest: Digest, now: Timestamp) -> Option<Arc<InForce>> {
        let is = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.bundle.digest() == digest);
        if !is(&self.last) && is(&self.before) {
            // It was put in force again.
            std::mem::swap(&mut self.last, &mut self.before);
        }
        let last = self.last.as_mut().filter(|last| last.bundle.digest() == digest)?;
        last.at = last.at.max(now);
        Some(Arc::clone(&last.bundle))
    }
}

#[cfg(test)]
mod tests;
