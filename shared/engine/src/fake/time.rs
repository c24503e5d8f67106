//! A clock that tests set, and ids that are the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::time::Timestamp;
use ulid::Ulid;

use crate::port::{Clock, IdSource};

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { millis: AtomicI64::new(now.as_millis()) }
    }

    /// Advances the clock by `seconds`.
    pub fn advance(&self, seconds: u32) {
        self.set(self.now().plus(seconds));
    }

    /// Sets the clock to `now`, forwards or back.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

/// One function's clock: it follows another clock with an error.
#[derive(Debug)]
pub struct SkewedClock {
    true_clock: Arc<ManualClock>,
    ahead_ms: AtomicI64,
}

impl SkewedClock {
    /// A clock that is `ahead_ms` milliseconds ahead of `true_clock`, or behind it if negative.
    #[must_use]
    pub fn new(true_clock: Arc<ManualClock>, ahead_ms: i64) -> Self {
        Self { true_clock, ahead_ms: AtomicI64::new(ahead_ms) }
    }

    /// Sets the error. The clock may jump.
    pub fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let now = self.true_clock.now().as_millis();
        Timestamp::from_millis(now.saturating_add(self.ahead_ms.load(Ordering::SeqCst)))
    }
}

/// Ids from a counter: the n-th id is the same in every run.
#[derive(Debug, Default)]
pub struct SeqIds {
    n: AtomicU64,
}

impl SeqIds {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn next(&self, now: Timestamp) -> Ulid {
        let n = self.n.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        Ulid::from_parts(u64::try_from(now.as_millis()).unwrap_or(0), u128::from(n))
    }
}

impl IdSource for SeqIds {
    fn grant_id(&self, now: Timestamp) -> GrantId {
        GrantId::from_ulid(self.next(now))
    }

    fn evidence_id(&self, now: Timestamp) -> EvidenceId {
        EvidenceId::from_ulid(self.next(now))
    }
}
