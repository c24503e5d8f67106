//! The services behind the gate.

use std::net::SocketAddr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::config::BOOTSTRAP_KEY;
use crate::inbound::Inbound;

/// Headers that belong to one connection, not to the call.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
#[error("`{to}` did not answer: {why}")]
pub(crate) struct NoAnswer {
    to: SocketAddr,
    why: String,
}

/// Sends HTTP/1.1 calls.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Forwards `call` to `to` and reads the whole answer. Only the connection's headers change.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] if the answer is missing or incomplete.
    pub(crate) async fn forward(&self, to: SocketAddr, call: &Inbound) -> Result<Response<Bytes>, NoAnswer> {
        let why = |error: &dyn std::error::Error| NoAnswer { to, why: chain(error) };
        let path = call.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("http://{to}{path}").parse().map_err(|error: http::uri::InvalidUri| why(&error))?;
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = without_hops(&call.headers);
        let answer = self.client.request(request).await.map_err(|error| why(&error))?;
        let (mut parts, body) = answer.into_parts();
        let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
        let body = body.collect().await.map_err(|error| why(&error))?.to_bytes();
        parts.headers = without_hops(&parts.headers);
        // The answer to `HEAD` has a length, but no body.
        if let Some(length) = length.filter(|_| call.method == Method::HEAD) {
            parts.headers.insert(header::CONTENT_LENGTH, length);
        }
        Ok(Response::from_parts(parts, body))
    }

    /// Makes a call of the gate's own with the bootstrap key. The upstream checks no signature.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], as in [`Self::forward`].
    pub(crate) async fn ask(
        &self,
        to: SocketAddr,
        scope: &str,
        kind: Ask<'_>,
        now: DateTime<Utc>,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let credential = format!("{BOOTSTRAP_KEY}/{}/{scope}/aws4_request", now.format("%Y%m%d"));
        let signature = "0".repeat(64);
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set(
            "authorization",
            &format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={signature}"),
        );
        set("x-amz-date", &now.format("%Y%m%dT%H%M%SZ").to_string());
        let body = match kind {
            Ask::Form(body) => {
                set("content-type", "application/x-www-form-urlencoded");
                body
            }
            Ask::Json { target, body } => {
                set("content-type", "application/x-amz-json-1.0");
                set("x-amz-target", target);
                body
            }
        };
        let call = Inbound { method: Method::POST, uri: Uri::from_static("/"), headers, body: Bytes::from(body) };
        self.forward(to, &call).await
    }
}

/// The protocols of the gate's own calls.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    /// AWS Query.
    Form(String),
    /// AWS JSON.
    Json {
        /// `X-Amz-Target`.
        target: &'a str,
        /// The request body.
        body: String,
    },
}

fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in &HOP_BY_HOP {
        kept.remove(name);
    }
    kept
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
