//! Policy as code behind the engine's port: the bundle in force, parsed once and kept while it is in force.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use brevet_domain::decision::{Decision, Verdict};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Caller, Identity};
use brevet_domain::request::Request;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{BundleSource, Cause, Evaluator, EvaluatorError};
use brevet_policy::{Bundle, DecideError};

/// Decides under the bundle in force. What cannot be read or verified decides nothing.
pub(crate) struct BundleEvaluator {
    source: Arc<dyn BundleSource>,
    deployment: Deployment,
    last: Mutex<Option<Arc<Bundle>>>,
}

impl BundleEvaluator {
    pub(crate) fn new(source: Arc<dyn BundleSource>, deployment: Deployment) -> Self {
        Self { source, deployment, last: Mutex::new(None) }
    }

    /// The bundle in force now. Its digest is read each time, so that a new bundle holds at once.
    async fn current(&self) -> Result<Arc<Bundle>, EvaluatorError> {
        let unavailable = |cause: Cause| EvaluatorError::Unavailable(cause);
        let digest = self.source.current().await.map_err(|error| unavailable(error.into()))?;
        let digest = digest.ok_or_else(|| unavailable("no bundle was published".into()))?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bundle) = last.filter(|bundle| bundle.digest() == digest) {
            return Ok(bundle);
        }
        let text = self.source.bundle(digest, None).await.map_err(|error| unavailable(error.into()))?;
        // INVARIANT: a source that answers another bundle must not pass for this one.
        if text.digest != digest {
            return Err(unavailable(format!("asked for bundle `{digest}`, got `{}`", text.digest).into()));
        }
        let bundle = Arc::new(Bundle::load(&text).map_err(|error| unavailable(error.into()))?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&bundle));
        Ok(bundle)
    }
}

#[async_trait]
impl Evaluator for BundleEvaluator {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let bundle = self.current().await?;
        bundle.decide(caller, request, &self.deployment, now).map_err(|error| match error {
            DecideError::UnknownEntitlement(id) => EvaluatorError::UnknownEntitlement(id),
            DecideError::Misfit(misfit) => EvaluatorError::Misfit(misfit),
            // The compiler refuses what could not be rendered, so this bundle did not come from it.
            DecideError::Plan(error) => EvaluatorError::Unavailable(error.into()),
        })
    }

    async fn registered(&self, id: &IdentityId, _: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        Ok(self.current().await?.index().identities.get(id).cloned())
    }

    async fn may_approve(
        &self,
        approver: &Caller,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError> {
        let bundle = self.current().await?;
        bundle.may_approve(approver, decision, now).map_err(|refusal| EvaluatorError::Refused(refusal.to_string()))
    }
}

#[cfg(test)]
mod tests;
