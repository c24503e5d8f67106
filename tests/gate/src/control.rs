//! `/_gate/…`: the calls by which tests and the runner control the gate. Loopback only.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Rule;
use crate::inbound::Inbound;
use crate::proxy::Gate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Orders {
    rules: Vec<Rule>,
}

/// The address of the token issuer; `None` if no issuer runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerAt {
    at: Option<SocketAddr>,
}

/// Answers a control call from `peer`.
pub(crate) fn answer(gate: &Gate, call: &Inbound, peer: SocketAddr) -> Response<Full<Bytes>> {
    if !peer.ip().is_loopback() {
        return json_answer(
            StatusCode::FORBIDDEN,
            &json!({ "error": "control calls must come from this machine (loopback)" }),
        );
    }
    match (&call.method, call.path()) {
        (&Method::GET, "/_gate/health") => {
            json_answer(StatusCode::OK, &json!({ "status": "ready", "battery_verdicts": gate.n_verdicts }))
        }
        (&Method::GET, "/_gate/log") => {
            let since =
                call.query().into_iter().find(|(name, _)| name == "since").map_or(Ok(0), |(_, value)| value.parse());
            match since {
                Ok(since) => json_answer(StatusCode::OK, &json!(gate.record.since(since))),
                Err(_) => bad("`since` must be a number: the last call number that you have read"),
            }
        }
        (&Method::GET, "/_gate/faults") => faults(gate),
        (&Method::POST, "/_gate/faults") => match serde_json::from_slice::<Orders>(&call.body) {
            Ok(orders) => match gate.faults.add(orders.rules) {
                Ok(()) => faults(gate),
                Err(error) => bad(&error.to_string()),
            },
            Err(error) => bad(&error.to_string()),
        },
        (&Method::DELETE, "/_gate/faults") => {
            gate.faults.clear();
            faults(gate)
        }
        (&Method::POST, "/_gate/issuer") => match serde_json::from_slice::<IssuerAt>(&call.body) {
            Ok(IssuerAt { at }) => {
                gate.issuer.set(at);
                json_answer(StatusCode::OK, &json!({ "at": at.map(|at| at.to_string()) }))
            }
            Err(error) => bad(&error.to_string()),
        },
        _ => json_answer(
            StatusCode::NOT_FOUND,
            &json!({ "error": "no such control route; see tests/gate/src/control.rs" }),
        ),
    }
}

fn faults(gate: &Gate) -> Response<Full<Bytes>> {
    json_answer(StatusCode::OK, &json!({ "rules": gate.faults.list() }))
}

fn bad(why: &str) -> Response<Full<Bytes>> {
    json_answer(StatusCode::BAD_REQUEST, &json!({ "error": why }))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
