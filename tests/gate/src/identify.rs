//! `GetWebIdentityToken`, which the emulator does not have: decided by the gate like any other call, and answered by
//! whoever signs tokens for this run.
//!
//! The issuer is an HTTP server on this machine that tests name by `POST /_gate/issuer`. It is told the role that asks, as
//! AWS would put it into `sub`, with the audiences, and answers with the token alone.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, Method, Response, Uri};
use serde_json::json;

use crate::caller::Caller;
use crate::clock;
use crate::inbound::Inbound;
use crate::map::Service;
use crate::proxy::Gate;
use crate::record::Entry;
use crate::refuse::Refusal;
use crate::xml::escape;

/// How long a token lives unless the call says otherwise, in seconds.
const DEFAULT_S: i64 = 300;

/// Where tokens are signed.
#[derive(Debug, Default)]
pub(crate) struct Issuer {
    at: Mutex<Option<SocketAddr>>,
}

impl Issuer {
    /// From now on tokens are signed at `at`.
    pub(crate) fn set(&self, at: Option<SocketAddr>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn at(&self) -> Option<SocketAddr> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `operation` is answered here.
pub(crate) fn is_ours(service: Option<Service>, operation: &str) -> bool {
    service == Some(Service::Sts) && operation == "GetWebIdentityToken"
}

impl Gate {
    /// Answers `inbound`, which is allowed, with a token for `caller`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if nobody signs tokens, or who does gives none for this role.
    pub(crate) async fn identify(
        &self,
        caller: &Caller,
        inbound: &Inbound,
        entry: &mut Entry,
    ) -> Result<Response<Bytes>, Refusal> {
        let form = inbound.form();
        let disabled = || Refusal::Invalid {
            code: "OutboundWebIdentityFederationDisabled",
            message: "Outbound web identity federation is not enabled for this account.".to_owned(),
        };
        let Caller::Session(session) = caller else { return Err(disabled()) };
        let at = self.issuer.at().ok_or_else(disabled)?;
        let life_s = form.field("DurationSeconds").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_S);
        let asked = json!({
            "role_arn": session.role_arn, "audience": form.members("Audience", None), "life_s": life_s,
        });
        let call = Inbound {
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: Bytes::from(asked.to_string()),
        };
        let signed = self.upstream.forward(at, &call).await.map_err(|error| Refusal::Upstream(error.to_string()))?;
        let token = std::str::from_utf8(signed.body()).ok().filter(|_| signed.status().is_success());
        let token = token.ok_or_else(|| Refusal::Upstream("the issuer gave no token".to_owned()))?;
        let id = format!("gate-{:08}", entry.n);
        entry.request_id = Some(id.clone());
        let expires_at = clock::now().checked_add_signed(TimeDelta::seconds(life_s)).unwrap_or_else(clock::now);
        let answer = format!(
            "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetWebIdentityTokenResult><WebIdentityToken>{}</WebIdentityToken><Expiration>{}</Expiration></GetWebIdentityTokenResult><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>",
            escape(token),
            clock::seconds(expires_at),
        );
        let mut answer = Response::new(Bytes::from(answer));
        let headers = answer.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("text/xml"));
        if let Ok(id) = id.parse() {
            headers.insert("x-amzn-requestid", id);
        }
        Ok(answer)
    }
}
