//! `GetWebIdentityToken`, which the emulator does not have. The gate decides it like any other call; the token issuer
//! of this run answers it.
//!
//! The issuer is an HTTP server on this machine, which tests name by `POST /_gate/issuer`. The gate sends it the
//! asking role, as AWS would put it into `sub`, and the audiences. The issuer answers with the token alone.

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

/// The default lifetime of a token, in seconds.
const DEFAULT_S: i64 = 300;

/// The address of the token issuer.
#[derive(Debug, Default)]
pub(crate) struct Issuer {
    at: Mutex<Option<SocketAddr>>,
}

impl Issuer {
    /// Sets the issuer's address to `at`.
    pub(crate) fn set(&self, at: Option<SocketAddr>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn at(&self) -> Option<SocketAddr> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the gate answers `operation` here.
pub(crate) fn is_ours(service: Option<Service>, operation: &str) -> bool {
    service == Some(Service::Sts) && operation == "GetWebIdentityToken"
}

impl Gate {
    /// Answers the allowed call `inbound` with a token for `caller`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is no issuer, or if it gives no token for this role.
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
        let order = json!({
            "role_arn": session.role_arn, "audience": form.members("Audience", None), "life_s": life_s,
        });
        let call = Inbound {
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: Bytes::from(order.to_string()),
        };
        let signed = self.upstream.forward(at, &call).await.map_err(|error| Refusal::Upstream(error.to_string()))?;
        let token = std::str::from_utf8(signed.body()).ok().filter(|_| signed.status().is_success());
        let token = token
            .ok_or_else(|| Refusal::Upstream("the token issuer answered with an error or with no token".to_owned()))?;
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
