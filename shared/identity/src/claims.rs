//! The claims of a verified token, with the checks of its audience and times.

use brevet_domain::identity::{AuthContext, MfaRule};
use brevet_domain::time::Timestamp;
use serde_json::{Map, Value};

use crate::error::ProofError;

/// The longest life of a token, `iat` to `exp`, in seconds: a day. CI tokens live minutes, AWS tokens at most an hour.
pub const MAX_LIFE_S: u64 = 86_400;

/// The last second of a [`Timestamp`], in the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

/// The claims of a token whose signature was verified.
pub(crate) struct Claims(Value);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Claims {
    pub(crate) fn new(claims: Map<String, Value>) -> Self {
        Self(Value::Object(claims))
    }

    pub(crate) fn subject(&self) -> Result<String, ProofError> {
        let subject = self.0.get("sub").and_then(Value::as_str);
        subject
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or(ProofError::Claim { claim: "sub", expected: "a non-empty string that names the caller" })
    }

    /// Refuses the token unless `aud` contains `expected` and no other of the installation's `audiences`.
    ///
    /// # Errors
    ///
    /// [`ProofError::Claim`], [`ProofError::Audience`] or [`ProofError::AudienceSeveral`].
    pub(crate) fn check_audience(&self, expected: &str, audiences: &[&str]) -> Result<(), ProofError> {
        let wrong = || ProofError::Claim { claim: "aud", expected: "a string or an array of strings" };
        let aud = self.0.get("aud").ok_or_else(wrong)?;
        let named: Vec<&str> = match aud {
            Value::String(name) => vec![name],
            Value::Array(names) => {
                let texts: Option<_> = names.iter().map(Value::as_str).collect();
                texts.ok_or_else(wrong)?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(wrong());
            }
        };
        if !named.contains(&expected) {
            return Err(ProofError::Audience { expected: expected.to_owned() });
        }
        // INVARIANT: a token that intake sees can neither vote nor fetch credentials. So each token has only one use.
        if audiences.iter().filter(|it| named.contains(it)).count() > 1 {
            return Err(ProofError::AudienceSeveral { expected: expected.to_owned() });
        }
        Ok(())
    }

    /// Refuses the token unless it is valid at `now`, within `leeway_s`, and lives at most [`MAX_LIFE_S`].
    ///
    /// # Errors
    ///
    /// [`ProofError::Claim`], [`ProofError::LivesTooLong`], [`ProofError::Expired`] or [`ProofError::NotYetValid`].
    pub(crate) fn check_times(&self, now: Timestamp, leeway_s: u32) -> Result<Validity, ProofError> {
        let required = |claim, at: Option<_>| {
            at.ok_or(ProofError::Claim { claim, expected: "present, as whole seconds since 1970" })
        };
        let expires_at = required("exp", self.instant("exp")?)?;
        let issued_at = required("iat", self.instant("iat")?)?;
        let not_before = self.instant("nbf")?;

        if expires_at <= issued_at {
            return Err(ProofError::Claim { claim: "exp", expected: "later than `iat`" });
        }
        let life_s = expires_at.seconds_since(issued_at);
        if life_s > MAX_LIFE_S {
            return Err(ProofError::LivesTooLong { life_s, max_s: MAX_LIFE_S });
        }
        if now >= expires_at.plus(leeway_s) {
            return Err(ProofError::Expired { expired_at: expires_at, now, leeway_s });
        }
        for (claim, valid_from) in [("iat", Some(issued_at)), ("nbf", not_before)] {
            if let Some(valid_from) = valid_from.filter(|at| *at > now.plus(leeway_s)) {
                return Err(ProofError::NotYetValid { claim, valid_from, now, leeway_s });
            }
        }
        Ok(Validity { issued_at, expires_at })
    }

    /// How the bearer signed in, by the standard claims of the token. `rule` defines what counts as two factors.
    ///
    /// A claim that is too long to store or has the wrong type is ignored: it never proves anything.
    ///
    /// Source: <https://openid.net/specs/openid-connect-core-1_0.html#IDToken>
    pub(crate) fn auth(&self, rule: &MfaRule, issued_at: Timestamp) -> AuthContext {
        let kept = |text: &str| (text.len() <= AuthContext::MAX_TEXT).then(|| text.to_owned());
        let methods = self.0.get("amr").and_then(Value::as_array).filter(|all| all.len() <= AuthContext::MAX_AMR);
        let amr: Option<Vec<String>> =
            methods.and_then(|all| all.iter().map(|method| kept(method.as_str()?)).collect());
        let amr = amr.unwrap_or_default();
        let acr = self.0.get("acr").and_then(Value::as_str).and_then(kept);
        let auth_time = self.instant("auth_time").ok().flatten().filter(|at| *at <= issued_at);
        AuthContext { mfa: rule.is_met(&amr, acr.as_deref()), amr, acr, auth_time }
    }

    fn instant(&self, claim: &'static str) -> Result<Option<Timestamp>, ProofError> {
        let Some(value) = self.0.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_i64().filter(|s| (0..=MAX_SECONDS).contains(s));
        seconds
            .map(|seconds| Some(Timestamp::from_seconds(seconds)))
            .ok_or(ProofError::Claim { claim, expected: "whole seconds since 1970" })
    }

    /// The claim `name` as text: a string as it is, a whole number or boolean as its JSON text, else `None`.
    ///
    /// A name that starts with `/` is a JSON pointer into nested claims: `/https:~1~1sts.amazonaws.com~1/org_id`.
    /// A fraction gives `None`, since two large ones may read as the same number.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc6901>
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = if name.starts_with('/') {
            // The caller of `sts:GetWebIdentityToken` chooses the request tags. AWS does not vouch for them.
            if name.split('/').any(|step| step == "request_tags") {
                return None;
            }
            self.0.pointer(name)?
        } else {
            self.0.get(name)?
        };
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
