//! Reads keys over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect;

use crate::source::{KeyError, KeySource};

/// The most bytes of an answer that are read: 256 KiB. Large issuers publish about 20 KiB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads JWK sets over HTTPS only, without redirects. Bounds: 2 s to connect, 3 s in total, 256 KiB.
#[derive(Clone, Debug)]
pub struct HttpKeySource {
    client: reqwest::Client,
}

impl HttpKeySource {
    /// Builds the client. Build it once and keep it for the life of the process.
    ///
    /// # Errors
    ///
    /// [`KeyError::Client`] if the TLS configuration is unusable.
    pub fn new() -> Result<Self, KeyError> {
        Self::build(Self::client(TOTAL_TIMEOUT).https_only(true))
    }

    /// A source that also reads from a local server without TLS.
    #[cfg(test)]
    fn without_tls(total: Duration) -> Result<Self, KeyError> {
        Self::build(Self::client(total).no_proxy())
    }

    fn client(total: Duration) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(total)
    }

    fn build(client: reqwest::ClientBuilder) -> Result<Self, KeyError> {
        let client = client.build().map_err(|source| KeyError::Client { source: Box::new(source) })?;
        Ok(Self { client })
    }
}

fn unreachable(source: reqwest::Error) -> KeyError {
    KeyError::Unreachable { source: Box::new(source) }
}

#[async_trait]
impl KeySource for HttpKeySource {
    async fn jwks(&self, uri: &str) -> Result<serde_json::Value, KeyError> {
        let request = self.client.get(uri).header("accept", "application/json");
        let mut answer = request.send().await.map_err(unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(KeyError::Status { status: answer.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
                return Err(KeyError::TooLarge { max_bytes: MAX_BODY_BYTES });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|source| KeyError::NotJson { source })
    }
}

#[cfg(test)]
mod tests;
