//! Registered identities, and the caller that a verified proof yields.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::id::{IdentityId, IssuerId, ScheduleId, TeamId};
use crate::time::Timestamp;

/// The class of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityClass {
    /// A person.
    Human,
    /// A CI or CD job.
    Pipeline,
    /// A running service.
    Workload,
    /// An AI agent.
    Agent,
}

impl IdentityClass {
    /// The class as the catalogue writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Pipeline => "pipeline",
            Self::Workload => "workload",
            Self::Agent => "agent",
        }
    }
}

/// A registered requester.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub id: IdentityId,
    pub class: IdentityClass,
    /// The human who is accountable for it; a human is their own owner.
    pub owner: IdentityId,
    /// Teams that policies can name.
    #[serde(default)]
    pub teams: BTreeSet<TeamId>,
    /// The proofs of this identity. Any one of them is enough.
    pub proofs: Vec<ProofRule>,
}

/// The issuer and the exact claims that a token must have to prove an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofRule {
    /// The configured issuer that signed the token.
    pub issuer: IssuerId,
    /// Claims and the exact text of their values; a number or boolean is compared by its JSON text. Never empty.
    pub claims: BTreeMap<String, String>,
    /// The claim that names the task, such as a run id; absent if the identity has no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// A token issuer that this installation trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub id: IssuerId,
    /// The exact `iss` claim.
    pub issuer: String,
    /// The algorithms that its tokens may use.
    pub algorithms: BTreeSet<TokenAlgorithm>,
    /// The source of its keys.
    pub keys: IssuerKeys,
    /// The claims with which its tokens show more than one factor.
    #[serde(default, skip_serializing_if = "MfaRule::is_default")]
    pub mfa: MfaRule,
}

/// The claims with which an issuer's tokens show more than one factor. Any one of them is enough.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc8176#section-2> (`amr`),
/// <https://openid.net/specs/openid-connect-core-1_0.html#IDToken> (`acr`)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfaRule {
    /// Members of `amr`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amr: BTreeSet<String>,
    /// Values of `acr`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub acr: BTreeSet<String>,
}

impl Default for MfaRule {
    /// `amr` holds `mfa`.
    fn default() -> Self {
        Self { amr: BTreeSet::from(["mfa".to_owned()]), acr: BTreeSet::new() }
    }
}

impl MfaRule {
    /// Whether the rule is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these claims show more than one factor.
    #[must_use]
    pub fn is_met(&self, amr: &[String], acr: Option<&str>) -> bool {
        amr.iter().any(|method| self.amr.contains(method)) || acr.is_some_and(|acr| self.acr.contains(acr))
    }
}

/// Signature algorithms that are accepted; `none` and HMAC are not expressible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
}

/// The source of an issuer's public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// An https URL that answers a JWK set.
    JwksUri(String),
    /// The JWK set itself.
    Jwks(serde_json::Value),
}

/// The task that a caller works on, as its proof names it: 1 to 256 characters of the session-tag alphabet.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Task(String);

/// The text cannot name a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task must be 1 to 256 characters of letters, digits, spaces and `_.:/=+-@`")]
pub struct TaskError;

impl Task {
    /// The task as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Task {
    type Error = TaskError;

    fn try_from(text: String) -> Result<Self, TaskError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
        if (1..=256).contains(&text.len()) && text.chars().all(allowed) { Ok(Self(text)) } else { Err(TaskError) }
    }
}

impl From<Task> for String {
    fn from(task: Task) -> Self {
        task.0
    }
}

/// The stored summary of the proof behind a request. It never contains the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProofSummary {
    /// A verified token.
    Token {
        /// The issuer's name in the catalogue.
        issuer: IssuerId,
        /// The `sub` claim.
        subject: String,
        /// The SHA-256 of the token, which distinguishes two uses of one token from two tokens.
        token_digest: Digest,
        issued_at: Timestamp,
        expires_at: Timestamp,
        /// The bearer's sign-in.
        #[serde(default, skip_serializing_if = "AuthContext::is_empty")]
        auth: AuthContext,
    },
    /// A window that the catalogue declares, without any token.
    Schedule {
        schedule: ScheduleId,
        /// The SHA-256 of its declaration in the bundle.
        declared: Digest,
        opens_at: Timestamp,
        closes_at: Timestamp,
    },
}

/// The sign-in of a person, as the token shows it. A claim that is missing or not in the standard's form is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthContext {
    /// Whether more than one factor was shown, by the issuer's [`MfaRule`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// The `amr` claim: at most [`Self::MAX_AMR`] methods of at most [`Self::MAX_TEXT`] bytes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The `acr` claim: at most [`Self::MAX_TEXT`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The `auth_time` claim: the instant of the sign-in, not later than the issue of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
}

impl AuthContext {
    /// The maximum number of methods that are stored.
    pub const MAX_AMR: usize = 16;

    /// The maximum length of a stored method or class, in bytes.
    pub const MAX_TEXT: usize = 128;

    /// Whether the token shows nothing about the sign-in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ProofSummary {
    /// The schedule behind the request, if there is one.
    #[must_use]
    pub fn schedule(&self) -> Option<&ScheduleId> {
        match self {
            Self::Token { .. } => None,
            Self::Schedule { schedule, .. } => Some(schedule),
        }
    }

    /// The sign-in of the bearer; `None` for a schedule.
    #[must_use]
    pub fn auth(&self) -> Option<&AuthContext> {
        match self {
            Self::Token { auth, .. } => Some(auth),
            Self::Schedule { .. } => None,
        }
    }
}

/// A caller whose proof was verified and matched exactly one registered identity, or for whom the catalogue declares a
/// window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub identity: Identity,
    /// The caller's task, if the proof names one.
    pub task: Option<Task>,
    /// The proof, or the declared window.
    pub proof: ProofSummary,
}

/// The audience of a token. A token names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Requests, reads and releases. Intake sees these tokens.
    Ask,
    /// Votes on requests of others. Intake never sees such a token, so a compromised intake cannot vote with it,
    /// although it may invoke the evaluator.
    Approvals,
    /// Fetching credentials. A token that intake sees cannot fetch them.
    Credentials,
}
