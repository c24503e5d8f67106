//! The port that reads an issuer's keys.

use async_trait::async_trait;

/// Reads an issuer's JWK set, bounded in time and size. The verifier caches the keys, not the source.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Fetches the JWK set at `uri` as JSON. The caller parses the keys.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the endpoint gave no JSON answer.
    async fn jwks(&self, uri: &str) -> Result<serde_json::Value, KeyError>;
}

/// The reason that an issuer's keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the HTTPS client could not be built")]
    Client {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The endpoint did not answer, or the answer broke off.
    #[error("the key endpoint did not answer")]
    Unreachable {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The status is not 200. The source follows no redirects.
    #[error("the key endpoint answered {status} instead of 200")]
    Status { status: u16 },
    #[error("the key endpoint's answer is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the key endpoint's answer is not JSON")]
    NotJson {
        #[source]
        source: serde_json::Error,
    },
    #[error("this JSON is not a JWK set: it has no array `keys`")]
    NoKeys,
}
