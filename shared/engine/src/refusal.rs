//! Why a use case did not do what was asked, for the person who asked.

use std::borrow::Cow;

use brevet_domain::id::GrantId;
use serde::{Deserialize, Serialize};

use crate::port::{EvaluatorError, PortError, ProofRefused};

/// What kind of refusal it is: each has one HTTP status and one problem type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The proof is missing, wrong or for something else.
    Unauthenticated,
    /// The proof is good, but proves nobody who is registered.
    Unregistered,
    /// This caller may not do this.
    Forbidden,
    /// Policy or an approver said no to the grant.
    Denied,
    /// There is no such grant that this caller may see.
    NotFound,
    /// What is asked does not fit: entitlement, parameters, term, ticket.
    Unfit,
    /// It does not fit the state of things: wrong state, other digest, key used for another body.
    Conflict,
    /// The grant is over; what was asked can never be done with it.
    Over,
    /// Issuing has stopped, since ending is not known to work.
    Stopped,
    /// Something needed did not answer. Asking again later may help.
    Unavailable,
}

/// A refusal: kind, a short stable code, and what was wrong and would be right.
///
/// Its JSON form is how the evaluator hands one to intake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// A short stable name, e.g. `token_expired`.
    pub code: Cow<'static, str>,
    /// What was wrong and what would be right.
    pub detail: String,
    /// The grant that it is about, where the caller may know it.
    pub grant: Option<GrantId>,
    /// After how many seconds asking again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// A refusal about nothing in particular yet.
    #[must_use]
    pub fn new(kind: RefusalKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code: Cow::Borrowed(code), detail: detail.into(), grant: None, retry_after_s: None }
    }

    /// Names the grant that it is about.
    #[must_use]
    pub fn about(self, id: GrantId) -> Self {
        Self { grant: Some(id), ..self }
    }

    /// Says when to ask again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// No such grant, or none that the caller may see: the two must look alike.
    #[must_use]
    pub fn no_such_grant(id: GrantId) -> Self {
        Self::new(RefusalKind::NotFound, "grant_not_found", format!("there is no grant `{id}` that you may see"))
    }

    /// A cursor that names no page.
    #[must_use]
    pub fn no_such_page() -> Self {
        let detail = "the cursor is none that was handed out: give the `next` of a page as it was, or none";
        Self::new(RefusalKind::Unfit, "cursor", detail)
    }

    /// Why a page could not be read from `cursor` on: a store that refuses one says that it never handed it out.
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
    /// The caller learns that something did not answer; what exactly is in the log.
    fn from(error: PortError) -> Self {
        tracing::warn!(problem = error.chain(), "a call through a port failed");
        let detail = "something that is needed did not answer; nothing more was granted: ask again with the same key";
        Self::new(RefusalKind::Unavailable, "unavailable", detail).retry_after(2)
    }
}

impl From<EvaluatorError> for Refusal {
    fn from(error: EvaluatorError) -> Self {
        match error {
            EvaluatorError::UnknownEntitlement(_) => {
                Self::new(RefusalKind::Unfit, "entitlement_unknown", error.to_string())
            }
            EvaluatorError::Misfit(misfit) => Self::new(RefusalKind::Unfit, "request_unfit", misfit.to_string()),
            EvaluatorError::Refused(why) => Self::new(RefusalKind::Forbidden, "not_allowed", why),
            EvaluatorError::Unavailable(ref cause) => {
                tracing::error!(problem = %cause, "the policy bundle cannot be used: nothing is decided");
                let detail = "the policy bundle cannot be used, so nothing is decided; ask again later";
                Self::new(RefusalKind::Unavailable, "bundle_unavailable", detail).retry_after(30)
            }
        }
    }
}
