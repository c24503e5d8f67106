//! The token in an `Authorization` header.

use crate::error::ProofError;

/// The token of an `Authorization` header of the form `Bearer <token>`. The scheme's letter case does not matter.
///
/// API Gateway joins a repeated header with a comma. Such a header is refused like any second word.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>
///
/// # Errors
///
/// [`ProofError::Missing`] if the header is missing or empty. [`ProofError::Header`] if it is not exactly the scheme,
/// one space and one token.
pub fn bearer(header: Option<&str>) -> Result<&str, ProofError> {
    let header = header.filter(|text| !text.is_empty()).ok_or(ProofError::Missing)?;
    let (scheme, token) = header.split_once(' ').ok_or(ProofError::Header)?;
    // The alphabet of `b64token` without padding, since no JWT has padding.
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._~+/".contains(&c);
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_allowed) {
        Ok(token)
    } else {
        Err(ProofError::Header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_accepts_the_scheme_in_any_letter_case() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"] {
            assert_eq!(bearer(Some(header)).unwrap(), "a.b.c");
        }
    }

    #[test]
    fn bearer_asks_for_a_missing_header() {
        for header in [None, Some("")] {
            let error = bearer(header).unwrap_err();
            assert_eq!(error.code(), "token_missing");
            assert!(error.to_string().contains("Authorization: Bearer"));
        }
    }

    #[test]
    fn bearer_refuses_anything_but_one_token() {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer  a.b.c",
            " Bearer a.b.c",
            "Bearer a.b.c ",
            "Bearer a.b.c d.e.f",
            "Bearer a.b.c,Bearer d.e.f",
            "Bearer a.b.c, Bearer d.e.f",
            "Bearer a.b.c\n",
            "Bearer\ta.b.c",
            "Bearer a\u{0}b",
            "Bearer ä",
            "Basic dXNlcjpwYXNz",
            "a.b.c",
        ] {
            let error = bearer(Some(header)).unwrap_err();
            assert_eq!(error.code(), "token_header", "{header:?}");
        }
    }
}
