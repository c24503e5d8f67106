//! Bounded, strict parsing of requests. Each error says what was wrong and what to send instead.

mod ask;
mod ballot;
mod delegation;
mod json;
mod query;
mod review;
mod revocation;

pub use ask::{RenewBody, ask, renew};
pub use ballot::{BallotBody, ballot};
pub use delegation::delegation;
pub use json::{MAX_BODY_BYTES, no_body};
pub use query::{
    EvidenceQuery, ListQuery, PageQuery, evidence_query, grant_id, idempotency_key, identity_id, list_query, no_query,
    page_query,
};
pub use review::{ReviewBody, review};
pub use revocation::{RevocationBody, lift, revocation, revocation_key, revocations_query};

use crate::problem::{Problem, ProblemKind};

/// A body as received, not yet trusted. `Debug` hides its text.
#[derive(Clone, Copy)]
pub struct RawBody<'a> {
    /// The `Content-Type` header, if there was one.
    pub content_type: Option<&'a str>,
    pub bytes: &'a [u8],
}

impl std::fmt::Debug for RawBody<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawBody({} bytes)", self.bytes.len())
    }
}

/// The request cannot be used. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadInput {
    /// `Malformed`, `TooLarge`, `UnsupportedMedia` or `Invalid`.
    pub kind: ProblemKind,
    /// A short stable name of the error.
    pub code: &'static str,
    /// What was wrong and what to send instead; never a value from the body.
    pub detail: String,
}

impl BadInput {
    pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: ProblemKind::Malformed, code, detail: detail.into() }
    }

    pub(crate) fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: ProblemKind::Invalid, code, detail: detail.into() }
    }
}

impl From<BadInput> for Problem {
    fn from(bad: BadInput) -> Self {
        Self::new(bad.kind, bad.code, bad.detail)
    }
}

/// Cuts a name that the caller chose to its first 40 characters, so that no message carries a whole token.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
