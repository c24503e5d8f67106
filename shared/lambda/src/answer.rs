//! HTTP answers and problems, with one log line for each call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use brevet_api::problem::{MEDIA_TYPE, Problem, ProblemKind};
use brevet_api::read::BadInput;
use brevet_api::view::GrantView;
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use brevet_engine::records::GrantRecords;
use brevet_engine::refusal::{Refusal, RefusalKind};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::Call;

/// The default `Retry-After`, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// One HTTP answer. `Debug` does not show its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: BTreeMap<&'static str, String>,
    body: String,
    /// For the log: the affected grant.
    grant: Option<GrantId>,
    /// For the log: `ok`, or the problem's code.
    code: Cow<'static, str>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("code", &self.code).finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request cannot be parsed or is not valid.
    Bad(BadInput),
    /// The use case refused.
    Refused(Refusal),
}

impl From<BadInput> for Failure {
    fn from(bad: BadInput) -> Self {
        Self::Bad(bad)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Answer {
    /// Builds a JSON answer. No answer may be cached.
    #[must_use]
    pub fn json<T: Serialize>(status: u16, body: &T) -> Self {
        match serde_json::to_string(body) {
            Ok(body) => Self::new(status, "application/json", body, Cow::Borrowed("ok")),
            Err(error) => {
                tracing::error!(problem = %error, "cannot serialize an answer to JSON");
                let detail = "the answer could not be serialized; try again later";
                Self::problem(&Problem::new(ProblemKind::Unavailable, "answer_unwritable", detail))
            }
        }
    }

    /// Builds the answer that shows a grant.
    ///
    /// # Errors
    ///
    /// [`Refusal`] "no such grant" if the records hold neither request nor grant.
    pub fn grant(status: u16, id: GrantId, records: &GrantRecords, now: Timestamp) -> Result<Self, Refusal> {
        let GrantRecords { request, decision, grant } = records;
        GrantView::of(request.as_ref(), decision.as_ref(), grant.as_ref(), now)
            .map(|view| Self::json(status, &view).about(id))
            .ok_or_else(|| Refusal::no_such_grant(id))
    }

    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        let body = serde_json::to_string(problem).unwrap_or_default();
        let answer = Self::new(problem.status, MEDIA_TYPE, body, Cow::Owned(problem.code.clone()));
        // Source: <https://www.rfc-editor.org/rfc/rfc6750#section-3>
        let challenge = match (problem.status, problem.code.as_str()) {
            (401, "token_missing") => Some("Bearer"),
            (401, _) => Some(r#"Bearer error="invalid_token""#),
            _ => None,
        };
        let answer = match challenge {
            Some(challenge) => answer.with("www-authenticate", challenge),
            None => answer,
        };
        Self { grant: problem.grant, ..answer }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    /// Adds the affected grant, for the log.
    #[must_use]
    pub fn about(self, id: GrantId) -> Self {
        Self { grant: Some(id), ..self }
    }

    /// The body as JSON; null if it is not JSON.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn new(status: u16, media_type: &str, body: String, code: Cow<'static, str>) -> Self {
        let headers = [("content-type", media_type.to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers: headers.into(), body, grant: None, code }
    }

    fn event(&self) -> Value {
        json!({ "statusCode": self.status, "headers": self.headers, "body": self.body, "isBase64Encoded": false })
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Bad(bad) => Self::problem(&bad.into()),
            Failure::Refused(refusal) => {
                let answer = Self::problem(&problem(&refusal));
                match (refusal.retry_after_s, refusal.kind) {
                    (Some(seconds), _) => answer.with("retry-after", seconds.to_string()),
                    (None, RefusalKind::Unavailable | RefusalKind::Stopped) => {
                        answer.with("retry-after", RETRY_AFTER_S.to_string())
                    }
                    (None, _) => answer,
                }
            }
        }
    }
}

/// The wire form of a refusal.
#[must_use]
pub fn problem(refusal: &Refusal) -> Problem {
    let kind = match refusal.kind {
        RefusalKind::Unauthenticated => ProblemKind::Unauthenticated,
        RefusalKind::Unregistered => ProblemKind::Unregistered,
        RefusalKind::Forbidden => ProblemKind::Forbidden,
        RefusalKind::Denied => ProblemKind::Denied,
        RefusalKind::NotFound => ProblemKind::NotFound,
        RefusalKind::Invalid => ProblemKind::Invalid,
        RefusalKind::Conflict => ProblemKind::Conflict,
        RefusalKind::Over => ProblemKind::Over,
        RefusalKind::Stopped => ProblemKind::IssuingStopped,
        RefusalKind::Unavailable => ProblemKind::Unavailable,
    };
    Problem::new(kind, &refusal.code, refusal.detail.clone()).about(refusal.grant)
}

/// Refuses a route that the function does not serve, which happens only if template and code differ.
#[must_use]
pub fn no_route(call: &Call) -> Failure {
    let detail = format!("there is no route `{}`", call.route.chars().take(80).collect::<String>());
    Refusal::new(RefusalKind::NotFound, "route_unknown", detail).into()
}

/// Logs the outcome of a call once, and converts it to the form that API Gateway requires.
#[must_use]
pub fn finish(call: &Call, outcome: Result<Answer, Failure>) -> Value {
    let answer = outcome.unwrap_or_else(Answer::from);
    let Answer { status, code, grant, .. } = &answer;
    let grant = grant.map(|id| id.to_string());
    tracing::info!(
        route = call.route,
        status,
        code = code.as_ref(),
        grant.id = grant,
        "answered `{}` with {status}",
        call.route
    );
    answer.event()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: RefusalKind) -> Answer {
        Failure::Refused(Refusal::new(kind, "some_code", "some detail")).into()
    }

    #[test]
    fn answer_has_the_status_and_type_of_each_kind_of_refusal() {
        for (kind, status, slug) in [
            (RefusalKind::Unauthenticated, 401, "unauthenticated"),
            (RefusalKind::Unregistered, 403, "unregistered"),
            (RefusalKind::Forbidden, 403, "forbidden"),
            (RefusalKind::Denied, 403, "denied"),
            (RefusalKind::NotFound, 404, "not-found"),
            (RefusalKind::Invalid, 422, "invalid"),
            (RefusalKind::Conflict, 409, "conflict"),
            (RefusalKind::Over, 410, "over"),
            (RefusalKind::Stopped, 503, "issuing-stopped"),
            (RefusalKind::Unavailable, 503, "unavailable"),
        ] {
            let answer = refused(kind);
            assert_eq!((answer.status, answer.value()["status"].as_u64()), (status, Some(u64::from(status))));
            assert_eq!(answer.value()["type"], format!("urn:brevet:problem:{slug}"));
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
            assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        }
    }

    #[test]
    fn challenge_tells_an_invalid_token_from_a_missing_one() {
        assert_eq!(
            refused(RefusalKind::Unauthenticated).headers["www-authenticate"],
            r#"Bearer error="invalid_token""#
        );
        let missing = Refusal::new(RefusalKind::Unauthenticated, "token_missing", "there is no token");
        assert_eq!(Answer::from(Failure::Refused(missing)).headers["www-authenticate"], "Bearer");
    }

    #[test]
    fn answer_to_a_refusal_carries_retry_after_and_the_grant() {
        let id = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let refusal = Refusal::new(RefusalKind::Conflict, "changed", "again").about(id).retry_after(1);
        let answer = Answer::from(Failure::Refused(refusal));
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.value()["grant"], id.to_string());
    }

    #[test]
    fn answer_event_has_payload_format_2() {
        let event = Answer::json(200, &json!({"a": 1})).event();
        assert_eq!(event["statusCode"], 200);
        assert_eq!(event["headers"]["cache-control"], "no-store");
        assert_eq!((event["body"].as_str(), event["isBase64Encoded"].as_bool()), (Some(r#"{"a":1}"#), Some(false)));
    }
}
