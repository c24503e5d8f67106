//! Ports to proofs, policy and its bundle.

use std::fmt;

use async_trait::async_trait;
use brevet_domain::bundle::{BundleText, Schedules};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Verdict};
use brevet_domain::entitlement::MisfitError;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Audience, Caller, Identity};
use brevet_domain::request::Request;
use brevet_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PortError, PortResult};
use crate::refusal::Refusal;

/// A proof as it came in, not verified. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawProof(String);

impl RawProof {
    /// Wraps a bearer token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself: for the verifier and for handing it on to the evaluator.
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

/// A proof that shows nobody, or could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProofRefused {
    /// A short stable name of what is wrong, e.g. `token_expired`.
    pub code: &'static str,
    /// What is wrong and what would be right; never part of the token.
    pub message: String,
    /// Whether it could not be checked just now, rather than being wrong.
    pub unavailable: bool,
    /// Whether it was verified, but proves nobody who is registered.
    pub unregistered: bool,
}

/// Turns proofs into callers.
#[async_trait]
pub trait ProofVerifier: Send + Sync {
    /// Verifies `proof` for `audience` at `now`.
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused>;
}

/// Why policy says nothing.
#[derive(Debug, thiserror::Error)]
pub enum EvaluatorError {
    /// Nobody can be asked for it.
    #[error("there is no entitlement `{0}`")]
    UnknownEntitlement(EntitlementId),
    /// The request does not fit its entitlement.
    #[error(transparent)]
    Misfit(#[from] MisfitError),
    /// This person may not.
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

    /// Who is registered as `id` in the bundle in force; nobody, if it left.
    async fn registered(&self, id: &IdentityId, now: Timestamp) -> Result<Option<Identity>, EvaluatorError>;

    /// What the catalogue in force itself asks for, and when.
    async fn schedules(&self, now: Timestamp) -> Result<Schedules, EvaluatorError>;

    /// Judges whether a verified caller may vote on a decision; the determining policies if so.
    async fn may_approve(
        &self,
        approver: &Caller,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError>;
}

/// Where the bundle in force is read from.
#[async_trait]
pub trait BundleSource: Send + Sync {
    /// The digest of the bundle in force, if one was ever published. Consistent.
    async fn current(&self) -> PortResult<Option<Digest>>;

    /// The parts of a bundle: those named, or all. Not verified here: [`BundleText`] does that when they are used.
    async fn bundle(&self, digest: Digest, parts: Option<&[&str]>) -> PortResult<BundleText>;
}

/// The bundle in force could not be used.
#[derive(Debug)]
pub struct BundleLapse<'a> {
    /// Why.
    pub problem: &'a PortError,
    /// The older bundle that is used in its stead; none if nothing is decided.
    pub using: Option<Digest>,
    /// When.
    pub at: Timestamp,
}

/// Who is told when the bundle in force cannot be used: an alarm hangs on it.
pub trait BundleWatch: Send + Sync {
    /// It could not, for one call.
    fn lapsed(&self, lapse: &BundleLapse<'_>);
}

/// The evaluator's answer to intake: `{"answer":"decided"}` or `{"answer":"refused","refusal":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum EvaluateAnswer {
    /// The decision is stored, whatever it says.
    Decided,
    /// Nothing was decided.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// How intake reaches the evaluator.
#[async_trait]
pub trait EvaluateCall: Send + Sync {
    /// Asks for the decision of a stored request, with the caller's raw proof.
    async fn evaluate(&self, id: GrantId, proof: &RawProof) -> PortResult<EvaluateAnswer>;
}
