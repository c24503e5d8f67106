//! `brevet dev token`: signs tokens with the keys of the local stack's own issuers.
//!
//! `make up` writes the folder that this reads: private keys, and the catalogue that names their public halves. No other
//! installation trusts these keys.

use std::path::{Path, PathBuf};

use brevet_domain::bundle::Index;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Identity, Issuer, IssuerKeys, ProofRule, TokenAlgorithm};
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::catalogue::{Format, compile};
use crate::input::read;

/// How long a token is valid, in seconds.
const LIFE_S: i64 = 900;

/// Print a token of an identity of the local stack's catalogue. Only the local stack accepts it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Token {
    /// The identity, as the catalogue names it.
    identity: String,
    /// What the token is for: each use has its own audience.
    #[arg(long = "for", value_enum, default_value_t = Use::Asking)]
    used_for: Use,
    /// The task that the token names; without it, identities that have tasks get a task named `dev`.
    #[arg(long)]
    task: Option<String>,
    /// Say that the identity has just signed in with two factors.
    #[arg(long)]
    mfa: bool,
    /// The folder that `make up` has written.
    #[arg(long, env = "BREVET_DEV", default_value = ".local/dev")]
    folder: PathBuf,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Use {
    /// Ask for grants, read and release them.
    Asking,
    /// Vote, delegate, review, use the kill switch.
    Voting,
    /// Fetch credentials.
    Credentials,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Voting => "voting",
            Self::Credentials => "credentials",
        }
    }
}

/// Returns the signed token.
pub(crate) fn token(asked: &Token) -> Result<String, String> {
    let folder = &asked.folder;
    if !folder.join("audiences.json").exists() {
        return Err(format!("{} has no local issuer: start the local stack with `make up`", folder.display()));
    }
    let audience = audience(folder, asked.used_for)?;
    let index = index(&folder.join("catalogue"))?;
    let (identity, rule, issuer) = known(&index, &asked.identity)?;
    let key = key(&folder.join("keys").join(format!("{}.pem", issuer.id)), algorithm(issuer)?)?;
    let mut header = header(algorithm(issuer)?);
    header.kid = Some(kid(issuer)?);
    let claims = claims(&Signing { identity, rule, issuer, audience: &audience, asked }, now());
    jsonwebtoken::encode(&header, &claims, &key).map_err(|error| format!("the token cannot be signed: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "a token carries the time at which it was issued")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn audience(folder: &Path, used_for: Use) -> Result<String, String> {
    let file = folder.join("audiences.json");
    let parsed: Value = serde_json::from_str(&read(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    let found = parsed.get(used_for.name()).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("{}: there is no audience `{}`", file.display(), used_for.name()))
}

fn index(catalogue: &Path) -> Result<Index, String> {
    let compiled = compile(catalogue, Format::Text).map_err(|text| text.err)?;
    compiled.bundle.index().map_err(|error| error.to_string())
}

/// The identity of this name, its first proof, and the issuer of that.
fn known<'a>(index: &'a Index, name: &str) -> Result<(&'a Identity, &'a ProofRule, &'a Issuer), String> {
    let id = name.parse::<IdentityId>().ok();
    let Some(identity) = id.and_then(|id| index.identities.get(&id)) else {
        let names: Vec<_> = index.identities.keys().map(ToString::to_string).collect();
        return Err(format!("the catalogue has no identity `{name}`; it has: {}", names.join(", ")));
    };
    let rule = identity.proofs.first().ok_or_else(|| format!("`{name}` has no proof"))?;
    let issuer = index.issuers.iter().find(|issuer| issuer.id == rule.issuer);
    Ok((identity, rule, issuer.ok_or_else(|| format!("`{name}` has a proof of an unknown issuer"))?))
}

fn algorithm(issuer: &Issuer) -> Result<TokenAlgorithm, String> {
    issuer.algorithms.first().copied().ok_or_else(|| format!("issuer `{}` has no algorithm", issuer.id))
}

fn header(algorithm: TokenAlgorithm) -> Header {
    Header::new(match algorithm {
        TokenAlgorithm::RS256 => Algorithm::RS256,
        TokenAlgorithm::ES256 => Algorithm::ES256,
        TokenAlgorithm::ES384 => Algorithm::ES384,
    })
}

/// The id of the issuer's key. A local issuer publishes one key, inside the catalogue.
fn kid(issuer: &Issuer) -> Result<String, String> {
    let id = match &issuer.keys {
        IssuerKeys::Jwks(set) => set.pointer("/keys/0/kid").and_then(Value::as_str),
        IssuerKeys::JwksUri(_) => None,
    };
    id.map(str::to_owned)
        .ok_or_else(|| format!("issuer `{}` is not local: the catalogue names no key of it", issuer.id))
}

fn key(file: &Path, algorithm: TokenAlgorithm) -> Result<EncodingKey, String> {
    let pem = read(file)?;
    let key = match algorithm {
        TokenAlgorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        TokenAlgorithm::ES256 | TokenAlgorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
    };
    key.map_err(|error| format!("{}: {error}; start the local stack again with `make down up`", file.display()))
}

struct Signing<'a> {
    identity: &'a Identity,
    rule: &'a ProofRule,
    issuer: &'a Issuer,
    audience: &'a str,
    asked: &'a Token,
}

fn claims(signing: &Signing<'_>, now: DateTime<Utc>) -> Map<String, Value> {
    let Signing { identity, rule, issuer, audience, asked } = signing;
    let now = now.timestamp();
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(issuer.issuer)),
        ("sub".to_owned(), json!(format!("dev-{}", identity.id))),
        ("aud".to_owned(), json!(audience)),
        ("iat".to_owned(), json!(now)),
        ("nbf".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now.saturating_add(LIFE_S))),
    ]);
    claims.extend(rule.claims.iter().map(|(name, value)| (name.clone(), json!(value))));
    if let Some(name) = &rule.task {
        claims.insert(name.clone(), json!(asked.task.as_deref().unwrap_or("dev")));
    }
    if asked.mfa {
        claims.insert("amr".to_owned(), json!(["pwd", "mfa"]));
        claims.insert("auth_time".to_owned(), json!(now));
    }
    claims
}
