//! Refusals: why a use case did nothing, for the caller.

use std::borrow::Cow;

use brevet_domain::id::GrantId;
use serde::{Deserialize, Serialize};

use crate::port::{EvaluatorError, PortError, ProofRefused};

/// The kind of a refusal: each has one HTTP status and one problem type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The proof is missing, invalid or meant for another purpose.
    Unauthenticated,
    /// The proof is valid, but its subject is not registered.
    Unregistered,
    /// This caller may not do this.
    Forbidden,
    /// Policy or an approver denied the grant.
    Denied,
    /// There is no such grant, or this caller may not see it.
    NotFound,
    /// The request is invalid: entitlement, parameters, term or ticket.
    Invalid,
    /// The request conflicts with the stored state: wrong state, other digest, key used for another body.
    Conflict,
    /// The grant has ended; the request can never succeed for it.
    Over,
    /// Issuing is stopped, because access is not known to end.
    Stopped,
    /// A dependency did not answer. A retry may succeed.
    Unavailable,
}

/// A refusal: kind, a short stable code, and a text that says what was wrong and what to send instead.
///
/// The evaluator hands its refusals to intake in this JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// A short stable name, e.g. `token_expired`.
    pub code: Cow<'static, str>,
    /// What was wrong and what to send instead.
    pub detail: String,
    /// The grant concerned, if the caller may know of it.
    pub grant: Option<GrantId>,
    /// After how many seconds to retry.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// A refusal that names no grant and no time to retry.
    #[must_use]
    pub fn new(kind: RefusalKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code: Cow::Borrowed(code), detail: detail.into(), grant: None, retry_after_s: None }
    }

    /// Names the grant concerned.
    #[must_use]
    pub fn about(self, id: GrantId) -> Self {
        Self { grant: Some(id), ..self }
    }

    /// Says when to retry.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The refusal for a grant that does not exist and for one that the caller may not see: the two must look alike.
    #[must_use]
    pub fn no_such_grant(id: GrantId) -> Self {
        Self::new(RefusalKind::NotFound, "grant_not_found", format!("there is no grant `{id}` that you may see"))
    }

    /// The refusal for a cursor that names no page.
    #[must_use]
    pub fn no_such_page() -> Self {
        let detail = "invalid cursor: pass `next` unchanged, or omit it";
        Self::new(RefusalKind::Invalid, "cursor", detail)
    }

    /// The refusal for a page that could not be read. A store refuses only a cursor that it never handed out.
    #[must_use]
    pub fn of_page(error: PortError, cursor: Option<&str>) -> Self {
        if cursor.is_some() && matches!(error, PortError::Refused { .. }) { Self::no_such_page() } else { error.into() }
    }
}

impl From<ProofRefused> for Refusal {
    fn from(refused: ProofRefused) -> Self {
        let kind = match (refused.unavailable, refused.unregistered) {
            (true, _) => RefusalKind::Unavailable,
            (false, true) => RefusalKind::Unregistered,
            (false, false) => RefusalKind::Unauthenticated,
        };
        Self::new(kind, refused.code, refused.message)
    }
}

impl From<PortError> for Refusal {
    /// The log says what failed; the caller only learns that a dependency did not answer.
    fn from(error: PortError) -> Self {
        tracing::warn!(problem = error.chain(), "a call through a port failed");
        let detail = "a dependency did not answer, and nothing more was granted: retry with the same `Idempotency-Key`";
        Self::new(RefusalKind::Unavailable, "unavailable", detail).retry_after(2)
    }
}

impl From<EvaluatorError> for Refusal {
    fn from(error: EvaluatorError) -> Self {
        match error {
            EvaluatorError::UnknownEntitlement(_) => {
                Self::new(RefusalKind::Invalid, "entitlement_unknown", error.to_string())
            }
            EvaluatorError::InvalidRequest(invalid_request) => {
                Self::new(RefusalKind::Invalid, "invalid_request", invalid_request.to_string())
            }
            EvaluatorError::Refused(why) => Self::new(RefusalKind::Forbidden, "not_allowed", why),
            EvaluatorError::Unavailable(ref cause) => {
                tracing::error!(problem = %cause, "the policy bundle cannot be used: requests are not decided");
                let detail = "the policy bundle cannot be used, so nothing is decided: try again later";
                Self::new(RefusalKind::Unavailable, "bundle_unavailable", detail).retry_after(30)
            }
        }
    }
}
