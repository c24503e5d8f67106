//! `PUT /v1/delegations/{id}`: a human allows another identity to make requests on their behalf.

use std::collections::BTreeSet;

use brevet_domain::delegation::Scope;
use brevet_domain::id::EntitlementId;
use brevet_domain::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{BadInput, RawBody, ask, json, shown};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    entitlements: Option<Value>,
    max_term_s: Option<Value>,
    until: Option<Value>,
}

/// Reads the body of a delegation. The engine checks its bounds, because they depend on the current time.
///
/// # Errors
///
/// [`BadInput`]: malformed if the JSON has the wrong shape, invalid if a value can never be accepted.
pub fn delegation(body: RawBody<'_>) -> Result<Scope, BadInput> {
    let raw: RawScope = json::object(body, &["entitlements", "max_term_s", "until"])?;
    let Some(Value::Array(names)) = raw.entitlements else {
        return Err(match raw.entitlements {
            None => json::missing("entitlements"),
            Some(_) => json::wrong_type("entitlements", "a list of entitlement ids"),
        });
    };
    let entitlement = |value: Value| {
        let name = json::text("entitlements", Some(value))?;
        let detail = || format!("`{}` in `entitlements` is not an entitlement id", shown(&name));
        name.parse::<EntitlementId>().map_err(|_| BadInput::invalid("entitlement_unknown", detail()))
    };
    let entitlements = names.into_iter().map(entitlement).collect::<Result<BTreeSet<_>, _>>()?;
    let max_term_s = raw.max_term_s.map(|value| ask::term("max_term_s", Some(value))).transpose()?;
    let until: Timestamp = json::text("until", raw.until)?
        .parse()
        .map_err(|_| json::wrong_type("until", "an instant like `2026-11-22T14:03:00Z`"))?;
    Ok(Scope::Given { entitlements, max_term_s, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scope, BadInput> {
        delegation(RawBody { content_type: None, bytes: text.as_bytes() })
    }

    #[test]
    fn delegation_reads_a_scope_and_refuses_each_bad_one_with_a_specific_error() {
        let good = r#"{"entitlements":["read-logs","deploy"],"max_term_s":300,"until":"2026-11-22T14:03:00Z"}"#;
        let Scope::Given { entitlements, max_term_s, until } = read(good).unwrap() else { panic!() };
        assert_eq!((entitlements.len(), max_term_s.unwrap().as_seconds()), (2, 300));
        assert_eq!(until.to_string(), "2026-11-22T14:03:00.000Z");
        assert!(read(&good.replace(r#","max_term_s":300"#, "")).is_ok());
        for (text, code, words) in [
            ("{}".to_owned(), "field_missing", "`entitlements`"),
            (good.replace(r#"["read-logs","deploy"]"#, r#""deploy""#), "field_type", "a list of entitlement ids"),
            (good.replace(r#""deploy""#, "7"), "field_type", "`entitlements` must be a string"),
            (good.replace("deploy", "De*"), "entitlement_unknown", "`De*` in `entitlements`"),
            (good.replace("300", "59"), "term_out_of_range", "`max_term_s` must be"),
            (good.replace("300", "true"), "field_type", "`max_term_s` must be"),
            (good.replace("2026-11-22T14:03:00Z", "tomorrow"), "field_type", "an instant like"),
            (good.replace("until", "by"), "field_unknown", "the fields are: entitlements, max_term_s, until"),
        ] {
            let bad = read(&text).unwrap_err();
            assert_eq!(bad.code, code, "{text}: {bad}");
            assert!(bad.detail.contains(words), "{text}: {bad}");
        }
    }
}
