//! A server that plays one scripted reply per call over plain HTTP/1.1, and records the calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The server's reaction to one call, after it read all of the call.
pub(crate) enum Reply {
    /// The server answers.
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: String },
    /// The server closes the connection without an answer: the call may have taken effect.
    Hangup,
    /// The server closes the connection without an answer, and accepts no more calls.
    HangupForGood,
    /// The server stays silent for longer than any client waits.
    Silence,
    /// The answer breaks off in the middle.
    Half,
}

pub(crate) struct Server {
    address: SocketAddr,
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<String>>,
}

impl Server {
    pub(crate) async fn start(replies: Vec<Reply>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            script: Mutex::new(replies.into()),
            requests: Mutex::default(),
        });
        tokio::spawn(server.clone().listen(listener));
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of calls. Each call gets the next reply.
    pub(crate) fn n_played(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The heads and bodies of the calls.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(request) = read_request(&mut stream).await else { continue };
            self.requests.lock().unwrap().push(request);
            let reply = self.script.lock().unwrap().pop_front();
            match reply {
                Some(Reply::HangupForGood) => return,
                Some(Reply::Hangup) => {}
                Some(Reply::Silence) => {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(30)).await;
                        drop(stream);
                    });
                }
                Some(Reply::Half) => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Item\":";
                    stream.write_all(head.as_bytes()).await.unwrap();
                }
                Some(Reply::Answer { status, headers, body }) => answer(&mut stream, status, &headers, &body).await,
                None => answer(&mut stream, 418, &[], "the script has no more replies").await,
            }
        }
    }
}

/// Answers and closes the connection, so that each call uses its own connection.
async fn answer(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &str) {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Reads a request's head and the body that its `content-length` announces.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
