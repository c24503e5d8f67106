//! Tokens: accepted only if complete, validly signed, for this use, and valid now. Everything else is refused.
//!
//! Each start makes new keys, so a failure prints the token, the claims and the expected verdict.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brevet_chance::Chance;
use brevet_domain::bundle::Index;
use brevet_domain::identity::Audience;
use brevet_domain::time::Timestamp;
use brevet_identity::{Audiences, KeyError, KeySource, MAX_LIFE_S, MAX_TOKEN_BYTES, Verifier, bearer};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{error_text, must};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

pub(crate) const TARGET: Target = Target {
    name: "tokens",
    holds: "only a complete, validly signed token for this use and valid now is accepted",
    full: 1_200_000,
    short: 1_500,
    reaches: &["accepted", "refused", "header read", "header refused", "token_signature", "token_malformed"],
    start: || Ok(Box::new(Tokens::new()?)),
};

const NOW_S: i64 = 1_795_348_800;
const LEEWAY_S: i64 = 60;
const USES: [(Audience, &str); 3] = [
    (Audience::Ask, "brevet-dev"),
    (Audience::Approvals, "brevet-dev-approvals"),
    (Audience::Credentials, "brevet-dev-credentials"),
];

const WORDS: [&str; 16] = [
    ".",
    "..",
    "=",
    "eyJhbGciOiJub25lIn0",
    "eyJhbGciOiJIUzI1NiJ9",
    "Bearer ",
    "bearer",
    " ",
    ",",
    "AA",
    "A",
    "-",
    "_",
    "+",
    "/",
    "\n",
];

/// A key endpoint that never answers. All keys are in the index.
struct NoKeys;

#[async_trait]
impl KeySource for NoKeys {
    async fn jwks(&self, _uri: &str) -> Result<Value, KeyError> {
        Err(KeyError::NoKeys)
    }
}

enum Signer {
    Elliptic(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

struct Tokens {
    runtime: Runtime,
    verifier: Verifier,
    index: Index,
    random: SystemRandom,
    /// Issuer, header and key.
    signers: [(&'static str, Value, Signer); 2],
    stranger: Signer,
    secret: hmac::Key,
    /// Valid tokens, with the use and the claims of each.
    valid_tokens: Vec<(String, usize, Value)>,
    headers: Vec<Value>,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn elliptic() -> Result<EcdsaKeyPair, String> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(error_text)
}

fn claims(iss: &str, aud: &str) -> Value {
    json!({
        "iss": iss, "sub": "repo:acme/shop", "aud": aud, "iat": NOW_S - 10, "nbf": NOW_S - 10, "exp": NOW_S + 300,
        "repository_id": 4711, "environment": "production", "run_id": "9001", "nested": {"a": [1, true, null]},
    })
}

impl Tokens {
    fn new() -> Result<Self, String> {
        let (pair, rsa) = (elliptic()?, RsaKeyPair::generate(KeySize::Rsa2048).map_err(error_text)?);
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        let (n, e) = (
            b64(rsa.public_key().modulus().big_endian_without_leading_zero()),
            b64(rsa.public_key().exponent().big_endian_without_leading_zero()),
        );
        let issuer = |id: &str, algorithm: &str, key: Value| {
            json!({
                "id": id, "issuer": format!("https://{id}.example"), "algorithms": [algorithm],
                "keys": {"jwks": {"keys": [key]}},
            })
        };
        let rule = |issuer: &str| json!({"issuer": issuer, "claims": {"repository_id": "4711", "environment": "production"}, "task": "run_id"});
        let index = json!({
            "version": 2,
            "issuers": [
                issuer("elliptic", "ES256", json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k1", "use": "sig"})),
                issuer("rsa", "RS256", json!({"kty": "RSA", "n": n, "e": e, "kid": "k1", "use": "sig"})),
            ],
            "identities": {
                "release-pipeline": {
                    "id": "release-pipeline", "class": "pipeline", "owner": "dana", "teams": [],
                    "proofs": [rule("elliptic"), rule("rsa")],
                },
            },
            "n_buckets": 1, "parts": {},
        });
        let audiences =
            Audiences { ask: USES[0].1.to_owned(), approvals: USES[1].1.to_owned(), credentials: USES[2].1.to_owned() };
        let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": "k1"});
        let signers = [
            ("https://elliptic.example", header("ES256"), Signer::Elliptic(pair)),
            ("https://rsa.example", header("RS256"), Signer::Rsa(rsa)),
        ];
        let headers = vec![
            header("ES256"),
            header("RS256"),
            header("none"),
            header("HS256"),
            header("ES384"),
            header("RS512"),
            json!({"alg": "ES256"}),
            json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "ES256", "kid": "k1", "jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "jku": "https://x.example"}),
        ];
        let mut tokens = Self {
            runtime: Builder::new_current_thread().build().map_err(error_text)?,
            verifier: Verifier::new(audiences, LEEWAY_S as u32, Arc::new(NoKeys)),
            index: serde_json::from_value(index).map_err(error_text)?,
            random: SystemRandom::new(),
            signers,
            stranger: Signer::Elliptic(elliptic()?),
            // The public key as an HMAC secret: a verifier that trusts the header's algorithm would use it.
            secret: hmac::Key::new(hmac::HMAC_SHA256, &point),
            valid_tokens: Vec::new(),
            headers,
        };
        for (iss, header, signer) in &tokens.signers {
            for (which, (_, aud)) in USES.iter().enumerate() {
                let claims = claims(iss, aud);
                tokens.valid_tokens.push((
                    tokens.sign(signer, &header.to_string(), &claims.to_string())?,
                    which,
                    claims,
                ));
            }
        }
        Ok(tokens)
    }

    fn sign(&self, signer: &Signer, header: &str, claims: &str) -> Result<String, String> {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature = match signer {
            Signer::Elliptic(pair) => {
                pair.sign(&self.random, message.as_bytes()).map_err(error_text)?.as_ref().to_vec()
            }
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature).map_err(error_text)?;
                signature
            }
        };
        Ok(format!("{message}.{}", b64(signature)))
    }

    /// A text that is not a valid token, except by chance.
    fn invalid(&self, chance: &mut Chance) -> Result<String, String> {
        let (text, _, claims) = chance.pick(&self.valid_tokens);
        let parts: Vec<&str> = text.split('.').collect();
        match chance.below(8) {
            // Mutated characters.
            0..=2 => {
                let others: Vec<&[u8]> = self.valid_tokens.iter().map(|(text, _, _)| text.as_bytes()).collect();
                Ok(mutate::text(chance, text, &others, &WORDS))
            }
            // One character of the signature: each signature has one encoding.
            3 => {
                let (rest, signature) = text.rsplit_once('.').ok_or("no signature")?;
                let mut signature = signature.as_bytes().to_vec();
                let at = if chance.one_in(2) { signature.len() - 1 } else { chance.below(signature.len()) };
                signature[at] = *chance.pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
                Ok(format!("{rest}.{}", String::from_utf8_lossy(&signature)))
            }
            // Changed claims or header, with the original signature.
            4 => {
                let (mut header, mut claims) = (chance.pick(&self.headers).clone(), claims.clone());
                if chance.one_in(2) {
                    mutate::json(chance, &mut claims, &self.headers)
                } else {
                    mutate::json(chance, &mut header, &[])
                }
                Ok(format!("{}.{}.{}", b64(header.to_string()), b64(claims.to_string()), parts[2]))
            }
            // Parts of several tokens.
            5 => {
                let (other, third) = (&chance.pick(&self.valid_tokens).0, &chance.pick(&self.valid_tokens).0);
                let part = |text: &str, n: usize| text.split('.').nth(n).unwrap_or("").to_owned();
                Ok(format!("{}.{}.{}", parts[0], part(other, 1), part(third, 2)))
            }
            // Well-formed, but not signed with the issuer's key: signed with another key or the public key as a
            // secret, or unsigned.
            6 => {
                let header = chance.pick(&self.headers).to_string();
                self.sign(&self.stranger, &header, &claims.to_string())
            }
            _ => {
                let message = format!("{}.{}", b64(chance.pick(&self.headers).to_string()), b64(claims.to_string()));
                let signature = match chance.below(4) {
                    0 => String::new(),
                    1 => b64([0; 64]),
                    2 => b64(digest::digest(&digest::SHA256, message.as_bytes())),
                    _ => b64(hmac::sign(&self.secret, message.as_bytes())),
                };
                Ok(format!("{message}.{signature}"))
            }
        }
    }
}

impl Worker for Tokens {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        let (audience, aud) = *chance.pick(&USES);
        let now = match chance.below(8) {
            0 => NOW_S + chance.below(900) as i64 - 450,
            1 => *chance.pick(&[NOW_S - 71, NOW_S - 70, NOW_S - 69, NOW_S + 359, NOW_S + 360, NOW_S + 361]),
            _ => NOW_S,
        };
        let in_time = NOW_S - 10 <= now + LEEWAY_S && now < NOW_S + 300 + LEEWAY_S;
        let (text, expected) = match chance.below(16) {
            0 => return self.header(chance),
            1..=3 => {
                // Any claims, signed by the issuer.
                let (iss, header, signer) = chance.pick(&self.signers);
                let mut claims = claims(iss, aud);
                mutate::json(
                    chance,
                    &mut claims,
                    &[json!([USES[0].1, USES[1].1]), json!([aud, "other"]), json!(NOW_S)],
                );
                let expected = acceptable(&claims, aud, now, &["https://elliptic.example", "https://rsa.example"], iss);
                let text = self.sign(signer, &header.to_string(), &claims.to_string())?;
                let read = text.len() <= MAX_TOKEN_BYTES;
                (text, expected && read)
            }
            4 => {
                let (text, which, _) = chance.pick(&self.valid_tokens);
                (text.clone(), USES[*which].1 == aud && in_time)
            }
            _ => {
                let text = self.invalid(chance)?;
                let expected =
                    self.valid_tokens.iter().any(|(truth, which, _)| *truth == text && USES[*which].1 == aud);
                (text, expected && in_time)
            }
        };
        let verdict =
            self.runtime.block_on(self.verifier.verify(&text, audience, &self.index, Timestamp::from_seconds(now)));
        must(verdict.is_ok() == expected, || {
            format!("expected {expected} for {aud} at {now}, got {verdict:?}: {text}")
        })?;
        match verdict {
            Ok(caller) => must(caller.identity.id.as_str() == "release-pipeline" && caller.task.is_some(), || text)
                .map(|()| "accepted"),
            Err(error) => {
                // No error repeats the whole token.
                must(!text.contains('.') || !error.to_string().contains(&text), || text.clone())?;
                Ok(match error.code() {
                    code @ ("token_signature" | "token_malformed") => code,
                    _ => "refused",
                })
            }
        }
    }
}

impl Tokens {
    /// Checks the header that carries the token.
    fn header(&self, chance: &mut Chance) -> Verdict {
        let start = format!("Bearer {}", chance.pick(&self.valid_tokens).0);
        let text = if chance.one_in(4) { start } else { mutate::text(chance, &start, &[], &WORDS) };
        let mut words = text.split(' ');
        let (scheme, token, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next());
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let right =
            scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.chars().all(plain) && rest.is_none();
        let read = bearer(Some(&text));
        must(read.is_ok() == right && read.as_ref().is_ok_and(|read| *read == token) == right, || {
            format!("{text:?}: {read:?}")
        })?;
        Ok(if right { "header read" } else { "header refused" })
    }
}

/// Whether claims signed by their issuer prove the pipeline for `aud` at `now`, computed independently.
fn acceptable(claims: &Value, aud: &str, now: i64, known: &[&str], signed_by: &str) -> bool {
    let iss = claims.get("iss").and_then(Value::as_str);
    let named: Option<Vec<&str>> = match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(many)) => many.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let ours = named.as_ref().map_or(0, |named| USES.iter().filter(|(_, name)| named.contains(name)).count());
    let second = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(value) => value.as_i64().filter(|s| (0..=253_402_300_799).contains(s)).map(Some),
    };
    let (Some(Some(issued)), Some(Some(expires)), Some(before)) = (second("iat"), second("exp"), second("nbf")) else {
        return false;
    };
    let text = |name: &str| match claims.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        Some(Value::Bool(truth)) => Some(truth.to_string()),
        _ => None,
    };
    let task = |text: &String| {
        (1..=256).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c))
    };
    iss == Some(signed_by)
        && known.contains(&signed_by)
        && named.is_some_and(|named| named.contains(&aud))
        && ours == 1
        && expires > issued
        && expires - issued <= MAX_LIFE_S as i64
        && now < (expires + LEEWAY_S).min(253_402_300_799)
        && issued <= now + LEEWAY_S
        && before.is_none_or(|before| before <= now + LEEWAY_S)
        && claims.get("sub").and_then(Value::as_str).is_some_and(|sub| !sub.is_empty())
        && text("repository_id").as_deref() == Some("4711")
        && text("environment").as_deref() == Some("production")
        && text("run_id").as_ref().is_some_and(task)
}
