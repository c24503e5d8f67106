//! A token before verification: parsed, and not trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brevet_domain::identity::{Issuer, TokenAlgorithm};
use serde_json::{Map, Value};

use crate::claims::Claims;
use crate::error::{ProofError, shown};
use crate::json;
use crate::keys::{ALGORITHMS, PublicKey, name_of};

/// The largest token that is read: 8 KiB, about API Gateway's limit for all headers together.
///
/// Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token whose signature is not verified. It reveals only its issuer and header, which serve to find the key.
pub(crate) struct UnverifiedToken<'a> {
    signed: &'a str,
    signature: &'a str,
    algorithm: TokenAlgorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a compact JWS.
    ///
    /// It never reads `jku`, `jwk`, `x5u` and `x5c`: a token cannot supply its own key.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc8725#section-3>
    ///
    /// # Errors
    ///
    /// [`ProofError::TooLarge`], [`ProofError::Malformed`] or [`ProofError::Algorithm`].
    pub(crate) fn parse(token: &'a str) -> Result<Self, ProofError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(ProofError::TooLarge { size_bytes: token.len(), max_bytes: MAX_TOKEN_BYTES });
        }
        let malformed = |wrong| ProofError::Malformed { wrong };
        let not_three_parts = || malformed("it does not have three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(not_three_parts)?;
        let (header, claims) = signed.split_once('.').ok_or_else(not_three_parts)?;
        let object = |part, wrong| {
            URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| json::object(&bytes)).ok_or_else(|| malformed(wrong))
        };
        let header = object(header, "its header is not a JSON object in base64url")?;
        let algorithm = algorithm(&header)?;
        if header.contains_key("crit") {
            return Err(malformed("its header has `crit`, and Brevet supports no extension"));
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(malformed("its `kid` is not a string")),
        };
        let claims = object(claims, "its claims are not a JSON object in base64url with each name once")?;
        Ok(Self { signed, signature, algorithm, kid, claims })
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one configured issuer with exactly the token's `iss`.
    pub(crate) fn issuer<'i>(&self, configured: &'i [Issuer]) -> Result<&'i Issuer, ProofError> {
        let iss = self.claims.get("iss").and_then(Value::as_str);
        let iss =
            iss.ok_or(ProofError::Claim { claim: "iss", expected: "the string that names a configured issuer" })?;
        let mut matching = configured.iter().filter(|issuer| issuer.issuer == iss);
        match (matching.next(), matching.next()) {
            (Some(issuer), None) => Ok(issuer),
            (Some(first), Some(second)) => {
                Err(ProofError::IssuerAmbiguous { first: first.id.clone(), second: second.id.clone() })
            }
            (None, _) => Err(ProofError::IssuerUnknown { found: shown(iss) }),
        }
    }

    /// The header's algorithm, if it is one of `issuer`'s.
    pub(crate) fn algorithm(&self, issuer: &Issuer) -> Result<TokenAlgorithm, ProofError> {
        if issuer.algorithms.contains(&self.algorithm) {
            return Ok(self.algorithm);
        }
        let accepted: Vec<_> = issuer.algorithms.iter().map(|it| name_of(*it)).collect();
        Err(ProofError::Algorithm { found: name_of(self.algorithm).to_owned(), accepted: accepted.join(", ") })
    }

    /// The claims, if the signature verifies with `key`. From then on `issuer` vouches for them.
    pub(crate) fn verified_by(self, key: &PublicKey, issuer: &Issuer) -> Result<Claims, ProofError> {
        if key.verifies(self.signed, self.signature) {
            Ok(Claims::new(self.claims))
        } else {
            Err(ProofError::Signature { issuer: issuer.id.clone() })
        }
    }
}

fn algorithm(header: &Map<String, Value>) -> Result<TokenAlgorithm, ProofError> {
    let alg = header.get("alg").and_then(Value::as_str);
    let alg = alg.ok_or(ProofError::Malformed { wrong: "its header has no `alg`" })?;
    let known = ALGORITHMS.iter().find(|(_, name)| *name == alg);
    known.map(|(algorithm, _)| *algorithm).ok_or_else(|| ProofError::Algorithm {
        found: shown(alg),
        accepted: ALGORITHMS.map(|(_, name)| name).join(", "),
    })
}
