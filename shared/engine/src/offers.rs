//! What a caller may ask for: a walk over the bundle in force, page by page.
//!
//! A bundle may list 10,000 entitlements, spread over buckets by the hash of their ids, of which a caller may ask for a
//! few. So one call looks at a bounded number of them, whatever it finds: a page can be short, or empty, and still name
//! where the next one starts.

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

/// How many entitlements one call looks at.
pub const MAX_LOOKS: usize = 200;

/// How many buckets one call reads.
pub const MAX_BUCKETS: usize = 16;

/// How much of a bundle's digest a cursor names, in hex digits.
const NAMED: usize = 16;

/// Judges what one entitlement of a bundle offers.
#[async_trait]
pub trait OfferJudge: Send + Sync {
    /// What `caller` may ask for on `entitlement` of `bundle`; nothing if it may not, or if that cannot be evaluated.
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
    /// In no particular order, but always the same for the same bundle.
    pub offers: Vec<Offer>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// The use case.
pub struct Offers {
    /// Who is asking.
    pub proofs: Arc<dyn ProofVerifier>,
    /// What there is.
    pub catalogue: Arc<Catalogue>,
    /// What of it may be asked for.
    pub judge: Arc<dyn OfferJudge>,
}

impl std::fmt::Debug for Offers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offers").finish_non_exhaustive()
    }
}

/// Where a page starts: at bucket `bucket`, after `after`, of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    bucket: usize,
    after: Option<EntitlementId>,
}

impl Offers {
    /// Lists up to `limit` entitlements that the caller may ask for at `now`, from `cursor` on.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not right, the cursor is none of this bundle, or a part of it cannot be read.
    pub async fn list(
        &self,
        proof: &RawProof,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<OfferPage, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Ask, now).await?;
        let bundle = self.catalogue.still_using(now, |bundle| async { Ok(bundle) }).await.map_err(unusable)?;
        let mut place = match cursor {
            None => Place { bucket: 0, after: None },
            Some(text) => Place::read(text, bundle.digest())?,
        };
        let buckets = bundle.buckets();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut offers, mut n_looks) = (Vec::new(), 0_usize);
        for bucket in buckets.iter().skip(place.bucket).take(MAX_BUCKETS) {
            for id in bundle.listed(bucket).await.map_err(unusable)? {
                if place.after.as_ref().is_some_and(|after| id <= *after) {
                    continue;
                }
                if offers.len() >= limit || n_looks >= MAX_LOOKS {
                    return Ok(OfferPage { offers, next: Some(place.written(bundle.digest())) });
                }
                n_looks = n_looks.saturating_add(1);
                offers.extend(self.look(&caller, &bundle, &id, now).await?);
                place.after = Some(id);
            }
            place = Place { bucket: place.bucket.saturating_add(1), after: None };
        }
        let next = (place.bucket < buckets.len()).then(|| place.written(bundle.digest()));
        Ok(OfferPage { offers, next })
    }

    /// INVARIANT: what cannot be judged is not offered.
    async fn look(
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

impl Place {
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
        let detail = "another catalogue is in force since that page: start again without a cursor";
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
