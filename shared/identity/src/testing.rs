//! Real keys, hand-made tokens and a scripted key endpoint for the tests of this crate.
//!
//! `aws-lc-rs` signs the tokens directly, so that the code under test does not verify its own signatures.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brevet_domain::bundle::Index;
use brevet_domain::identity::Issuer;
use brevet_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::source::{KeyError, KeySource};

pub(crate) const ISS: &str = "https://issuer.example";
pub(crate) const URI: &str = "https://issuer.example/keys";
pub(crate) const ASK: &str = "brevet-dev";
pub(crate) const APPROVALS: &str = "brevet-dev-approvals";
pub(crate) const CREDENTIALS: &str = "brevet-dev-credentials";

/// 2026-11-22T12:00:00Z, in seconds.
pub(crate) const NOW_S: i64 = 1_795_348_800;

pub(crate) fn at(offset_s: i64) -> Timestamp {
    Timestamp::from_seconds(NOW_S + offset_s)
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs tokens like an issuer.
pub(crate) struct Signer {
    kid: &'static str,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The issuer's key for valid tokens.
pub(crate) static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::p256("es256"));
pub(crate) static ES384: LazyLock<Signer> = LazyLock::new(|| Signer {
    kid: "es384",
    pair: Pair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
});
pub(crate) static RS256: LazyLock<Signer> =
    LazyLock::new(|| Signer { kid: "rs256", pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) });

impl Signer {
    pub(crate) fn p256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid, pair: Pair::P256(pair) }
    }

    pub(crate) fn alg(&self) -> &'static str {
        match self.pair {
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// The public key as its issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::P256(pair) => elliptic("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => elliptic("P-384", pair.public_key().as_ref()),
            Pair::Rsa(pair) => json!({
                "kty": "RSA",
                "n": b64(pair.public_key().modulus().big_endian_without_leading_zero()),
                "e": b64(pair.public_key().exponent().big_endian_without_leading_zero()),
            }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.alg());
        jwk
    }

    /// The public key's bytes, which an attacker may use as an HMAC secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.alg(), "typ": "JWT", "kid": self.kid})
    }

    /// A token with the signer's own header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token of any header and claims texts, with a valid signature over them.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let rng = SystemRandom::new();
        let signature = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                let signature = pair.sign(&rng, message.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", b64(signature))
    }
}

fn elliptic(crv: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)})
}

pub(crate) fn jwks<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> Value {
    let keys: Vec<_> = signers.into_iter().map(Signer::jwk).collect();
    json!({ "keys": keys })
}

/// The claims of a valid token of the pipeline, for requests, with five minutes left.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISS,
        "sub": "repo:acme/shop:environment:production",
        "aud": ASK,
        "iat": NOW_S - 10,
        "nbf": NOW_S - 10,
        "exp": NOW_S + 300,
        "repository_id": 4711,
        "environment": "production",
        "run_id": "9001",
    })
}

/// [`claims`] with the members of `changes`. A null member removes the claim.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    all
}

/// An issuer with inline keys.
pub(crate) fn inline_issuer(jwks: &Value) -> Issuer {
    issuer(json!({ "jwks": jwks }))
}

/// An issuer with keys at [`URI`].
pub(crate) fn fetched_issuer() -> Issuer {
    issuer(json!({ "jwks_uri": URI }))
}

fn issuer(keys: Value) -> Issuer {
    serde_json::from_value(json!({
        "id": "example",
        "issuer": ISS,
        "algorithms": ["RS256", "ES256", "ES384"],
        "keys": keys,
    }))
    .unwrap()
}

/// The pipeline's proof rule, which [`claims`] meet.
pub(crate) fn rule() -> Value {
    json!({
        "issuer": "example",
        "claims": {"repository_id": "4711", "environment": "production"},
        "task": "run_id",
    })
}

/// An index with one issuer, and identities with these proof rules.
pub(crate) fn index(issuer: Issuer, identities: &[(&str, Value)]) -> Index {
    let identity = |(id, proofs): &(&str, Value)| {
        let identity = json!({
            "id": id, "class": "pipeline", "owner": "dana", "teams": [], "proofs": proofs,
        });
        ((*id).to_owned(), identity)
    };
    let identities: serde_json::Map<_, _> = identities.iter().map(identity).collect();
    serde_json::from_value(json!({
        "version": brevet_domain::bundle::INDEX_VERSION,
        "issuers": [issuer],
        "identities": identities,
        "n_buckets": 1,
        "parts": {},
    }))
    .unwrap()
}

/// An index with only the pipeline, whose issuer is `issuer`.
pub(crate) fn pipeline(issuer: Issuer) -> Index {
    index(issuer, &[("shop-release", json!([rule()]))])
}

/// One reply of a scripted key endpoint.
pub(crate) enum Answer {
    Keys(Value),
    Down,
}

/// A key endpoint that plays a script in order, and records its replies. It panics when the script is used up.
#[derive(Default)]
pub(crate) struct ScriptedKeys {
    script: Mutex<VecDeque<Answer>>,
    played: Mutex<Vec<&'static str>>,
}

impl ScriptedKeys {
    pub(crate) fn new(script: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), played: Mutex::default() })
    }

    /// The replies so far, in order: `keys` or `down`.
    pub(crate) fn played(&self) -> Vec<&'static str> {
        self.played.lock().unwrap().clone()
    }
}

#[async_trait]
impl KeySource for ScriptedKeys {
    async fn jwks(&self, uri: &str) -> Result<Value, KeyError> {
        assert_eq!(uri, URI);
        let answer = self.script.lock().unwrap().pop_front();
        let (played, answer) = match answer.expect("more fetches than the script allows") {
            Answer::Keys(jwks) => ("keys", Ok(jwks)),
            Answer::Down => ("down", Err(KeyError::Status { status: 503 })),
        };
        self.played.lock().unwrap().push(played);
        answer
    }
}
