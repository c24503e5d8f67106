//! One bundle: its index, and its other parts, read when needed.

use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::bundle::{
    BundleError, BundleText, INDEX_PART, Index, Listing, RULES_PART, Rules, SCHEDULES_PART, Schedules, is_listed,
    listed, read_listing, read_rules, read_schedules,
};
use brevet_domain::canonical::Digest;
use brevet_domain::id::EntitlementId;

use super::Kept;
use crate::port::{BundleSource, PortError, PortResult};

/// How much text of parts is cached, in bytes: some hundred buckets.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// A bundle whose index is verified. Other parts are read and verified when first needed.
pub struct InForce {
    digest: Digest,
    index: Arc<Index>,
    source: Arc<dyn BundleSource>,
    /// Verified texts.
    parts: Mutex<Kept<String, Arc<str>>>,
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl InForce {
    /// Reads the index of bundle `digest` and verifies it.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the index cannot be read or does not match the digest.
    pub async fn open(source: Arc<dyn BundleSource>, digest: Digest) -> PortResult<Self> {
        let index = Arc::new(read(&*source, digest, INDEX_PART).await?.index().map_err(unusable)?);
        Ok(Self { digest, index, source, parts: Mutex::new(Kept::new(KEPT_BYTES)) })
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The registered identities and the trusted issuers.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// An entitlement with its policies; nothing if it cannot be requested.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the part that would list it cannot be read or does not match its digest.
    pub async fn listing(&self, entitlement: &EntitlementId) -> PortResult<Option<Listing>> {
        let Some((part, expected)) = self.index.bucket(entitlement) else { return Ok(None) };
        let text = self.part(part, expected).await?;
        read_listing(self.digest, part, &text, entitlement).map_err(unusable)
    }

    /// The parts that list entitlements, in order.
    #[must_use]
    pub fn buckets(&self) -> Vec<String> {
        self.index.buckets().map(str::to_owned).collect()
    }

    /// The entitlements that part `bucket` lists, sorted by id.
    ///
    /// # Errors
    ///
    /// As [`Self::listing`].
    pub async fn listed(&self, bucket: &str) -> PortResult<Vec<EntitlementId>> {
        let missing = || BundleError::Missing { digest: self.digest, part: bucket.to_owned() };
        let expected = self.index.parts.get(bucket).ok_or_else(missing).map_err(unusable)?;
        listed(self.digest, &self.part(bucket, *expected).await?).map_err(unusable)
    }

    /// Whether any identity can request `entitlement`.
    ///
    /// # Errors
    ///
    /// As [`Self::listing`].
    pub async fn lists(&self, entitlement: &EntitlementId) -> PortResult<bool> {
        let Some((part, expected)) = self.index.bucket(entitlement) else { return Ok(false) };
        Ok(is_listed(&self.part(part, expected).await?, entitlement))
    }

    /// The policies that concern more than one entitlement. Not cached here: callers keep them parsed.
    ///
    /// # Errors
    ///
    /// As [`Self::listing`].
    pub async fn rules(&self) -> PortResult<Rules> {
        let missing = || BundleError::Missing { digest: self.digest, part: RULES_PART.to_owned() };
        let expected = self.index.parts.get(RULES_PART).ok_or_else(missing).map_err(unusable)?;
        let text = read(&*self.source, self.digest, RULES_PART).await?;
        let rules = text.part(RULES_PART, *expected).and_then(|text| read_rules(self.digest, text));
        rules.map_err(unusable)
    }

    /// The grants that the catalogue itself requests, and when.
    ///
    /// # Errors
    ///
    /// As [`Self::listing`].
    pub async fn schedules(&self) -> PortResult<Schedules> {
        let Some(expected) = self.index.parts.get(SCHEDULES_PART) else { return Ok(Schedules::new()) };
        read_schedules(self.digest, &self.part(SCHEDULES_PART, *expected).await?).map_err(unusable)
    }

    async fn part(&self, name: &str, expected: Digest) -> PortResult<Arc<str>> {
        let parts = || self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = parts().get(name) {
            return Ok(text);
        }
        let text = read(&*self.source, self.digest, name).await?;
        let text: Arc<str> = text.part(name, expected).map_err(unusable)?.into();
        parts().put(name.to_owned(), Arc::clone(&text), text.len());
        Ok(text)
    }
}

async fn read(source: &dyn BundleSource, digest: Digest, part: &str) -> PortResult<BundleText> {
    let text = source.bundle(digest, Some(&[part])).await?;
    // INVARIANT: another bundle must not pass for the requested one.
    if text.digest == digest {
        Ok(text)
    } else {
        Err(unreadable(format!("bundle `{digest}` was requested, but `{}` was returned", text.digest)))
    }
}

fn unusable(error: BundleError) -> PortError {
    unreadable(error.to_string())
}

fn unreadable(what: String) -> PortError {
    PortError::Unreadable { operation: "bundle:Read", what }
}
