//! An issuer's public keys, read from its JWK set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brevet_domain::identity::TokenAlgorithm;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::source::KeyError;

/// The accepted algorithms and their names in a header.
pub(crate) const ALGORITHMS: [(TokenAlgorithm, &str); 3] =
    [(TokenAlgorithm::ES256, "ES256"), (TokenAlgorithm::ES384, "ES384"), (TokenAlgorithm::RS256, "RS256")];

/// A public key that verifies signatures of exactly one algorithm.
#[derive(Clone)]
pub(crate) struct PublicKey {
    kid: Option<String>,
    algorithm: TokenAlgorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// Reads a JWK; `None` if it is not a public key for signatures of an accepted algorithm.
    ///
    /// The key's type and curve fix the algorithm, so no header can turn an RSA key into an HMAC secret.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc7517#section-4>
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let (algorithm, key) = match (text("kty")?, text("crv")) {
            ("RSA", None) => (TokenAlgorithm::RS256, DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?),
            ("EC", Some("P-256")) => (TokenAlgorithm::ES256, elliptic(text("x")?, text("y")?, 32)?),
            ("EC", Some("P-384")) => (TokenAlgorithm::ES384, elliptic(text("x")?, text("y")?, 48)?),
            _ => return None,
        };
        let member_allows = |name: &str, check: &dyn Fn(&Value) -> bool| jwk.get(name).is_none_or(check);
        let is_usable = member_allows("use", &|it| it == "sig")
            && member_allows("alg", &|it| it == name_of(algorithm))
            && member_allows("key_ops", &|it| {
                it.as_array()
                    .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
            })
            && member_allows("kid", &Value::is_string)
            // A key published with its private half proves nothing.
            && member_allows("d", &|_| false);
        is_usable.then(|| Self { kid: text("kid").map(str::to_owned), algorithm, key })
    }

    /// Whether `signature` (base64url) over `message` was made with this key.
    pub(crate) fn verifies(&self, message: &str, signature: &str) -> bool {
        let algorithm = match self.algorithm {
            TokenAlgorithm::RS256 => Algorithm::RS256,
            TokenAlgorithm::ES256 => Algorithm::ES256,
            TokenAlgorithm::ES384 => Algorithm::ES384,
        };
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

/// The name of `algorithm` in a header.
pub(crate) fn name_of(algorithm: TokenAlgorithm) -> &'static str {
    match algorithm {
        TokenAlgorithm::RS256 => "RS256",
        TokenAlgorithm::ES256 => "ES256",
        TokenAlgorithm::ES384 => "ES384",
    }
}

fn elliptic(x: &str, y: &str, size_bytes: usize) -> Option<DecodingKey> {
    let fits = |part: &str| URL_SAFE_NO_PAD.decode(part).is_ok_and(|bytes| bytes.len() == size_bytes);
    (fits(x) && fits(y)).then(|| DecodingKey::from_ec_components(x, y).ok()).flatten()
}

/// The keys of one JWK set that have an accepted algorithm.
pub(crate) struct KeySet(Vec<PublicKey>);

/// The key of a set that a token's header names.
pub(crate) enum Choice<'a> {
    One(&'a PublicKey),
    NoMatch,
    Several,
}

impl KeySet {
    /// Reads a JWK set. It ignores keys of other kinds, as the standard requires.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc7517#section-5>
    pub(crate) fn from_jwks(jwks: &Value) -> Result<Self, KeyError> {
        let keys = jwks.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeyError::NoKeys)?;
        Ok(Self(keys.iter().filter_map(PublicKey::from_jwk).collect()))
    }

    /// The key for `algorithm` with this `kid`. Without a `kid`, the only key for `algorithm`.
    pub(crate) fn choose(&self, kid: Option<&str>, algorithm: TokenAlgorithm) -> Choice<'_> {
        let mut matching =
            self.0.iter().filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
        match (matching.next(), matching.next()) {
            (Some(key), None) => Choice::One(key),
            (None, _) => Choice::NoMatch,
            (Some(_), Some(_)) => Choice::Several,
        }
    }
}

#[cfg(test)]
mod tests;
