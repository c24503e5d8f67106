//! The reasons to refuse a proof.

use brevet_domain::id::{IdentityId, IssuerId};
use brevet_domain::identity::TaskError;
use brevet_domain::time::Timestamp;

use crate::source::KeyError;

/// The reason that a token did not prove a caller. No message contains the token or its signature.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("there is no token; send the header `Authorization: Bearer <token>`")]
    Missing,
    #[error("the `Authorization` header is malformed; send the word `Bearer`, one space and exactly one token")]
    Header,
    #[error("the token has {size_bytes} bytes; send one of at most {max_bytes} bytes")]
    TooLarge { size_bytes: usize, max_bytes: usize },
    #[error("the token cannot be read: {wrong}; send a signed JWT of header, claims and signature, joined by dots")]
    Malformed { wrong: &'static str },
    /// The algorithm is not accepted: it is `none`, HMAC, unknown, or not one of the issuer's.
    #[error("the token's `alg` is `{found}`; accepted here: {accepted}")]
    Algorithm {
        /// The header's `alg`, cut to 80 characters.
        found: String,
        /// The accepted algorithms, joined by commas.
        accepted: String,
    },
    #[error("the issuer `{found}` is not configured here; `iss` must be exactly that of a configured issuer")]
    IssuerUnknown {
        /// The `iss` claim, cut to 80 characters.
        found: String,
    },
    #[error("several configured issuers have this `iss` (`{first}`, `{second}`); exactly one may")]
    IssuerAmbiguous { first: IssuerId, second: IssuerId },
    #[error("issuer `{issuer}` publishes no key with the token's `kid` and `alg`; a new key is found within a minute")]
    KeyUnknown { issuer: IssuerId },
    #[error("several keys of issuer `{issuer}` match the token; its header must name exactly one by `kid`")]
    KeyUnclear { issuer: IssuerId },
    /// The issuer's keys cannot be read, and no recent copy has the key.
    #[error("the keys of issuer `{issuer}` cannot be read now, so its tokens are not accepted; try again in a minute")]
    KeysUnavailable {
        issuer: IssuerId,
        /// The failure, if this call fetched the keys.
        #[source]
        source: Option<KeyError>,
    },
    #[error("the signature does not verify with the named key of issuer `{issuer}`; send the token as issued")]
    Signature { issuer: IssuerId },
    /// A claim is missing or has a wrong value.
    #[error("the claim `{claim}` must be {expected}")]
    Claim { claim: &'static str, expected: &'static str },
    /// The token is for another use or another service.
    #[error("the token is not for this use; its `aud` must contain `{expected}`")]
    Audience { expected: String },
    /// The token is for more than one of this installation's uses.
    #[error("the token is for several uses; of this installation's audiences `aud` must contain `{expected}` alone")]
    AudienceSeveral { expected: String },
    #[error("the token expired at {expired_at}; it is now {now} (clocks may differ by {leeway_s} s); send a new token")]
    Expired { expired_at: Timestamp, now: Timestamp, leeway_s: u32 },
    #[error(
        "the token is not yet valid: `{claim}` is {valid_from}; it is now {now} (clocks may differ by {leeway_s} s)"
    )]
    NotYetValid {
        /// `nbf` or `iat`.
        claim: &'static str,
        valid_from: Timestamp,
        now: Timestamp,
        leeway_s: u32,
    },
    #[error("the token lives {life_s} s from `iat` to `exp`; at most {max_s} s are accepted")]
    LivesTooLong { life_s: u64, max_s: u64 },
    #[error("the token of issuer `{issuer}` is valid, but its claims match no identity; register one with an owner")]
    Unregistered { issuer: IssuerId },
    /// A token that matches more than one identity proves none.
    #[error("the token matches several registered identities (`{first}`, `{second}`); it must match exactly one")]
    Ambiguous { first: IdentityId, second: IdentityId },
    /// The identity requires a task, and the token names none.
    #[error("the token names no task; identity `{identity}` requires the claim `{claim}`")]
    TaskMissing { identity: IdentityId, claim: String },
    /// The identity requires a task, and the token's task is invalid.
    #[error("the claim `{claim}` of identity `{identity}` is not a valid task")]
    InvalidTask {
        identity: IdentityId,
        claim: String,
        #[source]
        source: TaskError,
    },
    /// Two proof rules of the identity match, and they take the task from different claims.
    #[error("several proof rules of identity `{identity}` match but name different task claims; the rules must agree")]
    TaskAmbiguous { identity: IdentityId },
}

impl ProofError {
    /// A short, stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Header => "token_header",
            Self::TooLarge { .. } => "token_too_large",
            Self::Malformed { .. } => "token_malformed",
            Self::Algorithm { .. } => "token_algorithm",
            Self::IssuerUnknown { .. } => "issuer_unknown",
            Self::IssuerAmbiguous { .. } => "issuer_ambiguous",
            Self::KeyUnknown { .. } => "key_unknown",
            Self::KeyUnclear { .. } => "key_unclear",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::Signature { .. } => "token_signature",
            Self::Claim { .. } => "token_claim",
            Self::Audience { .. } => "token_audience",
            Self::AudienceSeveral { .. } => "token_audience_several",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::LivesTooLong { .. } => "token_lives_too_long",
            Self::Unregistered { .. } => "identity_unregistered",
            Self::Ambiguous { .. } => "identity_ambiguous",
            Self::TaskMissing { .. } => "task_missing",
            Self::InvalidTask { .. } => "invalid_task",
            Self::TaskAmbiguous { .. } => "task_ambiguous",
        }
    }

    /// Whether the same token may be accepted later: a 503, not a 401.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. })
    }
}

/// Text of an unverified token in a form for messages: escaped, at most 80 characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(80).collect()
}
