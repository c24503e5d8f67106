//! Problems (RFC 9457): what was wrong and what to send instead. All functions use this form for every refusal.

use brevet_domain::id::GrantId;
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9457#section-3>
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The kind of a problem. It determines type, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request cannot be parsed.
    Malformed,
    /// The body is longer than [`crate::read::MAX_BODY_BYTES`].
    TooLarge,
    /// The content type of the body is not JSON.
    UnsupportedMedia,
    /// The proof is missing, invalid or has the wrong audience.
    Unauthenticated,
    /// The proof is valid, but the identity is not registered.
    Unregistered,
    /// The caller lacks the right for this operation.
    Forbidden,
    /// Policy or an approver denied the grant.
    Denied,
    /// The grant or route does not exist, or the caller may not see the grant.
    NotFound,
    /// The request was parsed, but entitlement, parameters, term or ticket are not valid.
    Invalid,
    /// The request conflicts with the current state.
    Conflict,
    /// The grant has ended.
    Over,
    /// Issuing has stopped.
    IssuingStopped,
    /// A required service did not answer.
    Unavailable,
}

impl ProblemKind {
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Unauthenticated,
        Self::Unregistered,
        Self::Forbidden,
        Self::Denied,
        Self::NotFound,
        Self::Invalid,
        Self::Conflict,
        Self::Over,
        Self::IssuingStopped,
        Self::Unavailable,
    ];

    /// The last part of the problem's type.
    #[must_use]
    pub fn slug(self) -> &'static str {
        self.form().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.form().1
    }

    /// The title that all problems of this kind share.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.form().2
    }

    fn form(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed => ("malformed", 400, "The request cannot be parsed"),
            Self::TooLarge => ("too-large", 413, "The request body is too long"),
            Self::UnsupportedMedia => ("unsupported-media", 415, "The request body must be JSON"),
            Self::Unauthenticated => ("unauthenticated", 401, "The proof of identity is missing or not valid"),
            Self::Unregistered => ("unregistered", 403, "The identity is not registered"),
            Self::Forbidden => ("forbidden", 403, "The caller may not do this"),
            Self::Denied => ("denied", 403, "The grant was denied"),
            Self::NotFound => ("not-found", 404, "The resource does not exist, or the caller may not see it"),
            Self::Invalid => ("invalid", 422, "The request is not valid"),
            Self::Conflict => ("conflict", 409, "The request conflicts with the current state"),
            Self::Over => ("over", 410, "The grant has ended"),
            Self::IssuingStopped => ("issuing-stopped", 503, "Issuing has stopped"),
            Self::Unavailable => ("unavailable", 503, "A required service did not answer"),
        }
    }
}

/// The wire form of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:brevet:problem:<slug>`: stable, so that programs can match on it.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    /// The HTTP status, repeated from the response.
    pub status: u16,
    /// What was wrong in this request and what to send instead. Never contains a token or a justification.
    pub detail: String,
    /// A short stable name of the exact error, e.g. `token_expired`.
    pub code: String,
    /// The affected grant, if the caller may know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

impl Problem {
    /// A problem of `kind` that names no grant.
    #[must_use]
    pub fn new(kind: ProblemKind, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:brevet:problem:{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            code: code.to_owned(),
            grant: None,
        }
    }

    /// Adds the affected grant.
    #[must_use]
    pub fn about(self, grant: Option<GrantId>) -> Self {
        Self { grant, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_problem_kind_has_its_own_type_and_an_error_status() {
        let slugs: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
        assert!(ProblemKind::ALL.iter().all(|k| (400..600).contains(&k.status())));
    }

    #[test]
    fn problem_has_the_wire_form_of_rfc_9457() {
        let problem = Problem::new(ProblemKind::Invalid, "term_out_of_range", "too long");
        let wire = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "urn:brevet:problem:invalid",
            "title": "The request is not valid",
            "status": 422,
            "detail": "too long",
            "code": "term_out_of_range",
        });
        assert_eq!(wire, expected);
    }
}
