//! Verification of AWS Signature Version 4.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::inbound::{Inbound, encode};

/// The largest difference between the signer's clock and the gate's, as in AWS.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(5);

/// The claims of the `Authorization` header and its companions. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnverifiedSignature {
    pub(crate) access_key: String,
    /// `yyyymmdd` of the credential scope.
    pub(crate) date: String,
    pub(crate) region: String,
    /// The service as the scope names it, e.g. `dynamodb`.
    pub(crate) service: String,
    /// Lower case, in the order of the header.
    pub(crate) signed_headers: Vec<String>,
    /// 64 hexadecimal digits.
    pub(crate) signature: String,
    /// `yyyymmddThhmmssZ`.
    pub(crate) at: String,
    pub(crate) session_token: Option<String>,
}

/// The reason why a signature is invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// The gate finds no signature that it can read. Anonymous and presigned calls are not modelled.
    #[error("the call carries no SigV4 `Authorization` header")]
    Absent,
    /// The header or the date does not have AWS's format.
    #[error("the SigV4 `Authorization` header lacks {0}")]
    Malformed(&'static str),
    /// Signed more than five minutes before or after now.
    #[error("signed at `{0}`, which is not within five minutes of now")]
    Skewed(String),
    /// Signed with another key, or over another call.
    #[error("the signature does not match the call")]
    Mismatch,
}

/// Reads the claims of `call`.
///
/// # Errors
///
/// [`SignatureError::Absent`] or [`SignatureError::Malformed`].
pub(crate) fn parse(call: &Inbound) -> Result<UnverifiedSignature, SignatureError> {
    let header = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256"))
        .ok_or(SignatureError::Absent)?;
    let part = |name: &'static str| {
        header
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or(SignatureError::Malformed(name))
    };
    let mut scope = part("Credential")?.split('/').map(str::to_owned);
    let mut next = |what| scope.next().ok_or(SignatureError::Malformed(what));
    let (access_key, date) = (next("an access key")?, next("a date")?);
    let (region, service) = (next("a region")?, next("a service")?);
    if next("the scope's end")? != "aws4_request" {
        return Err(SignatureError::Malformed("the scope's end"));
    }
    Ok(UnverifiedSignature {
        access_key,
        date,
        region,
        service,
        signed_headers: part("SignedHeaders")?.split(';').map(str::to_owned).collect(),
        signature: part("Signature")?.to_owned(),
        at: call.header("x-amz-date").ok_or(SignatureError::Malformed("`X-Amz-Date`"))?.to_owned(),
        session_token: call.header("x-amz-security-token").map(str::to_owned),
    })
}

/// Checks that `claimed` signs `call` with `secret`, and that it was signed around `now`.
///
/// # Errors
///
/// [`SignatureError`] if the signature is invalid.
pub(crate) fn verify(
    claimed: &UnverifiedSignature,
    call: &Inbound,
    secret: &str,
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    let at = NaiveDateTime::parse_from_str(&claimed.at, "%Y%m%dT%H%M%SZ")
        .map_err(|_| SignatureError::Malformed("a readable `X-Amz-Date`"))?
        .and_utc();
    if now.signed_duration_since(at).abs() > MAX_CLOCK_DIFFERENCE || !claimed.at.starts_with(&claimed.date) {
        return Err(SignatureError::Skewed(claimed.at.clone()));
    }
    let scope = format!("{}/{}/{}/aws4_request", claimed.date, claimed.region, claimed.service);
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", claimed.at, sha256(canonical(claimed, call)?.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [claimed.date.as_str(), &claimed.region, &claimed.service, "aws4_request"] {
        key = mac(&key, part)?.finalize().into_bytes().to_vec();
    }
    let signature = bytes_of(&claimed.signature).ok_or(SignatureError::Malformed("a signature"))?;
    mac(&key, &text)?.verify_slice(&signature).map_err(|_| SignatureError::Mismatch)
}

fn canonical(claimed: &UnverifiedSignature, call: &Inbound) -> Result<String, SignatureError> {
    // S3 signs the path as sent; every other service signs the path encoded once more.
    let path = if claimed.service == "s3" { call.path().to_owned() } else { encode(call.path(), b"/") };
    let mut query: Vec<(String, String)> =
        call.query().iter().map(|(name, value)| (encode(name, b""), encode(value, b""))).collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();

    let mut headers = String::new();
    for name in &claimed.signed_headers {
        let values: Vec<&str> =
            call.headers.get_all(name.as_str()).iter().filter_map(|value| value.to_str().ok()).map(str::trim).collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }

    let actual = sha256(&call.body);
    // For streamed and unsigned payloads the header's value is signed. A hash in the header is never trusted.
    let payload = match call.header("x-amz-content-sha256") {
        Some(named) if named.len() != actual.len() => named.to_owned(),
        Some(_) | None => actual,
    };
    Ok(format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{payload}",
        call.method,
        query.join("&"),
        claimed.signed_headers.join(";"),
    ))
}

/// SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Result<Hmac<Sha256>, SignatureError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SignatureError::Malformed("a key"))?;
    mac.update(text.as_bytes());
    Ok(mac)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Signs `call` as an SDK would, for tests. Sets `Authorization`.
#[cfg(test)]
pub(crate) fn sign(mut call: Inbound, access_key: &str, secret: &str, service: &str, now: DateTime<Utc>) -> Inbound {
    let at = now.format("%Y%m%dT%H%M%SZ").to_string();
    let date = now.format("%Y%m%d").to_string();
    call.headers.insert("x-amz-date", at.parse().unwrap());
    let mut signed_headers: Vec<String> = call.headers.keys().map(|name| name.as_str().to_owned()).collect();
    signed_headers.sort();
    let claimed = UnverifiedSignature {
        access_key: access_key.to_owned(),
        date: date.clone(),
        region: "us-east-1".to_owned(),
        service: service.to_owned(),
        signed_headers,
        signature: String::new(),
        at: at.clone(),
        session_token: None,
    };
    let text = format!(
        "AWS4-HMAC-SHA256\n{at}\n{date}/us-east-1/{service}/aws4_request\n{}",
        sha256(canonical(&claimed, &call).unwrap().as_bytes())
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date.as_str(), "us-east-1", service, "aws4_request"] {
        key = mac(&key, part).unwrap().finalize().into_bytes().to_vec();
    }
    let signature: String =
        mac(&key, &text).unwrap().finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{date}/us-east-1/{service}/aws4_request, SignedHeaders={}, Signature={signature}",
        claimed.signed_headers.join(";")
    );
    call.headers.insert("authorization", header.parse().unwrap());
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method};

    /// `get-vanilla-query-order-key-case` of AWS's own test suite.
    fn vector() -> Inbound {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        headers.insert(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
                .parse()
                .unwrap(),
        );
        Inbound {
            method: Method::GET,
            uri: "/?Param2=value2&Param1=value1".parse().unwrap(),
            headers,
            body: bytes::Bytes::new(),
        }
    }
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn then() -> DateTime<Utc> {
        "2015-08-30T12:36:30Z".parse().unwrap()
    }

    #[test]
    fn published_test_vector_verifies() {
        let claimed = parse(&vector()).unwrap();
        assert_eq!(claimed.access_key, "AKIDEXAMPLE");
        assert_eq!(claimed.service, "service");
        assert_eq!(verify(&claimed, &vector(), SECRET, then()), Ok(()));
    }

    #[test]
    fn signature_over_another_secret_query_or_body_is_a_mismatch() {
        let claimed = parse(&vector()).unwrap();
        let other = verify(&claimed, &vector(), "other", then());
        assert_eq!(other, Err(SignatureError::Mismatch));
        let mut call = vector();
        call.uri = "/?Param2=value2&Param1=value2".parse().unwrap();
        assert_eq!(verify(&claimed, &call, SECRET, then()), Err(SignatureError::Mismatch));
        let mut call = vector();
        call.body = "x".into();
        assert_eq!(verify(&claimed, &call, SECRET, then()), Err(SignatureError::Mismatch));
    }

    #[test]
    fn body_that_differs_from_the_signed_hash_is_a_mismatch() {
        let mut call = vector();
        call.headers.remove("authorization");
        call.headers.insert("x-amz-content-sha256", sha256(b"one").parse().unwrap());
        call.body = "one".into();
        let mut call = sign(call, "AKIDEXAMPLE", SECRET, "s3", then());
        assert_eq!(verify(&parse(&call).unwrap(), &call, SECRET, then()), Ok(()));
        call.body = "two".into();
        assert_eq!(verify(&parse(&call).unwrap(), &call, SECRET, then()), Err(SignatureError::Mismatch));
    }

    #[test]
    fn signature_of_six_minutes_ago_is_refused() {
        let claimed = parse(&vector()).unwrap();
        let late = "2015-08-30T12:42:00Z".parse().unwrap();
        assert_eq!(
            verify(&claimed, &vector(), SECRET, late),
            Err(SignatureError::Skewed("20150830T123600Z".to_owned()))
        );
    }

    #[test]
    fn call_without_a_signature_is_reported() {
        let mut call = vector();
        call.headers.remove("authorization");
        assert_eq!(parse(&call), Err(SignatureError::Absent));
    }
}
