//! The cost of AWS calls: each takes a fixed time, and IAM accepts a limited rate of writes.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use brevet_chance::Chance;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{CallKind, Fault, Pace};

use crate::time::VirtualTime;

/// The duration of one call, in milliseconds.
pub const CALL_MS: i64 = 30;
/// IAM's write limit a second, which is also the largest burst.
pub const WRITES_PER_S: u32 = 20;

/// The SDK's retries of a throttled call, as `shared/aws/src/config.rs` sets them: the number of attempts, and a
/// random back-off up to a second that doubles.
///
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const ATTEMPTS: u32 = 3;
const BACK_OFF_MS: usize = 1_000;

/// IAM's token bucket: one token for each write, counted in thousandths.
#[derive(Debug)]
struct Bucket {
    tokens: i64,
    at: Timestamp,
    chance: Chance,
    n_throttled: u64,
}

/// The timing of the model of AWS.
#[derive(Debug)]
pub struct AwsPace {
    time: Arc<VirtualTime>,
    bucket: Mutex<Bucket>,
}

impl AwsPace {
    /// A model with a full bucket.
    #[must_use]
    pub fn new(time: Arc<VirtualTime>) -> Self {
        let (tokens, at) = (i64::from(WRITES_PER_S) * 1_000, time.now());
        Self { time, bucket: Mutex::new(Bucket { tokens, at, chance: Chance::new(1, 1), n_throttled: 0 }) }
    }

    /// The number of writes that IAM throttled.
    #[must_use]
    pub fn n_throttled(&self) -> u64 {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).n_throttled
    }

    /// Takes a token. Without one, returns how long the SDK waits after attempt `attempt`, counted from 0.
    fn take(&self, attempt: u32) -> Result<(), i64> {
        let now = self.time.now();
        let bucket = &mut *self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let full = i64::from(WRITES_PER_S) * 1_000;
        let filled = (now.as_millis() - bucket.at.as_millis()) * i64::from(WRITES_PER_S);
        bucket.tokens = (bucket.tokens + filled).min(full);
        bucket.at = now;
        if bucket.tokens >= 1_000 {
            bucket.tokens -= 1_000;
            return Ok(());
        }
        bucket.n_throttled += 1;
        let wait = bucket.chance.below(BACK_OFF_MS << attempt);
        Err(i64::try_from(wait).unwrap_or_default())
    }
}

#[async_trait]
impl Pace for AwsPace {
    async fn turn(&self, _: &'static str, kind: CallKind) -> Option<Fault> {
        if kind != CallKind::RoleWrite {
            self.time.sleep(CALL_MS).await;
            return None;
        }
        for attempt in 0..ATTEMPTS {
            self.time.sleep(CALL_MS).await;
            match self.take(attempt) {
                Ok(()) => return None,
                Err(wait_ms) if attempt + 1 < ATTEMPTS => self.time.sleep(wait_ms).await,
                Err(_) => {}
            }
        }
        Some(Fault::Throttled)
    }
}
