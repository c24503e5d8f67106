//! Parsing of path ids, headers and query parameters.

use std::collections::BTreeMap;

use brevet_domain::id::{GrantId, IdentityId};

use super::{BadInput, shown};

/// The states that a list can be filtered by.
const STATES: [&str; 9] =
    ["Denied", "ApprovalAwaited", "Lapsed", "Withdrawn", "Approved", "Activating", "Active", "Revoking", "Ended"];

/// The maximum length of a cursor in bytes; Brevet's own cursors are shorter.
const MAX_CURSOR: usize = 1024;

/// The default page size of grants and entitlements.
const PAGE: u32 = 25;

/// `GET /v1/grants`: `cursor`, `limit` (1 to 100, 25 by default), `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The start of the page; the first page if absent.
    pub cursor: Option<String>,
    /// The maximum number of grants on the page.
    pub limit: u32,
    /// Lists only grants in this state.
    pub state: Option<&'static str>,
}

/// `GET /v1/entitlements`, `GET /v1/reviews`: `cursor`, `limit` (1 to 100, 25 by default).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// The start of the page; the first page if absent.
    pub cursor: Option<String>,
    /// The maximum number of lines examined.
    pub limit: u32,
}

/// `GET /v1/grants/{id}/evidence`: `after`, the number of the last entry that the caller has; 0 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceQuery {
    /// Returns only entries after this number.
    pub after: u64,
}

/// The grant that a path names.
///
/// # Errors
///
/// [`BadInput`] if the text is not a grant id.
pub fn grant_id(text: Option<&str>) -> Result<GrantId, BadInput> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        let detail = format!(
            "`{}` is not a grant id: send the `id` from the answer to the request, `grt_` and 26 characters",
            shown(text)
        );
        BadInput::malformed("grant_id", detail)
    })
}

/// The identity that a path or a field names.
///
/// # Errors
///
/// [`BadInput`] if the text is not an identity id.
pub fn identity_id(text: Option<&str>) -> Result<IdentityId, BadInput> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        let detail = format!(
            "`{}` is not an identity id: send 2 to 64 of `a-z`, `0-9`, `-`, starting with a letter, as in the catalogue",
            shown(text)
        );
        BadInput::malformed("identity_id", detail)
    })
}

/// The `Idempotency-Key` header: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`.
///
/// # Errors
///
/// [`BadInput`] if the header is missing or has another form.
pub fn idempotency_key(header: Option<&str>) -> Result<&str, BadInput> {
    const EXPECTED: &str = "1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, new for each new request";
    let Some(key) = header else {
        let detail = format!("header `Idempotency-Key` is missing: send {EXPECTED}");
        return Err(BadInput::malformed("idempotency_key_missing", detail));
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=64).contains(&key.len()) && key.bytes().all(allowed) {
        Ok(key)
    } else {
        let detail = format!("header `Idempotency-Key` must be {EXPECTED}");
        Err(BadInput::malformed("idempotency_key", detail))
    }
}

/// Reads the query of a list.
///
/// # Errors
///
/// [`BadInput`] if a name is unknown or a value is not accepted.
pub fn list_query(query: &BTreeMap<String, String>) -> Result<ListQuery, BadInput> {
    known(query, &["cursor", "limit", "state"])?;
    let PageQuery { cursor, limit } = page(query)?;
    let state = match query.get("state") {
        None => None,
        Some(text) => Some(
            STATES
                .into_iter()
                .find(|state| state == text)
                .ok_or_else(|| bad(format!("query `state` must be one of {}", STATES.join(", "))))?,
        ),
    };
    Ok(ListQuery { cursor, limit, state })
}

/// Reads the query of a page.
///
/// # Errors
///
/// [`BadInput`] if a name is unknown or a value is not accepted.
pub fn page_query(query: &BTreeMap<String, String>) -> Result<PageQuery, BadInput> {
    known(query, &["cursor", "limit"])?;
    page(query)
}

fn page(query: &BTreeMap<String, String>) -> Result<PageQuery, BadInput> {
    let limit = match query.get("limit") {
        None => PAGE,
        Some(text) => number(text)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (1..=100).contains(n))
            .ok_or_else(|| bad("query `limit` must be a whole number from 1 to 100"))?,
    };
    let cursor = query.get("cursor").cloned();
    if cursor.as_ref().is_some_and(|c| c.is_empty() || c.len() > MAX_CURSOR) {
        return Err(bad("invalid query `cursor`: send `next` of the previous page unchanged, or omit it"));
    }
    Ok(PageQuery { cursor, limit })
}

/// Reads the query of a page of evidence.
///
/// # Errors
///
/// [`BadInput`] if a name is unknown or `after` is not a number.
pub fn evidence_query(query: &BTreeMap<String, String>) -> Result<EvidenceQuery, BadInput> {
    known(query, &["after"])?;
    let after = match query.get("after") {
        None => 0,
        Some(text) => {
            number(text).ok_or_else(|| bad("query `after` must be the number of the last entry that you have, or 0"))?
        }
    };
    Ok(EvidenceQuery { after })
}

/// Checks that the query is empty.
///
/// # Errors
///
/// [`BadInput`] if the query is not empty.
pub fn no_query(query: &BTreeMap<String, String>) -> Result<(), BadInput> {
    known(query, &[])
}

/// Accepts digits alone: Rust's own parser would also accept a leading `+`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn known(query: &BTreeMap<String, String>, names: &[&str]) -> Result<(), BadInput> {
    match query.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let remedy = if names.is_empty() {
                "send no query".to_owned()
            } else {
                format!("the known parameters are: {}", names.join(", "))
            };
            Err(bad(format!("there is no query parameter `{}`; {remedy}", shown(name))))
        }
    }
}

pub(super) fn bad(detail: impl Into<String>) -> BadInput {
    BadInput::malformed("query", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn list_query_accepts_bounded_pages_and_known_names_only() {
        let all = list_query(&query(&[("cursor", "abc"), ("limit", "100"), ("state", "Active")])).unwrap();
        assert_eq!((all.cursor.as_deref(), all.limit, all.state), (Some("abc"), 100, Some("Active")));
        assert_eq!(list_query(&query(&[])).unwrap().limit, 25);
        for (name, value) in [
            ("limit", "0"),
            ("limit", "101"),
            ("limit", "-1"),
            ("limit", "+5"),
            ("limit", "ten"),
            ("limit", ""),
            ("limit", "99999999999999999999"),
            ("state", "active"),
            ("state", ""),
            ("cursor", ""),
            ("identity", "dana"),
        ] {
            let bad = list_query(&query(&[(name, value)])).unwrap_err();
            assert!(bad.detail.contains(&format!("`{name}`")), "{bad}");
            assert!(page_query(&query(&[(name, value)])).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn evidence_query_accepts_only_a_number_in_after() {
        assert_eq!(evidence_query(&query(&[("after", "7")])).unwrap().after, 7);
        assert_eq!(evidence_query(&query(&[])).unwrap().after, 0);
        for pair in [("after", "-1"), ("after", "x"), ("after", ""), ("limit", "5")] {
            assert!(evidence_query(&query(&[pair])).is_err(), "{pair:?}");
        }
        assert!(no_query(&query(&[("after", "1")])).is_err() && no_query(&query(&[])).is_ok());
    }

    #[test]
    fn grant_id_error_quotes_the_text_that_is_not_an_id() {
        for text in ["", "7", "grt_", "../../x", "grt_01arz3ndektsv4rrffq69g5fav", "grt_01ARZ3NDEKTSV4RRFFQ69G5FA*"] {
            let bad = grant_id(Some(text)).unwrap_err();
            assert!(bad.detail.starts_with(&format!("`{text}` is not a grant id")), "{bad}");
        }
        assert!(grant_id(None).is_err());
        assert!(grant_id(Some("grt_01ARZ3NDEKTSV4RRFFQ69G5FAV")).is_ok());
    }

    #[test]
    fn idempotency_key_accepts_only_short_plain_text() {
        assert_eq!(idempotency_key(Some("Run-7_a.b")), Ok("Run-7_a.b"));
        assert_eq!(idempotency_key(None).unwrap_err().code, "idempotency_key_missing");
        for key in ["", "a b", "a#b", "é", "a/b", &"a".repeat(65)] {
            assert_eq!(idempotency_key(Some(key)).unwrap_err().code, "idempotency_key", "{key}");
        }
    }
}
