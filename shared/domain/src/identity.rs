//! Who asks: registered identities, and the caller that a verified proof yields.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::id::{IdentityId, IssuerId, ScheduleId, TeamId};
use crate::time::Timestamp;

/// The lane that an identity runs in.
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
    /// Its name.
    pub id: IdentityId,
    /// Its lane.
    pub class: IdentityClass,
    /// The human who answers for it; a human is their own.
    pub owner: IdentityId,
    /// Teams that policies can name.
    #[serde(default)]
    pub teams: BTreeSet<TeamId>,
    /// What a proof must show to be this identity: any one of these.
    pub proofs: Vec<ProofRule>,
}

/// What a token must hold to prove an identity: this issuer, and each claim with exactly this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofRule {
    /// Which configured issuer signed it.
    pub issuer: IssuerId,
    /// Claims and the exact text of their values; a number or boolean is compared by its JSON text. Never empty.
    pub claims: BTreeMap<String, String>,
    /// The claim that names the task (a run id, say); absent where the identity has no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// A token issuer that this installation trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its name in the catalogue.
    pub id: IssuerId,
    /// The exact `iss` claim.
    pub issuer: String,
    /// Algorithms that its tokens may use.
    pub algorithms: BTreeSet<TokenAlgorithm>,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// What its tokens say of somebody who has shown more than one factor.
    #[serde(default, skip_serializing_if = "MfaRule::is_default")]
    pub mfa: MfaRule,
}

/// Which claims of an issuer's tokens tell that more than one factor was shown: any one of these.
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
    /// Whether it says what counts where nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these claims tell of more than one factor.
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

/// Where an issuer's public keys come from.
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

/// What is kept of what a request rests on. Never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProofSummary {
    /// A token that was verified.
    Token {
        /// The issuer's name in the catalogue.
        issuer: IssuerId,
        /// The `sub` claim.
        subject: String,
        /// SHA-256 of the token, so that two uses of one token can be told from two tokens.
        token_digest: Digest,
        /// When the token was issued.
        issued_at: Timestamp,
        /// When the token expires.
        expires_at: Timestamp,
        /// How its bearer signed in.
        #[serde(default, skip_serializing_if = "AuthContext::is_unsaid")]
        auth: AuthContext,
    },
    /// A window that the catalogue itself declares: nobody showed anything.
    Schedule {
        /// The schedule.
        schedule: ScheduleId,
        /// SHA-256 of its declaration, as the bundle has it.
        declared: Digest,
        /// When the window opened.
        opens_at: Timestamp,
        /// When it closes.
        closes_at: Timestamp,
    },
}

/// How somebody signed in, as their token tells it. What it does not tell, or not in the form of the standard, is not
/// there: then it shows nothing.
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
    /// The `auth_time` claim: when they signed in, not later than the token was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
}

impl AuthContext {
    /// The most methods that are kept.
    pub const MAX_AMR: usize = 16;

    /// The longest method or class that is kept, in bytes.
    pub const MAX_TEXT: usize = 128;

    /// Whether nothing is told.
    #[must_use]
    pub fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }
}

impl ProofSummary {
    /// The schedule that the request rests on, if it is one.
    #[must_use]
    pub fn schedule(&self) -> Option<&ScheduleId> {
        match self {
            Self::Token { .. } => None,
            Self::Schedule { schedule, .. } => Some(schedule),
        }
    }

    /// How whoever showed it signed in; nothing for a schedule, which nobody signed in for.
    #[must_use]
    pub fn auth(&self) -> Option<&AuthContext> {
        match self {
            Self::Token { auth, .. } => Some(auth),
            Self::Schedule { .. } => None,
        }
    }
}

/// Someone whose proof was verified and matched to exactly one registered identity, or for whom the catalogue declares a
/// window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// What it works on, where its proof says so.
    pub task: Option<Task>,
    /// What was shown, or declared.
    pub proof: ProofSummary,
}

/// Which audience a token was made for. A token names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Asking, reading, releasing: what intake sees.
    Ask,
    /// Voting on requests of others. Intake never sees such a token, so an intake that lies cannot vote with it,
    /// though it may invoke the evaluator.
    Approvals,
    /// Fetching credentials. A token that intake sees cannot.
    Credentials,
}
