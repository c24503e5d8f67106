//! Answers other than a grant and a problem.

use std::collections::BTreeSet;
use std::fmt;

use brevet_domain::canonical::{CanonicalError, Digest};
use brevet_domain::delegation::{Delegation, Scope};
use brevet_domain::evidence::{Entry, Head};
use brevet_domain::grant::{Acknowledged, Grant, State};
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::time::{Term, Timestamp};
use serde::{Deserialize, Serialize};

/// One line of a list of grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLine {
    /// The grant.
    pub id: GrantId,
    /// Its state; lists may lag a little.
    pub state: String,
    /// When it was decided.
    pub created_at: Timestamp,
}

/// A page of the caller's own grants, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantList {
    /// The page.
    pub grants: Vec<GrantLine>,
    /// The `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// A page of a grant's evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidencePage {
    /// Whose it is.
    pub grant: GrantId,
    /// What the whole chain must end in.
    pub head: Head,
    /// The page, in order.
    pub entries: Vec<Entry>,
    /// The `after` of the next page; null at the end.
    pub next: Option<u64>,
}

/// What a human lets another identity ask for on their behalf: its latest version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationLine {
    /// Who may ask.
    pub identity: IdentityId,
    /// How often it was written.
    pub version: u64,
    /// The digest of this version: what decisions that rest on it name.
    pub digest: Digest,
    /// When it was written.
    pub at: Timestamp,
    /// Whether anything can be asked for now.
    pub in_force: bool,
    /// For what; none once it was ended.
    pub entitlements: BTreeSet<EntitlementId>,
    /// For how long at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_term_s: Option<Term>,
    /// Until when; absent once it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl DelegationLine {
    /// The line of a version at `now`.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if it has no digest.
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

/// The caller's delegations, past ones too, by identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationList {
    /// All of them: there are few.
    pub delegations: Vec<DelegationLine>,
}

/// Credentials, in the form that `credential_process` wants. `Debug` hides them.
///
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessCredentials {
    /// The form of this answer; 1.
    pub version: u32,
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token.
    pub session_token: String,
    /// When they stop working: AWS's expiry or the grant's deadline, whichever is sooner.
    pub expiration: Timestamp,
}

impl fmt::Debug for ProcessCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCredentials").field("expiration", &self.expiration).finish_non_exhaustive()
    }
}

/// Whether Brevet can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// Whether anything would be issued. Where it is, a principal that has an overdue grant is stopped all the same.
    pub status: HealthStatus,
    /// Why not; left out while something would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
    /// The age of the reaper's last good pass, in seconds; null if there was none.
    pub heart_age_s: Option<u64>,
    /// Grants whose end should have been proved long ago, as of that pass.
    pub n_overdue: usize,
    /// Those of them that nobody in charge acknowledged.
    pub n_unacknowledged: usize,
    /// The bundle in force; null if none can be read.
    pub bundle: Option<Digest>,
}

/// Whether anything would be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Yes.
    Ok,
    /// No.
    Stopped,
}

/// Why nothing is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// The reaper's last good pass is too old, or there was none.
    NoGoodPass,
    /// More grants than the installation's limit are overdue and not acknowledged.
    TooManyOverdue,
    /// An expiry drill does not show that access ends; canaries are issued all the same.
    NotDrilled,
    /// No bundle can be used.
    NoBundle,
}

/// A grant that is overdue, and who knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverdueAnswer {
    /// The grant.
    pub id: GrantId,
    /// Its state: `Revoking`, until its end is proved.
    pub state: String,
    /// Since when it should have been over.
    pub due_since: Option<Timestamp>,
    /// Who said that they know, and when: it counts no longer towards stopping everything. Its principal stays stopped.
    pub acknowledged: Option<Acknowledged>,
}

impl OverdueAnswer {
    /// What is told of `grant`.
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
    fn credentials_have_the_form_of_credential_process_and_hide_in_debug() {
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
