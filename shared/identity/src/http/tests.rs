use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers every connection with the same bytes, or never. It counts the connections.
struct Server {
    uri: String,
    n_requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/keys", listener.local_addr().unwrap());
        let n_requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_requests);
        // The task ends with the test's runtime.
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 2048];
                    let _ = stream.read(&mut request).await;
                    match answer {
                        Some(answer) => drop(stream.write_all(&answer).await),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { uri, n_requests }
    }

    async fn answering(head: &str, body: &str) -> Self {
        Self::start(Some(format!("HTTP/1.1 {head}\r\n\r\n{body}").into())).await
    }

    fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::SeqCst)
    }

    async fn read(&self) -> Result<serde_json::Value, KeyError> {
        let source = HttpKeySource::without_tls(Duration::from_millis(1_500)).unwrap();
        let answer = source.jwks(&self.uri).await;
        assert_eq!(self.n_requests(), 1, "the server got exactly one request");
        answer
    }
}

#[tokio::test]
async fn jwks_reads_a_key_set() {
    let server = Server::answering("200 OK\r\ncontent-length: 11", r#"{"keys":[]}"#).await;
    assert_eq!(server.read().await.unwrap(), json!({"keys": []}));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::answering("200 OK\r\ncontent-length: 11", r#"{"keys":[]}"#).await;
    for status in [301, 302, 307, 308] {
        let head = format!("{status} Moved\r\nlocation: {}\r\ncontent-length: 0", target.uri);
        let error = Server::answering(&head, "").await.read().await.unwrap_err();
        assert_eq!(error.to_string(), format!("the key endpoint answered {status} instead of 200"));
    }
    assert_eq!(target.n_requests(), 0);
}

#[tokio::test]
async fn any_status_but_200_is_refused() {
    for status in [201, 404, 500, 503] {
        let head = format!("{status} X\r\ncontent-length: 11");
        let server = Server::answering(&head, r#"{"keys":[]}"#).await;
        let error = server.read().await.unwrap_err();
        assert!(matches!(error, KeyError::Status { status: s } if s == status), "{error}");
    }
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_with_or_without_content_length() {
    let padded = |n: usize| {
        let mut body = r#"{"keys":[]}"#.as_bytes().to_vec();
        body.resize(n, b' ');
        String::from_utf8(body).unwrap()
    };
    for head in ["200 OK\r\ncontent-length: ", "200 OK\r\nconnection: close"] {
        for (size, fits) in [(MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
            let head = match head.ends_with(' ') {
                true => format!("{head}{size}"),
                false => head.to_owned(),
            };
            let answer = Server::answering(&head, &padded(size)).await.read().await;
            assert_eq!(answer.is_ok(), fits, "{head} {size}");
            if let Err(error) = answer {
                assert!(matches!(error, KeyError::TooLarge { .. }), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_without_json_or_cut_off_is_refused() {
    let server = Server::answering("200 OK\r\ncontent-length: 6", "<html>").await;
    let error = server.read().await.unwrap_err();
    assert!(matches!(error, KeyError::NotJson { .. }), "{error}");

    let server = Server::answering("200 OK\r\ncontent-length: 50", r#"{"keys":[]}"#).await;
    let error = server.read().await.unwrap_err();
    assert!(matches!(error, KeyError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_unreachable_after_the_time_out() {
    let server = Server::start(None).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), server.read()).await;
    let error = answer.expect("still waiting").unwrap_err();
    assert!(matches!(error, KeyError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(listener);
    let source = HttpKeySource::without_tls(Duration::from_secs(1)).unwrap();
    let error = source.jwks(&uri).await.unwrap_err();
    assert!(matches!(error, KeyError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_default_source_sends_no_request_without_tls() {
    let server = Server::answering("200 OK\r\ncontent-length: 11", r#"{"keys":[]}"#).await;
    let source = HttpKeySource::new().unwrap();
    let error = source.jwks(&server.uri).await.unwrap_err();
    assert!(matches!(error, KeyError::Unreachable { .. }), "{error}");
    assert_eq!(server.n_requests(), 0);
}
