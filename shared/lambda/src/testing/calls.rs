//! Builds HTTP events in API Gateway's form and parses the answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// An HTTP event under construction.
#[derive(Clone, Debug)]
pub struct HttpCall(Value);

impl HttpCall {
    /// A call of `route`, e.g. `GET /v1/grants/{id}`.
    #[must_use]
    pub fn to(route: &str) -> Self {
        let method = route.split(' ').next().unwrap_or_default();
        Self(json!({
            "version": "2.0", "routeKey": route, "rawPath": "/", "rawQueryString": "", "headers": {},
            "requestContext": {"http": {"method": method}}, "isBase64Encoded": false,
        }))
    }

    /// Adds a bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.within("headers", name, value)
    }

    /// Sets `{id}` of the path.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.within("pathParameters", "id", id)
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(self, name: &str, value: &str) -> Self {
        self.within("queryStringParameters", name, value)
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, text: &str) -> Self {
        let Self(mut event) = self;
        if let Some(fields) = event.as_object_mut() {
            fields.insert("body".to_owned(), json!(text));
        }
        Self(event)
    }

    #[must_use]
    pub fn event(self) -> Value {
        self.0
    }

    fn within(self, field: &str, name: &str, value: &str) -> Self {
        let Self(mut event) = self;
        if let Some(fields) = event.as_object_mut() {
            let inner = fields.entry(field).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                inner.insert(name.to_owned(), json!(value));
            }
        }
        Self(event)
    }
}

/// Splits an HTTP answer into status, headers and body.
#[must_use]
pub fn split_answer(event: &Value) -> (u64, BTreeMap<String, String>, Value) {
    let status = event.get("statusCode").and_then(Value::as_u64).unwrap_or(0);
    let headers = event.get("headers").cloned().and_then(|h| serde_json::from_value(h).ok()).unwrap_or_default();
    let body = event.get("body").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    (status, headers, body.unwrap_or_default())
}
