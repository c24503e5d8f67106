//! Problems (RFC 9457): what was wrong, and what would be right. The same for every refusal, whoever makes it.

use brevet_domain::id::GrantId;
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9457#section-3>
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of problem it is. The kind fixes type, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request cannot be read.
    Malformed,
    /// The body is longer than [`crate::read::MAX_BODY_BYTES`].
    TooLarge,
    /// The body says that it is no JSON.
    UnsupportedMedia,
    /// The proof is missing, wrong or for something else.
    Unauthenticated,
    /// The proof is good, but proves nobody who is registered.
    Unregistered,
    /// This caller may not do this.
    Forbidden,
    /// Policy or an approver said no to the grant.
    Denied,
    /// There is no such grant that this caller may see, or no such route.
    NotFound,
    /// It can be read, but does not fit: entitlement, parameters, term, ticket.
    Unfit,
    /// It does not fit the state of things.
    Conflict,
    /// The grant is over.
    Over,
    /// Issuing has stopped.
    IssuingStopped,
    /// Something needed did not answer.
    Unavailable,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Unauthenticated,
        Self::Unregistered,
        Self::Forbidden,
        Self::Denied,
        Self::NotFound,
        Self::Unfit,
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

    /// The same few words for every problem of this kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.form().2
    }

    fn form(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed => ("malformed", 400, "The request cannot be read"),
            Self::TooLarge => ("too-large", 413, "The body is too long"),
            Self::UnsupportedMedia => ("unsupported-media", 415, "The body must be JSON"),
            Self::Unauthenticated => ("unauthenticated", 401, "The proof does not hold"),
            Self::Unregistered => ("unregistered", 403, "The proof proves nobody registered"),
            Self::Forbidden => ("forbidden", 403, "The caller may not do this"),
            Self::Denied => ("denied", 403, "The grant was denied"),
            Self::NotFound => ("not-found", 404, "There is nothing here to see"),
            Self::Unfit => ("unfit", 422, "What is asked does not fit"),
            Self::Conflict => ("conflict", 409, "It does not fit the state of things"),
            Self::Over => ("over", 410, "The grant is over"),
            Self::IssuingStopped => ("issuing-stopped", 503, "Issuing has stopped"),
            Self::Unavailable => ("unavailable", 503, "Something needed did not answer"),
        }
    }
}

/// A refusal as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:brevet:problem:<slug>`: stable, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What was wrong here, and what would be right. Never a token or a justification.
    pub detail: String,
    /// A short stable name of exactly what is wrong, e.g. `token_expired`.
    pub code: String,
    /// The grant that it is about, where the caller may know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

impl Problem {
    /// A problem of `kind`, about no grant in particular.
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

    /// Names the grant that it is about.
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
    fn every_kind_has_its_own_type_and_a_failing_status() {
        let slugs: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
        assert!(ProblemKind::ALL.iter().all(|k| (400..600).contains(&k.status())));
    }

    #[test]
    fn the_wire_form_is_that_of_rfc_9457() {
        let problem = Problem::new(ProblemKind::Unfit, "term_out_of_range", "too long");
        let wire = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "urn:brevet:problem:unfit",
            "title": "What is asked does not fit",
            "status": 422,
            "detail": "too long",
            "code": "term_out_of_range",
        });
        assert_eq!(wire, expected);
    }
}
