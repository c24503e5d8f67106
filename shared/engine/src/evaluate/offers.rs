//! What a caller may request: the bundle in force, page by page.
//!
//! A bundle may list 10,000 entitlements, spread over buckets by the hash of their ids, and a caller may be allowed
//! only a few. Each call therefore judges a bounded number of them. A page may be short or empty and still name the
//! next one.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::canonical::Digest;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::offer::Offer;
use brevet_domain::time::Timestamp;

use crate::catalogue::{Catalogue, InForce};
use crate::port::{EvaluatorError, PortError, PortResult, ProofVerifier, RawProof};
use crate::refusal::{Refusal, RefusalKind};

/// How many entitlements one call judges.
pub const MAX_JUDGED: usize = 200;

/// How many buckets one call reads.
pub const MAX_BUCKETS: usize = 16;

/// How much of a bundle's digest a cursor names, in hex digits.
const NAMED: usize = 16;

/// Judges whether a caller may request an entitlement.
#[async_trait]
pub trait OfferJudge: Send + Sync {
    /// The offer of `entitlement` to `caller` under `bundle`; nothing if it may not request it, or if that cannot be
    /// evaluated.
    async fn offer(
        &self,
        caller: &Caller,
        bundle: &InForce,
        entitlement: &EntitlementId,
        now: Timestamp,
    ) -> PortResult<Option<Offer>>;
}

/// A page of offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferPage {
    /// In no particular order, but in the same order for the same bundle.
    pub offers: Vec<Offer>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// The use case that lists offers.
pub struct Offers {
    pub proofs: Arc<dyn ProofVerifier>,
    pub catalogue: Arc<Catalogue>,
    pub judge: Arc<dyn OfferJudge>,
}

impl std::fmt::Debug for Offers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offers").finish_non_exhaustive()
    }
}

/// Where a page starts: at bucket `bucket`, after `after`, of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PageStart {
    bucket: usize,
    after: Option<EntitlementId>,
}

impl Offers {
    /// Lists up to `limit` entitlements that the caller may request at `now`, from `cursor` on.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid, the cursor is not from this bundle, or a part of the bundle cannot be read.
    pub async fn list(
        &self,
        proof: &RawProof,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<OfferPage, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let bundle = self.catalogue.still_using(now, |bundle| async { Ok(bundle) }).await.map_err(unusable)?;
        let mut start = match cursor {
            None => PageStart { bucket: 0, after: None },
            Some(text) => PageStart::read(text, bundle.digest())?,
        };
        let buckets = bundle.buckets();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut offers, mut n_judged) = (Vec::new(), 0_usize);
        for bucket in buckets.iter().skip(start.bucket).take(MAX_BUCKETS) {
            for id in bundle.listed(bucket).await.map_err(unusable)? {
                if start.after.as_ref().is_some_and(|after| id <= *after) {
                    continue;
                }
                if offers.len() >= limit || n_judged >= MAX_JUDGED {
                    return Ok(OfferPage { offers, next: Some(start.written(bundle.digest())) });
                }
                n_judged = n_judged.saturating_add(1);
                offers.extend(self.judge(&caller, &bundle, &id, now).await?);
                start.after = Some(id);
            }
            start = PageStart { bucket: start.bucket.saturating_add(1), after: None };
        }
        let next = (start.bucket < buckets.len()).then(|| start.written(bundle.digest()));
        Ok(OfferPage { offers, next })
    }

    /// INVARIANT: an entitlement that cannot be judged is not offered.
    async fn judge(
        &self,
        caller: &Caller,
        bundle: &InForce,
        id: &EntitlementId,
        now: Timestamp,
    ) -> Result<Option<Offer>, Refusal> {
        match self.judge.offer(caller, bundle, id, now).await {
            Ok(offer) => Ok(offer),
            Err(PortError::Unreadable { what, .. }) => {
                tracing::warn!(entitlement.id = %id, problem = what, "`{id}` cannot be judged: it is not listed");
                Ok(None)
            }
            Err(
                error @ (PortError::Refused { .. }
                | PortError::NotDone { .. }
                | PortError::Conflict { .. }
                | PortError::Unknown { .. }),
            ) => Err(unusable(error)),
        }
    }
}

impl PageStart {
    fn read(text: &str, digest: Digest) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('.').collect();
        let [named, bucket, after] = parts.as_slice() else { return Err(Refusal::no_such_page()) };
        if !(named.len() == NAMED && named.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(Refusal::no_such_page());
        }
        let bucket = bucket.parse().map_err(|_| Refusal::no_such_page())?;
        let after = if after.is_empty() { None } else { Some(after.parse().map_err(|_| Refusal::no_such_page())?) };
        if digest.to_string().starts_with(named) {
            return Ok(Self { bucket, after });
        }
        let detail = "the catalogue has changed since that page: start again without a cursor";
        Err(Refusal::new(RefusalKind::Conflict, "catalogue_changed", detail))
    }

    fn written(&self, digest: Digest) -> String {
        let named: String = digest.to_string().chars().take(NAMED).collect();
        let after = self.after.as_ref().map_or("", EntitlementId::as_str);
        format!("{named}.{}.{after}", self.bucket)
    }
}

fn unusable(error: PortError) -> Refusal {
    EvaluatorError::Unavailable(Box::new(error)).into()
}
