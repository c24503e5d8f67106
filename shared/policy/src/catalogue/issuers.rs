//! Issuers of accepted tokens, and the keys that verify them.

use brevet_domain::identity::{AuthContext, Issuer, IssuerKeys, MfaRule};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::form::{IssuerForm, MfaForm};
use super::forms::{Forms, InFile};

pub(super) fn compile(forms: &Forms, findings: &mut Findings) -> Vec<Issuer> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for InFile { file, form } in &forms.issuers {
        if issuers.iter().any(|other| other.id == form.id.value) {
            findings.at(file, &form.id, format!("there are two issuers `{}`; names must differ", form.id.value));
        }
        if let Some(other) = issuers.iter().find(|other| other.issuer == form.issuer.value) {
            let message = format!("issuer `{}` already uses this `iss`; a token must have one issuer", other.id);
            findings.at(file, &form.issuer, message);
        }
        if form.issuer.value.is_empty() {
            findings.at(file, &form.issuer, "`issuer` is empty; it must be the exact `iss` claim");
        }
        if form.algorithms.value.is_empty() {
            findings.at(
                file,
                &form.algorithms,
                "`algorithms` is empty; name the algorithms that this issuer signs with: RS256, ES256 or ES384",
            );
        }
        if let Some(keys) = keys(file, form, findings) {
            issuers.push(Issuer {
                id: form.id.value.clone(),
                issuer: form.issuer.value.clone(),
                algorithms: form.algorithms.value.clone(),
                keys,
                mfa: mfa(file, form, findings),
            });
        }
    }
    issuers.sort_by(|a, b| a.id.cmp(&b.id));
    issuers
}

/// The claims that show a second factor, exactly as in the form.
fn mfa(file: &str, form: &IssuerForm, findings: &mut Findings) -> MfaRule {
    let Some(given) = &form.mfa else { return MfaRule::default() };
    let MfaForm { amr, acr } = &given.value;
    if amr.is_empty() && acr.is_empty() {
        let message = "`mfa` names no claim; list the members of `amr` or values of `acr` that show a second factor, or leave it out for `amr: [mfa]`";
        findings.at(file, given, message);
    }
    for text in amr.iter().chain(acr).filter(|text| text.is_empty() || text.len() > AuthContext::MAX_TEXT) {
        let most = AuthContext::MAX_TEXT;
        let message =
            format!("a value in `mfa` has {} bytes; it must have 1 to {most}, or no token could show it", text.len());
        findings.at(file, given, message);
    }
    MfaRule { amr: amr.clone(), acr: acr.clone() }
}

fn keys(file: &str, form: &IssuerForm, findings: &mut Findings) -> Option<IssuerKeys> {
    match (&form.jwks_uri, &form.jwks) {
        (Some(uri), None) => {
            let rest = uri.value.strip_prefix("https://").unwrap_or("");
            if rest.is_empty() || uri.value.contains(char::is_whitespace) {
                findings.at(file, uri, format!("`jwks_uri` `{}` is not https; keys must come over https", uri.value));
            }
            Some(IssuerKeys::JwksUri(uri.value.clone()))
        }
        (None, Some(jwks)) => {
            check_jwks(file, jwks, findings);
            Some(IssuerKeys::Jwks(jwks.value.clone()))
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = format!("issuer `{}` must have either `jwks_uri` or `jwks`", form.id.value);
            findings.at(file, &form.id, message);
            None
        }
    }
}

/// Allows only public asymmetric keys. A private or shared key in the catalogue would be a leak, and HMAC is never
/// accepted.
fn check_jwks(file: &str, jwks: &Spanned<Value>, findings: &mut Findings) {
    let keys = jwks.value.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty());
    let Some(keys) = keys else {
        findings.at(file, jwks, "`jwks` must be a JWK set: an object with a list `keys` that is not empty");
        return;
    };
    for key in keys {
        let kind = key.get("kty").and_then(Value::as_str);
        if !matches!(kind, Some("RSA" | "EC")) {
            findings.at(file, jwks, "a key in `jwks` is neither RSA nor EC; only these can check a token");
        }
        if ["d", "p", "q", "k"].iter().any(|member| key.get(member).is_some()) {
            findings.at(file, jwks, "a key in `jwks` has a private part; only public keys belong here");
        }
    }
}
