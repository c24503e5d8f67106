//! Client of the HTTP API. It sends a fresh proof with each call and accepts only documented answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brevet_api::answer::ProcessCredentials;
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::identity::Audience;
use brevet_domain::time::{Term, Timestamp};
use brevet_engine::port::{Credentials, GrantProgress, Grants, PortError, PortResult, ProofSource};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// The maximum size of an answer, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The API itself may take 30 s, which is too long for a tick.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);

/// The API at one URL.
#[derive(Clone)]
pub(crate) struct HttpGrants {
    client: Client,
    url: String,
    proofs: Arc<dyn ProofSource>,
}

/// The fields of a grant view that the drill uses.
#[derive(Deserialize)]
struct GrantAnswer {
    id: GrantId,
    state: String,
    deadline: Option<Timestamp>,
}

/// The fields of a problem that the drill uses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemAnswer {
    code: String,
    detail: String,
}

impl HttpGrants {
    /// Calls the API at `url`: no redirects, 15 s for a call.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up.
    pub(crate) fn new(url: &str, proofs: Arc<dyn ProofSource>) -> Result<Self, reqwest::Error> {
        let client = Client::builder().redirect(redirect::Policy::none()).referer(false);
        let client = client.connect_timeout(CONNECT_TIMEOUT).timeout(TOTAL_TIMEOUT).build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), proofs })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        (method, path, audience): (Method, &str, Audience),
        with: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> PortResult<T> {
        let proof = self.proofs.proof(audience).await?;
        let call = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(proof.expose());
        let unknown = |error: reqwest::Error| PortError::Unknown { operation, source: error.without_url().into() };
        let mut answer = with(call).send().await.map_err(unknown)?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(unknown)? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
                return Err(PortError::Unreadable { operation, what: "the answer is longer than 256 KiB".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        read(operation, status, &body)
    }
}

/// Reads an answer. An error keeps the problem's code and detail, but never any text of an answer with credentials.
fn read<T: DeserializeOwned>(operation: &'static str, status: StatusCode, body: &[u8]) -> PortResult<T> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            let what = format!("line {}, column {}", error.line(), error.column());
            PortError::Unreadable { operation, what }
        });
    }
    let problem: ProblemAnswer = serde_json::from_slice(body).unwrap_or_default();
    let source = format!("{status}: {} {}", problem.code, problem.detail).into();
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => PortError::NotDone { operation, source },
        status if status.is_client_error() => PortError::Refused { operation, source },
        _ => PortError::Unknown { operation, source },
    })
}

#[async_trait]
impl Grants for HttpGrants {
    async fn ask(&self, key: &str, entitlement: &EntitlementId, term: Term) -> PortResult<GrantId> {
        let body = json!({ "entitlement": entitlement, "term_s": term.as_seconds() }).to_string();
        let with = |call: RequestBuilder| {
            call.header("idempotency-key", key).header("content-type", "application/json").body(body)
        };
        let call = (Method::POST, "/v1/grants", Audience::Ask);
        self.call::<GrantAnswer>("POST /v1/grants", call, with).await.map(|answer| answer.id)
    }

    async fn show(&self, id: GrantId) -> PortResult<GrantProgress> {
        let operation = "GET /v1/grants/{id}";
        let path = format!("/v1/grants/{id}");
        let answer: GrantAnswer = self.call(operation, (Method::GET, &path, Audience::Ask), |call| call).await?;
        match (answer.state.as_str(), answer.deadline) {
            ("Requested" | "ApprovalAwaited" | "Approved" | "Activating", _) => Ok(GrantProgress::Waiting),
            ("Active", Some(deadline)) => Ok(GrantProgress::Live(deadline)),
            ("Denied" | "Lapsed" | "Withdrawn" | "Revoking" | "Ended", _) => Ok(GrantProgress::Over),
            (state, _) => {
                let what = format!("unknown state, or no deadline: `{state}`");
                Err(PortError::Unreadable { operation, what })
            }
        }
    }

    async fn fetch(&self, id: GrantId) -> PortResult<Credentials> {
        let path = format!("/v1/grants/{id}/credentials");
        let call = (Method::POST, path.as_str(), Audience::Credentials);
        let answer: ProcessCredentials = self.call("POST /v1/grants/{id}/credentials", call, |call| call).await?;
        let ProcessCredentials { access_key_id, secret_access_key, session_token, .. } = answer;
        Ok(Credentials { access_key_id, secret_access_key, session_token })
    }
}

#[cfg(test)]
mod tests;
