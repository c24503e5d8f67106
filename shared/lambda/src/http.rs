//! HTTP calls in API Gateway's payload format 2.0, reduced to the fields that Brevet uses.
//!
//! Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brevet_api::read::{self, BadInput, RawBody};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_engine::port::RawProof;
use brevet_engine::refusal::Refusal;
use serde::Deserialize;
use serde_json::Value;

use crate::proof::refused;

/// One HTTP call. `Debug` shows neither headers nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The matched route, e.g. `GET /v1/grants/{id}`.
    pub route: String,
    /// The `{id}` of the path, not parsed: a grant, an identity or a revocation key.
    pub id: Option<String>,
    pub query: BTreeMap<String, String>,
    /// Headers by lower-case name.
    headers: BTreeMap<String, String>,
    /// The body after base64 decoding.
    body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent {
    route_key: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    query_string_parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    path_parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl Call {
    /// Reads the event of an HTTP API; `None` if it is another event.
    #[must_use]
    pub fn from_event(event: Value) -> Option<Self> {
        let event: HttpEvent = serde_json::from_value(event).ok()?;
        let text = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded { STANDARD.decode(text).ok()? } else { text.into_bytes() };
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        Some(Self {
            route: event.route_key,
            id: event.path_parameters.unwrap_or_default().remove("id"),
            query: event.query_string_parameters.unwrap_or_default(),
            headers: event.headers.unwrap_or_default().into_iter().map(lower).collect(),
            body,
        })
    }

    /// A header, by lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body with its content type.
    #[must_use]
    pub fn body(&self) -> RawBody<'_> {
        RawBody { content_type: self.header("content-type"), bytes: &self.body }
    }

    /// The bearer token, not verified.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the header is missing or holds anything but a bearer token.
    pub fn proof(&self) -> Result<RawProof, Refusal> {
        let token = brevet_identity::bearer(self.header("authorization"));
        token.map(RawProof::new).map_err(|error| refused(&error).into())
    }

    /// The grant that the path names.
    ///
    /// # Errors
    ///
    /// [`BadInput`] if the id is not a grant id.
    pub fn grant_id(&self) -> Result<GrantId, BadInput> {
        read::grant_id(self.id.as_deref())
    }

    /// The identity that the path names.
    ///
    /// # Errors
    ///
    /// [`BadInput`] if the id is not an identity id.
    pub fn identity_id(&self) -> Result<IdentityId, BadInput> {
        read::identity_id(self.id.as_deref())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("route", &self.route).field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn call_keeps_only_the_used_fields_of_an_event() {
        let event = json!({
            "version": "2.0", "routeKey": "POST /v1/grants/{id}/release", "rawPath": "/v1/grants/x/release",
            "rawQueryString": "", "headers": {"Authorization": "Bearer a.b.c", "content-type": "application/json"},
            "requestContext": {"http": {"method": "POST"}}, "pathParameters": {"id": "x"},
            "body": "e30=", "isBase64Encoded": true,
        });
        let call = Call::from_event(event).unwrap();
        assert_eq!((call.route.as_str(), call.id.as_deref()), ("POST /v1/grants/{id}/release", Some("x")));
        assert_eq!(call.body().bytes, b"{}");
        assert_eq!(call.proof().unwrap().expose(), "a.b.c");
        assert!(!format!("{call:?}").contains("a.b.c"));
    }

    #[test]
    fn call_refuses_a_missing_or_malformed_token() {
        for (header, code) in
            [(None, "token_missing"), (Some("Basic x"), "token_header"), (Some("Bearer"), "token_header")]
        {
            let headers = header.map_or(json!({}), |text| json!({ "authorization": text }));
            let call = Call::from_event(json!({"routeKey": "GET /v1/grants", "headers": headers})).unwrap();
            assert_eq!(call.proof().unwrap_err().code, code);
        }
    }

    #[test]
    fn call_rejects_an_event_that_is_not_http() {
        assert_eq!(Call::from_event(json!({"headers": {}})), None);
        assert_eq!(Call::from_event(json!({"routeKey": "x", "body": "%", "isBase64Encoded": true})), None);
    }
}
