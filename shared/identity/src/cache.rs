//! Keeps each issuer's keys, reads them again with measure, and lives through a short outage of a key endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::identity::{Issuer, IssuerKeys, TokenAlgorithm};
use brevet_domain::time::Timestamp;
use tokio::sync::Mutex;

use crate::error::ProofError;
use crate::keys::{Choice, KeySet, PublicKey};
use crate::source::{KeyError, KeySource};

/// A key endpoint is asked at most once in this many seconds, whatever tokens arrive.
pub const REFETCH_PAUSE_S: u64 = 60;
/// Keys older than this many seconds are read again before they are used; so long may a withdrawn key still be accepted.
pub const REFRESH_AFTER_S: u64 = 600;
/// Keys serve at most this many seconds after they were read, while the endpoint is down. Then nothing is accepted.
pub const LAST_GOOD_S: u64 = 3_600;

/// The keys of every issuer, by the URI that they were read from.
pub(crate) struct KeyCache {
    source: Arc<dyn KeySource>,
    slots: Mutex<BTreeMap<String, Arc<Mutex<Slot>>>>,
}

/// What is known of one key endpoint.
#[derive(Default)]
struct Slot {
    /// The last good keys and when they were read.
    good: Option<(KeySet, Timestamp)>,
    /// When the endpoint was last asked.
    tried_at: Option<Timestamp>,
    /// Whether it failed then, or has not answered yet.
    failed: bool,
}

impl KeyCache {
    pub(crate) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, slots: Mutex::default() }
    }

    /// The key of `issuer` that a header with `kid` and `algorithm` names.
    pub(crate) async fn key(
        &self,
        issuer: &Issuer,
        kid: Option<&str>,
        algorithm: TokenAlgorithm,
        now: Timestamp,
    ) -> Result<PublicKey, ProofError> {
        let unavailable = |source| ProofError::KeysUnavailable { issuer: issuer.id.clone(), source };
        let uri = match &issuer.keys {
            IssuerKeys::Jwks(jwks) => {
                let keys = KeySet::from_jwks(jwks).map_err(|source| unavailable(Some(source)))?;
                return chosen(&keys, issuer, kid, algorithm);
            }
            IssuerKeys::JwksUri(uri) => uri,
        };

        // Held while the endpoint is asked, so that a burst of tokens asks it once.
        let slot = self.slot(uri).await;
        let mut slot = slot.lock().await;
        let mut failure = None;
        if slot.needs_fetch(kid, algorithm, now) && slot.may_fetch(now) {
            failure = slot.fetch(self.source.as_ref(), uri, now).await.err();
            if let Some(error) = &failure {
                tracing::warn!(
                    issuer.id = %issuer.id,
                    error = error as &dyn std::error::Error,
                    "the keys of issuer `{}` could not be read", issuer.id
                );
            }
        }
        let Some(keys) = slot.keys_at(now) else {
            return Err(unavailable(failure));
        };
        match chosen(keys, issuer, kid, algorithm) {
            // The endpoint might name the key, if it could be asked.
            Err(ProofError::KeyUnknown { .. }) if slot.failed => Err(unavailable(failure)),
            choice => choice,
        }
    }

    async fn slot(&self, uri: &str) -> Arc<Mutex<Slot>> {
        let mut slots = self.slots.lock().await;
        Arc::clone(slots.entry(uri.to_owned()).or_default())
    }
}

impl Slot {
    fn needs_fetch(&self, kid: Option<&str>, algorithm: TokenAlgorithm, now: Timestamp) -> bool {
        self.good.as_ref().is_none_or(|(keys, read_at)| {
            apart_s(now, *read_at) >= REFRESH_AFTER_S || matches!(keys.choose(kid, algorithm), Choice::Nothing)
        })
    }

    fn may_fetch(&self, now: Timestamp) -> bool {
        self.tried_at.is_none_or(|tried_at| apart_s(now, tried_at) >= REFETCH_PAUSE_S)
    }

    async fn fetch(&mut self, source: &dyn KeySource, uri: &str, now: Timestamp) -> Result<(), KeyError> {
        // Counted before it is made: a call that is dropped half way was made too.
        self.tried_at = Some(now);
        self.failed = true;
        let keys = KeySet::from_jwks(&source.jwks(uri).await?)?;
        self.good = Some((keys, now));
        self.failed = false;
        Ok(())
    }

    fn keys_at(&self, now: Timestamp) -> Option<&KeySet> {
        self.good.as_ref().filter(|(_, read_at)| apart_s(now, *read_at) < LAST_GOOD_S).map(|(keys, _)| keys)
    }
}

fn chosen(
    keys: &KeySet,
    issuer: &Issuer,
    kid: Option<&str>,
    algorithm: TokenAlgorithm,
) -> Result<PublicKey, ProofError> {
    let issuer = issuer.id.clone();
    match keys.choose(kid, algorithm) {
        Choice::One(key) => Ok(key.clone()),
        Choice::Nothing => Err(ProofError::KeyUnknown { issuer }),
        Choice::Several => Err(ProofError::KeyUnclear { issuer }),
    }
}

/// Seconds between two instants in either order: a clock that was set back must not keep old keys alive.
fn apart_s(one: Timestamp, other: Timestamp) -> u64 {
    one.seconds_since(other).max(other.seconds_since(one))
}

#[cfg(test)]
mod tests;
