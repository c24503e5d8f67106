//! Ports to proofs, policy and its bundle.

use std::fmt;

use async_trait::async_trait;
use brevet_domain::bundle::{BundleText, Schedules};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Verdict};
use brevet_domain::entitlement::InvalidRequest;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Audience, Caller, Identity};
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PortError, PortResult};
use crate::refusal::Refusal;

/// A proof as received, not yet verified. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawProof(String);

impl RawProof {
    /// Wraps a bearer token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the verifier and for the call to the evaluator.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RawProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawProof(…)")
    }
}

/// A proof that identifies no registered caller, or could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProofRefused {
    /// A short stable name of the problem, e.g. `token_expired`.
    pub code: &'static str,
    /// What was wrong and what to send instead; never part of the token.
    pub message: String,
    /// Whether the proof could not be checked now, rather than being invalid.
    pub unavailable: bool,
    /// Whether the proof is valid, but its subject is not registered.
    pub unregistered: bool,
}

/// Turns proofs into callers.
#[async_trait]
pub trait ProofVerifier: Send + Sync {
    /// Verifies `proof` for `audience` at `now`.
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused>;
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum EvaluatorError {
    /// The catalogue lists no such entitlement.
    #[error("there is no entitlement `{0}`")]
    UnknownEntitlement(EntitlementId),
    #[error(transparent)]
    InvalidRequest(#[from] InvalidRequest),
    /// This person may not do this.
    #[error("{0}")]
    Refused(String),
    /// The bundle cannot be read or used: nothing is decided.
    #[error("the policy bundle cannot be used")]
    Unavailable(#[source] super::Cause),
}

/// Policy as code.
#[async_trait]
pub trait Evaluator: Send + Sync {
    /// Judges a request of a verified caller.
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError>;

    /// The identity `id` as registered in the bundle in force, if it is.
    async fn registered(&self, id: &IdentityId, now: Timestamp) -> Result<Option<Identity>, EvaluatorError>;

    /// The grants that the catalogue in force itself requests, and when.
    async fn schedules(&self, now: Timestamp) -> Result<Schedules, EvaluatorError>;

    /// Who reviews uses of `entitlement` and who owns it, in the bundle in force; nothing if it is not break-glass or
    /// not listed any more.
    async fn reviewer(
        &self,
        entitlement: &EntitlementId,
        now: Timestamp,
    ) -> Result<Option<BreakGlassUse>, EvaluatorError>;

    /// Judges whether a verified caller may vote on a decision; returns the determining policies if so.
    async fn may_approve(
        &self,
        approver: &Caller,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError>;
}

/// Reads published bundles.
#[async_trait]
pub trait BundleSource: Send + Sync {
    /// The digest of the bundle in force, if one was ever published. Consistent.
    async fn current(&self) -> PortResult<Option<Digest>>;

    /// The named parts of a bundle, or all. [`BundleText`] verifies them when they are used.
    async fn bundle(&self, digest: Digest, parts: Option<&[&str]>) -> PortResult<BundleText>;
}

/// A call that could not use the bundle in force.
#[derive(Debug)]
pub struct BundleLapse<'a> {
    pub problem: &'a PortError,
    /// The older bundle that stands in; absent if nothing is decided.
    pub using: Option<Digest>,
    pub at: Timestamp,
}

/// Gets reports of calls that could not use the bundle in force. An alarm depends on it.
pub trait BundleWatch: Send + Sync {
    /// Reports one such call.
    fn lapsed(&self, lapse: &BundleLapse<'_>);
}

/// Gets a report of each use of break-glass as it is decided. An alarm depends on it.
pub trait UseWatch: Send + Sync {
    /// Reports that `identity` may use `grant` on `entitlement` from now on.
    fn used(&self, grant: GrantId, identity: &IdentityId, entitlement: &EntitlementId, at: Timestamp);
}

/// The evaluator's answer to intake: `{"answer":"decided"}` or `{"answer":"refused","refusal":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum EvaluateAnswer {
    /// The decision is stored, with any outcome.
    Decided,
    /// Nothing was decided.
    Refused { refusal: Refusal },
}

/// Intake's way to the evaluator.
#[async_trait]
pub trait EvaluateCall: Send + Sync {
    /// Asks for the decision of a stored request, with the caller's raw proof.
    async fn evaluate(&self, id: GrantId, proof: &RawProof) -> PortResult<EvaluateAnswer>;
}
