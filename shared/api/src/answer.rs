//! HTTP answers other than grant views and problems.

use std::collections::BTreeSet;
use std::fmt;

use brevet_domain::canonical::{CanonicalError, Digest};
use brevet_domain::delegation::{Delegation, Scope};
use brevet_domain::evidence::{Entry, Head};
use brevet_domain::grant::{Acknowledged, Grant, State};
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::time::{Term, Timestamp};
use serde::{Deserialize, Serialize};

/// One grant in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLine {
    pub id: GrantId,
    /// The state of the grant; lists are eventually consistent.
    pub state: String,
    /// When the grant was decided.
    pub created_at: Timestamp,
}

/// A page of the caller's own grants, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantList {
    pub grants: Vec<GrantLine>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// A page of a grant's evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidencePage {
    /// The grant that the evidence belongs to.
    pub grant: GrantId,
    /// The head of the chain: the last entry of the whole chain must match it.
    pub head: Head,
    /// The entries of this page, in chain order.
    pub entries: Vec<Entry>,
    /// The `after` of the next page; null at the end.
    pub next: Option<u64>,
}

/// The latest version of a delegation: the requests that another identity may make on a human's behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationLine {
    /// The identity that may ask.
    pub identity: IdentityId,
    /// The version number: how many times the delegation was written.
    pub version: u64,
    /// The digest of this version. Decisions that rest on the delegation name it.
    pub digest: Digest,
    /// When this version was written.
    pub at: Timestamp,
    /// Whether the delegation allows requests now.
    pub in_force: bool,
    /// The delegated entitlements; empty once the delegation has ended.
    pub entitlements: BTreeSet<EntitlementId>,
    /// The maximum term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_term_s: Option<Term>,
    /// When the delegation expires; absent once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl DelegationLine {
    /// Shows a delegation as of `now`.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the digest cannot be computed.
    pub fn of(delegation: &Delegation, now: Timestamp) -> Result<Self, CanonicalError> {
        let (entitlements, max_term_s, until) = match &delegation.scope {
            Scope::Given { entitlements, max_term_s, until } => (entitlements.clone(), *max_term_s, Some(*until)),
            Scope::Ended => (BTreeSet::new(), None, None),
        };
        Ok(Self {
            identity: delegation.to.clone(),
            version: delegation.version,
            digest: delegation.digest()?,
            at: delegation.at,
            in_force: until.is_some_and(|until| now < until),
            entitlements,
            max_term_s,
            until,
        })
    }
}

/// The caller's delegations by identity, including ended ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationList {
    /// All delegations in one answer, without pages: there are few.
    pub delegations: Vec<DelegationLine>,
}

/// Credentials in the shape that `credential_process` requires. `Debug` hides them.
///
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessCredentials {
    /// The version of this shape; always 1.
    pub version: u32,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    /// When the credentials stop working: AWS's expiry or the grant's deadline, whichever is sooner.
    pub expiration: Timestamp,
}

impl fmt::Debug for ProcessCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCredentials").field("expiration", &self.expiration).finish_non_exhaustive()
    }
}

/// The health of this installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// Whether Brevet issues access. Even if it does, nothing new is issued on a principal that has an overdue grant.
    pub status: HealthStatus,
    /// Why issuing has stopped; omitted while Brevet issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
    /// The age of the reaper's last good pass in seconds; null if the reaper never completed one.
    pub heartbeat_age_s: Option<u64>,
    /// The number of overdue grants that the pass found: their end should have been proved long ago.
    pub n_overdue: usize,
    /// The number of overdue grants that no authorized person has acknowledged.
    pub n_unacknowledged: usize,
    /// The bundle in force; null if no bundle can be read.
    pub bundle: Option<Digest>,
}

/// Whether Brevet issues access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Ok,
    Stopped,
}

/// Why issuing has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// The reaper's last good pass is too old, or the reaper never completed one.
    NoGoodPass,
    /// The number of unacknowledged overdue grants exceeds the installation's limit.
    TooManyOverdue,
    /// An expiry drill has not shown that access ends. Canary grants are still issued.
    NotDrilled,
    /// No usable policy bundle is available.
    NoBundle,
}

/// An overdue grant and its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverdueAnswer {
    pub id: GrantId,
    /// The state of the grant: `Revoking` until its end is proved.
    pub state: String,
    /// When the grant should have ended.
    pub due_since: Option<Timestamp>,
    /// Who acknowledged the grant, and when. An acknowledged grant no longer counts towards the limit that stops all
    /// issuing. Nothing new is issued on its principal until it ends.
    pub acknowledged: Option<Acknowledged>,
}

impl OverdueAnswer {
    /// Shows the overdue state of `grant`.
    #[must_use]
    pub fn of(grant: &Grant) -> Self {
        let acknowledged = match &grant.state {
            State::Revoking(revoking) => revoking.acknowledged.clone(),
            State::Denied { .. }
            | State::ApprovalAwaited { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. }
            | State::Approved { .. }
            | State::Activating { .. }
            | State::Active { .. }
            | State::Ended { .. } => None,
        };
        Self { id: grant.id, state: grant.state.name().to_owned(), due_since: grant.over_since(), acknowledged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_the_shape_of_credential_process_and_are_hidden_in_debug() {
        let credentials = ProcessCredentials {
            version: 1,
            access_key_id: "ASIAX".to_owned(),
            secret_access_key: "s3cr3t".to_owned(),
            session_token: "t0k3n".to_owned(),
            expiration: Timestamp::EPOCH,
        };
        let expected = serde_json::json!({
            "Version": 1,
            "AccessKeyId": "ASIAX",
            "SecretAccessKey": "s3cr3t",
            "SessionToken": "t0k3n",
            "Expiration": "1970-01-01T00:00:00.000Z",
        });
        assert_eq!(serde_json::to_value(&credentials).unwrap(), expected);
        let debug = format!("{credentials:?}");
        assert!(!debug.contains("s3cr3t") && !debug.contains("t0k3n"));
    }
}
