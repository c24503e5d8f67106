//! Implements the engine's policy ports. Each question loads only the slice of the bundle that it concerns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use brevet_domain::bundle::Schedules;
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Verdict};
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Caller, Identity};
use brevet_domain::offer::Offer;
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use brevet_engine::catalogue::{Catalogue, InForce, Kept};
use brevet_engine::evaluate::offers::OfferJudge;
use brevet_engine::port::{Evaluator, EvaluatorError, PortError, PortResult, RevocationPolicy};
use brevet_policy::{Bundle, DecideError, PolicyError};

/// The number of cached slices. A slice has one entitlement, its policies and the general policies, which are shared.
const MAX_SLICES: usize = 256;

/// Decides under the catalogue's bundle. A bundle that cannot be read, verified or parsed decides nothing.
pub(crate) struct BundleEvaluator {
    catalogue: Arc<Catalogue>,
    deployment: Deployment,
    parsed: Mutex<Parsed>,
}

/// The cache of bundles, parsed at their first use.
struct Parsed {
    /// General policies only, of two bundles: the one in force and the previous one, which may replace it.
    open: Kept<Digest, Arc<Bundle>>,
    /// Slices with one entitlement each.
    slices: Kept<(Digest, EntitlementId), Arc<Bundle>>,
}

impl BundleEvaluator {
    pub(crate) fn new(catalogue: Arc<Catalogue>, deployment: Deployment) -> Self {
        let parsed = Mutex::new(Parsed { open: Kept::new(2), slices: Kept::new(MAX_SLICES) });
        Self { catalogue, deployment, parsed }
    }

    /// Loads the slice for `entitlement` from the usable bundle.
    async fn slice(&self, entitlement: &EntitlementId, now: Timestamp) -> Result<Arc<Bundle>, EvaluatorError> {
        let slice =
            self.catalogue.still_using(now, |bundle| async move { self.of(&bundle, entitlement, true).await }).await;
        slice.map_err(|error| EvaluatorError::Unavailable(error.into()))
    }

    /// Loads the slice from `bundle`. Lists pass `keep = false`, so that they do not evict requested entitlements.
    async fn of(&self, bundle: &InForce, entitlement: &EntitlementId, keep: bool) -> PortResult<Arc<Bundle>> {
        let key = (bundle.digest(), entitlement.clone());
        if let Some(slice) = self.parsed().slices.get(&key) {
            return Ok(slice);
        }
        let open = self.open(bundle).await?;
        match bundle.listing(entitlement).await? {
            // The bundle itself then reports the entitlement as unknown.
            None => Ok(open),
            Some(listing) => {
                let slice = Arc::new(open.with(listing).map_err(unusable)?);
                if keep {
                    self.parsed().slices.put(key, Arc::clone(&slice), 1);
                }
                Ok(slice)
            }
        }
    }

    /// Loads the general policies only.
    async fn open(&self, bundle: &InForce) -> PortResult<Arc<Bundle>> {
        let digest = bundle.digest();
        let known = self.parsed().open.get(&digest);
        if let Some(open) = known {
            return Ok(open);
        }
        let rules = bundle.rules().await?;
        let open = Arc::new(Bundle::open(digest, Arc::clone(bundle.index()), &rules).map_err(unusable)?);
        self.parsed().open.put(digest, Arc::clone(&open), 1);
        Ok(open)
    }

    fn parsed(&self) -> MutexGuard<'_, Parsed> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts the error for a part that matches its hash but that policy cannot use.
fn unusable(error: PolicyError) -> PortError {
    let mut what = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        what = format!("{what}: {cause}");
    }
    PortError::Unreadable { operation: "bundle:Load", what }
}

#[async_trait]
impl Evaluator for BundleEvaluator {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let bundle = self.slice(&request.ask.entitlement, now).await?;
        bundle.decide(caller, request, &self.deployment, now).map_err(|error| match error {
            DecideError::UnknownEntitlement(id) => EvaluatorError::UnknownEntitlement(id),
            DecideError::InvalidRequest(invalid_request) => EvaluatorError::InvalidRequest(invalid_request),
            // The compiler refuses plans that cannot be rendered, so another tool built this bundle.
            DecideError::Plan(error) => EvaluatorError::Unavailable(error.into()),
        })
    }

    async fn registered(&self, id: &IdentityId, now: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        let load = |bundle: Arc<InForce>| async move { Ok(bundle.index().identities.get(id).cloned()) };
        self.catalogue.still_using(now, load).await.map_err(|error| EvaluatorError::Unavailable(error.into()))
    }

    async fn schedules(&self, now: Timestamp) -> Result<Schedules, EvaluatorError> {
        let load = |bundle: Arc<InForce>| async move { bundle.schedules().await };
        self.catalogue.still_using(now, load).await.map_err(|error| EvaluatorError::Unavailable(error.into()))
    }

    async fn reviewer(
        &self,
        entitlement: &EntitlementId,
        now: Timestamp,
    ) -> Result<Option<BreakGlassUse>, EvaluatorError> {
        let load = |bundle: Arc<InForce>| async move { bundle.listing(entitlement).await };
        let listing = self.catalogue.still_using(now, load).await;
        let listing = listing.map_err(|error| EvaluatorError::Unavailable(error.into()))?;
        Ok(listing.and_then(|listing| listing.entitlement.break_glass_use()))
    }

    async fn may_approve(
        &self,
        approver: &Caller,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError> {
        let bundle = self.slice(&decision.terms.entitlement, now).await?;
        bundle.may_approve(approver, decision, now).map_err(|refusal| EvaluatorError::Refused(refusal.to_string()))
    }
}

#[async_trait]
impl RevocationPolicy for BundleEvaluator {
    async fn may(
        &self,
        caller: &Caller,
        right: Right,
        scope: &WideScope,
        placed_by: Option<&IdentityId>,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError> {
        let open = self.catalogue.still_using(now, |bundle| async move { self.open(&bundle).await }).await;
        let open = open.map_err(|error| EvaluatorError::Unavailable(error.into()))?;
        open.may_revoke(caller, right, scope, placed_by, now)
            .map_err(|refusal| EvaluatorError::Refused(refusal.to_string()))
    }
}

#[async_trait]
impl OfferJudge for BundleEvaluator {
    async fn offer(
        &self,
        caller: &Caller,
        bundle: &InForce,
        entitlement: &EntitlementId,
        now: Timestamp,
    ) -> PortResult<Option<Offer>> {
        Ok(self.of(bundle, entitlement, false).await?.offer(caller, entitlement, now))
    }
}

#[cfg(test)]
pub(crate) mod tests;
