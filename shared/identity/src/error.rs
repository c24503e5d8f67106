//! Why a proof was not accepted.

use brevet_domain::id::{IdentityId, IssuerId};
use brevet_domain::identity::TaskError;
use brevet_domain::time::Timestamp;

use crate::source::KeyError;

/// Why a token did not prove a caller. No message holds the token or its signature.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// There is no token.
    #[error("there is no token; send the header `Authorization: Bearer <token>`")]
    Missing,
    /// The header is there and holds something else.
    #[error("the `Authorization` header must be the word `Bearer`, one space and exactly one token")]
    Header,
    /// The token is larger than is read.
    #[error("the token has {size_bytes} bytes; at most {max_bytes} are read")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// The token cannot be read.
    #[error("the token cannot be read: {wrong}; send a signed JWT of header, claims and signature, joined by dots")]
    Malformed {
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The algorithm is none that is accepted: `none`, HMAC, unknown, or not one of the issuer's.
    #[error("the token says it is signed with `{found}`; accepted here: {accepted}")]
    Algorithm {
        /// The header's `alg`, cut to 80 characters.
        found: String,
        /// The accepted ones, joined by commas.
        accepted: String,
    },
    /// Nobody configured this issuer.
    #[error("the issuer `{found}` is not configured here; `iss` must be exactly that of a configured issuer")]
    IssuerUnknown {
        /// The `iss` claim, cut to 80 characters.
        found: String,
    },
    /// Several configured issuers claim the same `iss`.
    #[error("several configured issuers have this `iss` (`{first}`, `{second}`); exactly one may")]
    IssuerAmbiguous {
        /// One of them.
        first: IssuerId,
        /// Another.
        second: IssuerId,
    },
    /// The issuer has no key that the header's `kid` and `alg` name.
    #[error(
        "issuer `{issuer}` publishes no key with the token's `kid` and `alg`; a key published just now is found within a minute"
    )]
    KeyUnknown {
        /// The issuer.
        issuer: IssuerId,
    },
    /// The header does not tell which of several keys signed the token.
    #[error("several keys of issuer `{issuer}` fit the token; its header must name exactly one by `kid`")]
    KeyUnclear {
        /// The issuer.
        issuer: IssuerId,
    },
    /// The issuer's keys cannot be read, and no recent enough copy holds the key.
    #[error("the keys of issuer `{issuer}` cannot be read now, so its tokens are not accepted; try again in a minute")]
    KeysUnavailable {
        /// The issuer.
        issuer: IssuerId,
        /// Why, if this call asked for them.
        #[source]
        source: Option<KeyError>,
    },
    /// The signature is not that of the issuer's key.
    #[error("the signature does not fit the token under the key of issuer `{issuer}` that it names")]
    Signature {
        /// The issuer.
        issuer: IssuerId,
    },
    /// A claim is missing or has another form.
    #[error("the claim `{claim}` must be {wanted}")]
    Claim {
        /// The claim.
        claim: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The token is for someone else.
    #[error("the token is not for this use; `aud` must hold `{wanted}`")]
    Audience {
        /// The audience that was wanted.
        wanted: String,
    },
    /// The token is for more than one of this installation's uses.
    #[error("the token is for several uses at once; of this installation's audiences `aud` must hold `{wanted}` alone")]
    AudienceSeveral {
        /// The audience that was wanted.
        wanted: String,
    },
    /// The token is too old.
    #[error("the token expired at {expired_at}; it is now {now}, and the clocks may differ by {leeway_s} s")]
    Expired {
        /// Its `exp`.
        expired_at: Timestamp,
        /// The instant it was compared with.
        now: Timestamp,
        /// The leeway.
        leeway_s: u32,
    },
    /// The token is from the future.
    #[error(
        "the token is not yet valid: `{claim}` is {valid_from}; it is now {now}, and the clocks may differ by {leeway_s} s"
    )]
    NotYetValid {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// What it says.
        valid_from: Timestamp,
        /// The instant it was compared with.
        now: Timestamp,
        /// The leeway.
        leeway_s: u32,
    },
    /// The token lives longer than is accepted of any.
    #[error("the token lives {life_s} s from `iat` to `exp`; at most {max_s} s are accepted")]
    LivesTooLong {
        /// Its life.
        life_s: u64,
        /// The bound.
        max_s: u64,
    },
    /// Nobody registered this caller.
    #[error(
        "the token of issuer `{issuer}` is good, but no registered identity has its claims; one must be registered with an owner"
    )]
    Unregistered {
        /// The issuer.
        issuer: IssuerId,
    },
    /// The token proves more than one identity, so none.
    #[error("the token fits several registered identities (`{first}`, `{second}`); it must fit exactly one")]
    Ambiguous {
        /// One of them.
        first: IdentityId,
        /// Another.
        second: IdentityId,
    },
    /// The identity works on tasks and the token names none.
    #[error("the token names no task; identity `{identity}` needs its claim `{claim}`")]
    TaskMissing {
        /// The identity.
        identity: IdentityId,
        /// The claim.
        claim: String,
    },
    /// The identity works on tasks and the token's cannot be used.
    #[error("the claim `{claim}` of identity `{identity}` names no usable task")]
    TaskUnfit {
        /// The identity.
        identity: IdentityId,
        /// The claim.
        claim: String,
        /// What a task may be.
        #[source]
        source: TaskError,
    },
    /// Two proof rules of the identity fit, and they take the task from different claims.
    #[error("several proof rules of identity `{identity}` fit, and they name different task claims; they must agree")]
    TaskAmbiguous {
        /// The identity.
        identity: IdentityId,
    },
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
            Self::TaskUnfit { .. } => "task_unfit",
            Self::TaskAmbiguous { .. } => "task_ambiguous",
        }
    }

    /// Whether the same token may be accepted later: a 503, not a 401.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. })
    }
}

/// Text of a token that nobody vouches for yet, fit for a message: escaped, at most 80 characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(80).collect()
}
