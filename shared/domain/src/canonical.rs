//! Canonical JSON (RFC 8785) and digests over it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; its text is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// The text is not a SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest of 64 lower-case hex digits")]
pub struct DigestError(String);

impl Digest {
    /// The digest before the first link of a chain: all zeros.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes`.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of `value` in canonical JSON.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if `value` has no JSON form.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, CanonicalError> {
        canonical(value).map(|text| Self::of_bytes(text.as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every evidence entry formats digests, and a formatter per byte takes ten times as long.
        let hex = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
        let text: String = self.0.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 0xf)]).collect();
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.chars().take(80).collect());
        let hex = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(hex) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A value has no canonical JSON form: a map key is not a string, or a number is not finite.
#[derive(Debug, thiserror::Error)]
#[error("the value has no canonical JSON form: map keys must be strings and numbers finite")]
pub struct CanonicalError(#[source] serde_json::Error);

/// `value` as canonical JSON, per RFC 8785: keys sorted, no white space, one form for each number and string.
///
/// # Errors
///
/// [`CanonicalError`] if `value` has no JSON form.
pub fn canonical<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    serde_json_canonicalizer::to_string(value).map_err(CanonicalError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_ignores_key_order_and_number_form() {
        let one = serde_json::json!({"a": 1, "b": [true, null]});
        let other: serde_json::Value = serde_json::from_str(r#"{ "b":[true,null], "a":1.0 }"#).unwrap();
        assert_eq!(Digest::of(&one).unwrap(), Digest::of(&other).unwrap());
    }

    #[test]
    fn digest_parses_its_own_text_and_rejects_near_misses() {
        let digest = Digest::of_bytes(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "00", &digest.to_string().to_uppercase(), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
