//! The port through which an issuer's keys are read.

use async_trait::async_trait;

/// Reads an issuer's JWK set. Bounded in time and size; keeps nothing: the verifier does.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The JWK set at `uri`, as JSON, not yet read as keys.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if there was no answer that is JSON.
    async fn jwks(&self, uri: &str) -> Result<serde_json::Value, KeyError>;
}

/// Why an issuer's keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The HTTPS client could not be built.
    #[error("the HTTPS client could not be built")]
    Client {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer, or it stopped half way.
    #[error("the key endpoint did not answer")]
    Unreachable {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another answer than 200. Redirects are not followed.
    #[error("the key endpoint answered {status} instead of 200")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than is read.
    #[error("the key endpoint's answer is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
    /// The answer is not JSON.
    #[error("the key endpoint's answer is not JSON")]
    NotJson {
        /// Where reading stopped.
        #[source]
        source: serde_json::Error,
    },
    /// The JSON is not a JWK set.
    #[error("this is no JWK set: it has no array `keys`")]
    NoKeys,
}
