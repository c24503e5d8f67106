//! Caches each issuer's keys. It limits refetches, and survives a short outage of a key endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::identity::{Issuer, IssuerKeys, TokenAlgorithm};
use brevet_domain::time::Timestamp;
use tokio::sync::Mutex;

use crate::error::ProofError;
use crate::keys::{Choice, KeySet, PublicKey};
use crate::source::{KeyError, KeySource};

/// The shortest time between two fetches from a key endpoint, in seconds, whatever tokens arrive.
pub const REFETCH_PAUSE_S: u64 = 60;
/// The age in seconds at which keys are fetched again before use. A withdrawn key may be accepted that long.
pub const REFRESH_AFTER_S: u64 = 600;
/// The age in seconds up to which keys serve while the endpoint is down. After that no token is accepted.
pub const LAST_GOOD_S: u64 = 3_600;

/// The keys of every issuer, by the URI of its key endpoint.
pub(crate) struct KeyCache {
    source: Arc<dyn KeySource>,
    slots: Mutex<BTreeMap<String, Arc<Mutex<Slot>>>>,
}

/// The state of one key endpoint.
#[derive(Default)]
struct Slot {
    /// The last good keys and the instant of their fetch.
    good: Option<(KeySet, Timestamp)>,
    /// The instant of the last fetch attempt.
    tried_at: Option<Timestamp>,
    /// Whether the last attempt failed, or has no answer yet.
    failed: bool,
}

impl KeyCache {
    pub(crate) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, slots: Mutex::default() }
    }

    /// The key of `issuer` that a token's `kid` and `algorithm` name.
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

        // The lock is held during the fetch, so that a burst of tokens causes one fetch.
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
            // The endpoint may publish the key, but it did not answer.
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
            distance_s(now, *read_at) >= REFRESH_AFTER_S || matches!(keys.choose(kid, algorithm), Choice::NoMatch)
        })
    }

    fn may_fetch(&self, now: Timestamp) -> bool {
        self.tried_at.is_none_or(|tried_at| distance_s(now, tried_at) >= REFETCH_PAUSE_S)
    }

    async fn fetch(&mut self, source: &dyn KeySource, uri: &str, now: Timestamp) -> Result<(), KeyError> {
        // Recorded before the fetch: a fetch that is dropped half way counts too.
        self.tried_at = Some(now);
        self.failed = true;
        let keys = KeySet::from_jwks(&source.jwks(uri).await?)?;
        self.good = Some((keys, now));
        self.failed = false;
        Ok(())
    }

    fn keys_at(&self, now: Timestamp) -> Option<&KeySet> {
        self.good.as_ref().filter(|(_, read_at)| distance_s(now, *read_at) < LAST_GOOD_S).map(|(keys, _)| keys)
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
        Choice::NoMatch => Err(ProofError::KeyUnknown { issuer }),
        Choice::Several => Err(ProofError::KeyUnclear { issuer }),
    }
}

/// Seconds between two instants in either order. A clock that was set back must not keep old keys alive.
fn distance_s(a: Timestamp, b: Timestamp) -> u64 {
    a.seconds_since(b).max(b.seconds_since(a))
}

#[cfg(test)]
mod tests;
