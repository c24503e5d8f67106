//! The gate's HTTP side.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::control;
use crate::inbound::Inbound;
use crate::proxy::{Connected, Dropped, SharedGate};

/// The largest accepted body, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Serves connections from `listener` until the task is dropped.
pub(crate) async fn serve(gate: SharedGate, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok();
                    let service = service_fn(|request| answer(Arc::clone(&gate), request, peer));
                    // An error here is a connection that closed, or that the gate closed on purpose.
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
            Err(error) => tracing::warn!("a connection could not be accepted: {error}"),
        }
    }
}

async fn answer(
    gate: SharedGate,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut answer = Response::new(Full::new(Bytes::from_static(b"the body is incomplete or longer than 64 MiB")));
        *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(answer);
    };
    let inbound = Inbound { method: parts.method, uri: parts.uri, headers: parts.headers, body: body.to_bytes() };
    if inbound.path().starts_with("/_gate/") {
        return Ok(control::answer(&gate, &inbound, peer));
    }
    // Dropped with this future when the caller's connection closes.
    let connected = Arc::new(Connected);
    let caller = Arc::downgrade(&connected);
    // In a separate task: a forwarded call must be logged even if its caller hangs up or is killed meanwhile.
    let answer = tokio::spawn(async move { gate.handle(inbound, caller).await }).await;
    drop(connected);
    answer
        .map_err(io::Error::other)?
        .map_err(|dropped: Dropped| io::Error::new(io::ErrorKind::ConnectionAborted, dropped))
}
