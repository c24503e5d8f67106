//! `POST /v1/revocations` and its lifting: a scope and a reason.

use std::collections::BTreeMap;

use brevet_domain::revocation::{Reason, WideScope};
use serde::Deserialize;
use serde_json::Value;

use super::query::{PageQuery, bad, page_query};
use super::{BadInput, RawBody, json, shown};

/// A block that the caller wants to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationBody {
    /// The scope that the block covers.
    pub scope: WideScope,
    pub reason: Reason,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevocation {
    scope: Option<Value>,
    reason: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLift {
    reason: Option<Value>,
}

const SCOPES: &str = "an object with one of identity, sponsor, class, entitlement, account (each with a name) or `all` \
                      with `true`, like `{\"identity\": \"release-pipeline\"}`";

/// Reads the body that places a block.
///
/// # Errors
///
/// [`BadInput`]: malformed if the JSON has the wrong shape, invalid if a value can never be accepted.
pub fn revocation(body: RawBody<'_>) -> Result<RevocationBody, BadInput> {
    let raw: RawRevocation = json::object(body, &["scope", "reason"])?;
    let scope = raw.scope.ok_or_else(|| json::missing("scope"))?;
    let wrong = || json::wrong_type("scope", SCOPES);
    let fields: BTreeMap<String, Value> = serde_json::from_value(scope).map_err(|_| wrong())?;
    let mut fields = fields.into_iter();
    let (Some((kind, name)), None) = (fields.next(), fields.next()) else { return Err(wrong()) };
    let text = match (kind.as_str(), name) {
        ("all", Value::Bool(true)) => "all".to_owned(),
        ("identity" | "sponsor" | "class" | "entitlement" | "account", Value::String(name)) => format!("{kind}:{name}"),
        _ => return Err(wrong()),
    };
    let scope = text.parse().map_err(|_| {
        let name = shown(text.split(':').nth(1).unwrap_or_default());
        let detail = format!("`{name}` in `scope` is not a valid {kind}");
        BadInput::invalid("scope_unknown", detail)
    })?;
    Ok(RevocationBody { scope, reason: reason(raw.reason)? })
}

/// Reads the body that lifts a block or acknowledges an overdue grant: a reason.
///
/// # Errors
///
/// [`BadInput`], as for [`revocation`].
pub fn lift(body: RawBody<'_>) -> Result<Reason, BadInput> {
    let raw: RawLift = json::object(body, &["reason"])?;
    reason(raw.reason)
}

/// The block that a path names, by its key.
///
/// # Errors
///
/// [`BadInput`] if the text is not a key.
pub fn revocation_key(text: Option<&str>) -> Result<WideScope, BadInput> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        let detail = format!(
            "`{}` is not the key of a revocation: send one like `identity:release-pipeline`, `class:agent` or `all`",
            shown(text)
        );
        BadInput::malformed("revocation_key", detail)
    })
}

/// Reads the query of a list of blocks.
///
/// # Errors
///
/// [`BadInput`] if a name is unknown or a value is not accepted.
pub fn revocations_query(query: &BTreeMap<String, String>) -> Result<PageQuery, BadInput> {
    let page = page_query(query)?;
    if page.cursor.as_ref().is_some_and(|cursor| cursor.parse::<WideScope>().is_err()) {
        return Err(bad("invalid query `cursor`: send `next` of the previous page unchanged, or omit it"));
    }
    Ok(page)
}

fn reason(value: Option<Value>) -> Result<Reason, BadInput> {
    let text = json::text("reason", value)?;
    Reason::try_from(text).map_err(|error| BadInput::invalid("reason", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RevocationBody, BadInput> {
        revocation(RawBody { content_type: None, bytes: text.as_bytes() })
    }

    #[test]
    fn revocation_reads_each_kind_of_scope() {
        for (scope, key) in [
            (r#"{"identity":"bot"}"#, "identity:bot"),
            (r#"{"sponsor":"dana"}"#, "sponsor:dana"),
            (r#"{"class":"agent"}"#, "class:agent"),
            (r#"{"entitlement":"deploy"}"#, "entitlement:deploy"),
            (r#"{"account":"000000000000"}"#, "account:000000000000"),
            (r#"{"all":true}"#, "all"),
        ] {
            let body = read(&format!(r#"{{"scope":{scope},"reason":"why"}}"#)).unwrap();
            assert_eq!((body.scope.to_string().as_str(), body.reason.as_str()), (key, "why"));
            assert_eq!(revocation_key(Some(key)), Ok(body.scope));
        }
    }

    #[test]
    fn revocation_refuses_each_bad_body_with_a_specific_error() {
        let long = "x".repeat(501);
        for (text, code, words) in [
            ("{}".to_owned(), "field_missing", "`scope`"),
            (r#"{"scope":{"all":true}}"#.to_owned(), "field_missing", "`reason`"),
            (r#"{"scope":"all","reason":"why"}"#.to_owned(), "field_type", "`scope` must be an object with one of"),
            (r#"{"scope":{},"reason":"why"}"#.to_owned(), "field_type", "`scope`"),
            (r#"{"scope":{"all":false},"reason":"why"}"#.to_owned(), "field_type", "`scope`"),
            (r#"{"scope":{"team":"x"},"reason":"why"}"#.to_owned(), "field_type", "`scope`"),
            (r#"{"scope":{"grant":"x"},"reason":"why"}"#.to_owned(), "field_type", "`scope`"),
            (r#"{"scope":{"all":true,"class":"agent"},"reason":"why"}"#.to_owned(), "field_type", "`scope`"),
            (r#"{"scope":{"class":"robot"},"reason":"why"}"#.to_owned(), "scope_unknown", "`robot`"),
            (r#"{"scope":{"all":true},"reason":""}"#.to_owned(), "reason", "1 to 500"),
            (format!(r#"{{"scope":{{"all":true}},"reason":"{long}"}}"#), "reason", "1 to 500"),
            (r#"{"scope":{"all":true},"reason":"w","by":"x"}"#.to_owned(), "field_unknown", "`by`"),
        ] {
            let bad = read(&text).unwrap_err();
            assert_eq!(bad.code, code, "{text}: {bad}");
            assert!(bad.detail.contains(words), "{text}: {bad}");
        }
        assert_eq!(revocation_key(Some("grant:x")).unwrap_err().code, "revocation_key");
        let query = |name: &str, value: &str| revocations_query(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(query("cursor", "grt_x").is_err() && query("state", "x").is_err() && query("limit", "0").is_err());
        assert_eq!(query("limit", "7").unwrap().limit, 7);
    }
}
