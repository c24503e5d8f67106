//! What the use cases need from outside: small object-safe ports, and how a call through one can fail.

mod attach;
mod delegations;
mod drill;
mod echo;
mod outside;
mod policy;
mod revocations;
mod rotate;
mod service;
mod store;
mod sweep;

pub use attach::{Deprovisioner, Place, PlaceReading, Principal, Principals, Provisioner, Seen};
pub use delegations::Delegations;
pub use drill::{As, Canary, DrillReader, DrillStore, Grants, ProofSource, Shown};
pub use echo::Echoes;
pub use outside::{Clock, Credentials, DenyReading, IdSource, SessionRoles, Vended, Vendor};
pub use policy::{
    BundleLapse, BundleSource, BundleWatch, EvaluateAnswer, EvaluateCall, Evaluator, EvaluatorError, ProofRefused,
    ProofVerifier, RawProof, UseWatch,
};
pub use revocations::{ProgressStore, RevocationPage, RevocationPolicy, RevocationReader, RevocationStore};
pub use rotate::{Rotator, VersionReading, VersionStage};
pub use service::InService;
pub(crate) use service::in_service;
pub(crate) use store::shards_at;
pub use store::{
    Activation, Also, Commit, Counts, DenyStore, Due, DueList, DuePage, Fuse, GrantPage, GrantReader, GrantStore,
    GrantSummary, HeartStore, HoldingsReader, KeyClaim, Mark, RequestStore, ReviewPage, ReviewReader, SHARDS, shard_of,
};

pub use sweep::{Estate, Findings, Roles, Standing};

/// The cause of a [`PortError`], as the adapter saw it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call through a port failed, by what is known of its effect.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Refused, and retrying the same call will be refused again. Nothing changed.
    #[error("`{operation}` was refused")]
    Refused {
        /// The call, as the AWS API names it, e.g. `iam:PutRolePolicy`.
        operation: &'static str,
        /// What was answered.
        #[source]
        source: Cause,
    },
    /// Surely not done: throttled, never sent, or lost against another transaction. The same call may go through later.
    #[error("`{operation}` was not done and may be tried again")]
    NotDone {
        /// The call.
        operation: &'static str,
        /// What was answered, or why it was not sent.
        #[source]
        source: Cause,
    },
    /// A condition did not hold: somebody else changed it first. Nothing changed.
    #[error("`{operation}` found it changed by somebody else")]
    Conflict {
        /// The call.
        operation: &'static str,
    },
    /// No answer. The change may have been made: read back before deciding anything.
    #[error("`{operation}` did not answer; its effect is unknown")]
    Unknown {
        /// The call.
        operation: &'static str,
        /// What happened instead.
        #[source]
        source: Cause,
    },
    /// An answer or a stored item that cannot be read.
    #[error("`{operation}` answered something that cannot be read: {what}")]
    Unreadable {
        /// The call.
        operation: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl PortError {
    /// Whether the call surely had no effect.
    #[must_use]
    pub fn is_surely_without_effect(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NotDone { .. } | Self::Conflict { .. })
    }

    /// The error and its causes on one line, for a log or a grant's last problem.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// What a call through a port yields.
pub type PortResult<T> = Result<T, PortError>;
