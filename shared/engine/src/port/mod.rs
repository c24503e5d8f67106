//! The ports that adapters implement: small, object-safe, each for one role. Also how a call through a port can fail.

mod attach;
mod delegations;
mod drill;
mod outside;
mod policy;
mod revocations;
mod rotate;
mod service;
mod standby_tick;
mod store;
mod sweep;

pub use attach::{
    AttachmentStatus, AttachmentTarget, Deprovisioner, Principal, Principals, Provisioner, TargetReading,
};
pub use delegations::Delegations;
pub use drill::{Canary, DrillReader, DrillStore, GrantProgress, Grants, ProbeIdentity, ProofSource};
pub use outside::{Clock, Credentials, DenyReading, IdSource, SessionRoles, Vended, Vendor};
pub use policy::{
    BundleLapse, BundleSource, BundleWatch, EvaluateAnswer, EvaluateCall, Evaluator, EvaluatorError, ProofRefused,
    ProofVerifier, RawProof, UseWatch,
};
pub use revocations::{ProgressStore, RevocationPage, RevocationPolicy, RevocationReader, RevocationStore};
pub use rotate::{Rotator, VersionReading, VersionStage};
pub use service::InService;
pub(crate) use service::in_service;
pub use standby_tick::StandbyTicks;
pub(crate) use store::shards_at;
pub use store::{
    Activation, AttachmentHoldersReader, Commit, DenyStore, Due, DueList, DuePage, GrantPage, GrantReader, GrantStore,
    GrantSummary, HoldingsReader, KeyClaim, Mark, ReaperHealthStore, RequestStore, ReviewPage, ReviewReader, SHARDS,
    TransactionItem, TtlBackstop, shard_of,
};

pub use sweep::{AccountListing, Findings, Roles, Standing};

pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call through a port failed, by what is known of its effect.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Refused; a retry will be refused as well. Nothing changed.
    #[error("`{operation}` was refused")]
    Refused {
        /// The call, as the AWS API names it, e.g. `iam:PutRolePolicy`.
        operation: &'static str,
        #[source]
        source: Cause,
    },
    /// Surely not done: throttled, never sent, or lost to another transaction. A retry may succeed.
    #[error("`{operation}` was not done and may be tried again")]
    NotDone {
        operation: &'static str,
        /// AWS's answer, or why the call was not sent.
        #[source]
        source: Cause,
    },
    /// A condition did not hold, because another writer changed the item first. Nothing changed.
    #[error("`{operation}` lost to another writer: read again and retry")]
    Conflict { operation: &'static str },
    /// No answer. The change may have been made: read back before deciding anything.
    #[error("`{operation}` did not answer; its effect is unknown")]
    Unknown {
        operation: &'static str,
        #[source]
        source: Cause,
    },
    /// An answer or a stored item that cannot be parsed.
    #[error("`{operation}` returned something unreadable: {what}")]
    Unreadable {
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

pub type PortResult<T> = Result<T, PortError>;
