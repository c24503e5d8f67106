//! `POST /v1/grants`: the request for a grant. The caller's identity never comes from the body.

use std::collections::BTreeMap;
use std::fmt;

use brevet_domain::entitlement::ParameterValue;
use brevet_domain::id::EntitlementId;
use brevet_domain::request::{Ask, Justification, Ticket};
use brevet_domain::time::Term;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::{BadInput, RawBody, json, shown};

const FIELDS: [&str; 7] = ["entitlement", "parameters", "term_s", "ticket", "justification", "on_behalf_of", "renews"];

/// The body before its fields are parsed. Each field accepts any JSON, so that an error can name the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsk {
    entitlement: Option<Value>,
    #[serde(default)]
    parameters: RawParameters,
    term_s: Option<Value>,
    ticket: Option<Value>,
    justification: Option<Value>,
    on_behalf_of: Option<Value>,
    renews: Option<Value>,
}

/// Parameters by name. A duplicate name is refused, because either value could be the intended one.
#[derive(Default)]
struct RawParameters(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for RawParameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = RawParameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings in `parameters`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawParameters, A::Error> {
        let mut parameters = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if parameters.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            parameters.insert(name, value);
        }
        Ok(RawParameters(parameters))
    }
}

/// Reads the body of a request for a grant.
///
/// # Errors
///
/// [`BadInput`]: malformed if the JSON has the wrong shape, invalid if a value can never be accepted.
pub fn ask(body: RawBody<'_>) -> Result<Ask, BadInput> {
    let raw: RawAsk = json::object(body, &FIELDS)?;
    Ok(Ask {
        entitlement: entitlement(raw.entitlement)?,
        parameters: parameters(raw.parameters)?,
        term_s: term("term_s", raw.term_s)?,
        ticket: ticket(raw.ticket)?,
        justification: justification(raw.justification)?,
        on_behalf_of: json::optional_text("on_behalf_of", raw.on_behalf_of)?
            .map(|text| super::identity_id(Some(&text)))
            .transpose()?,
        renews: json::optional_text("renews", raw.renews)?.map(|text| super::grant_id(Some(&text))).transpose()?,
    })
}

/// `POST /v1/grants/{id}/renew`: term, ticket and justification. Everything else stays as in the renewed grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewBody {
    /// The term, from the activation of the new grant.
    pub term_s: Term,
    /// The ticket of the renewal.
    pub ticket: Option<Ticket>,
    pub justification: Option<Justification>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRenew {
    term_s: Option<Value>,
    ticket: Option<Value>,
    justification: Option<Value>,
}

/// Reads the body of a renewal.
///
/// # Errors
///
/// [`BadInput`], as for [`ask`].
pub fn renew(body: RawBody<'_>) -> Result<RenewBody, BadInput> {
    let raw: RawRenew = json::object(body, &["term_s", "ticket", "justification"])?;
    let (term_s, ticket) = (term("term_s", raw.term_s)?, ticket(raw.ticket)?);
    Ok(RenewBody { term_s, ticket, justification: justification(raw.justification)? })
}

fn ticket(value: Option<Value>) -> Result<Option<Ticket>, BadInput> {
    let ticket = json::optional_text("ticket", value)?.map(Ticket::try_from).transpose();
    ticket.map_err(|error| BadInput::invalid("invalid_ticket", error.to_string()))
}

fn justification(value: Option<Value>) -> Result<Option<Justification>, BadInput> {
    let justification = json::optional_text("justification", value)?.map(Justification::try_from).transpose();
    justification.map_err(|error| BadInput::invalid("invalid_justification", error.to_string()))
}

fn entitlement(value: Option<Value>) -> Result<EntitlementId, BadInput> {
    json::text("entitlement", value)?.parse().map_err(|_| {
        let detail =
            "field `entitlement` is not an entitlement id: send 2 to 64 of `a-z`, `0-9`, `-`, starting with a letter";
        BadInput::invalid("entitlement_unknown", detail)
    })
}

fn parameters(raw: RawParameters) -> Result<BTreeMap<String, ParameterValue>, BadInput> {
    let parse = |(name, value): (String, Value)| {
        let text = json::text(&format!("parameters.{}", shown(&name)), Some(value))?;
        let value = ParameterValue::try_from(text).map_err(|error| {
            BadInput::invalid("invalid_parameter", format!("parameter `{}`: {error}", shown(&name)))
        })?;
        Ok((name, value))
    };
    raw.0.into_iter().map(parse).collect()
}

pub(super) fn term(name: &str, value: Option<Value>) -> Result<Term, BadInput> {
    let expected = format!("a whole number of seconds from {} to {}", Term::MIN, Term::MAX);
    let Some(value) = value else {
        return Err(json::missing(name));
    };
    let Value::Number(number) = value else {
        return Err(json::wrong_type(name, &expected));
    };
    number
        .as_i64()
        .and_then(|seconds| Term::from_seconds(seconds).ok())
        .ok_or_else(|| BadInput::invalid("term_out_of_range", format!("field `{name}` must be {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ProblemKind;

    fn read(text: &str) -> Result<Ask, BadInput> {
        ask(RawBody { content_type: Some("application/json; charset=utf-8"), bytes: text.as_bytes() })
    }

    fn refused(text: &str) -> (u16, &'static str, String) {
        let bad = read(text).unwrap_err();
        (bad.kind.status(), bad.code, bad.detail)
    }

    #[test]
    fn ask_reads_every_field_of_a_request() {
        let text = r#"{"entitlement":"deploy-release","parameters":{"version":"v1.2.3"},"term_s":90,
            "ticket":"OPS-1","justification":"why not"}"#;
        let ask = read(text).unwrap();
        assert_eq!(ask.entitlement.as_str(), "deploy-release");
        assert_eq!(ask.term_s.as_seconds(), 90);
        assert_eq!(ask.parameters["version"].as_str(), "v1.2.3");
        assert_eq!(ask.ticket.unwrap().as_str(), "OPS-1");
        assert_eq!(ask.justification.unwrap().as_str(), "why not");
        assert_eq!((ask.on_behalf_of, ask.renews), (None, None));
        let text = r#"{"entitlement":"deploy-release","term_s":60,"on_behalf_of":"ana","renews":"grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#;
        let ask = read(text).unwrap();
        assert_eq!(ask.on_behalf_of.unwrap().as_str(), "ana");
        assert_eq!(ask.renews.unwrap().to_string(), "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let least = read(r#"{"entitlement":"deploy-release","term_s":60,"ticket":null}"#).unwrap();
        assert!(least.parameters.is_empty() && least.ticket.is_none());
    }

    #[test]
    fn renewal_accepts_only_term_ticket_and_justification() {
        let read = |text: &'static str| renew(RawBody { content_type: None, bytes: text.as_bytes() });
        let body = read(r#"{"term_s":90,"ticket":"OPS-1","justification":"why not"}"#).unwrap();
        assert_eq!((body.term_s.as_seconds(), body.ticket.unwrap().as_str()), (90, "OPS-1"));
        assert!(body.justification.is_some());
        for (text, code) in [
            ("{}", "field_missing"),
            (r#"{"term_s":90,"entitlement":"ab"}"#, "field_unknown"),
            (r#"{"term_s":1}"#, "term_out_of_range"),
            (r#"{"term_s":90,"ticket":"a b"}"#, "invalid_ticket"),
        ] {
            assert_eq!(read(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn ask_refuses_each_bad_body_with_a_specific_error() {
        let deep = format!(r#"{{"entitlement":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        let rows: [(&str, u16, &str, &str); 31] = [
            ("", 400, "body_missing", "send a JSON object"),
            (" \n", 400, "body_missing", "send a JSON object"),
            ("{", 400, "json_syntax", "line 1 column 1"),
            ("{\n\"entitlement\":}", 400, "json_syntax", "expected value at line 2 column 15"),
            ("{}x", 400, "json_syntax", "trailing characters at line 1 column 3"),
            ("\u{feff}{}", 400, "json_syntax", "line 1 column 1"),
            (&deep, 400, "json_syntax", "recursion limit"),
            ("[]", 400, "field_type", "the body must be a JSON object"),
            (r#"["ab",{},60,null,null]"#, 400, "field_type", "the body must be a JSON object"),
            ("\"x\"", 400, "field_type", "the body must be a JSON object"),
            ("null", 400, "field_type", "must be a JSON object"),
            ("{}", 400, "field_missing", "field `entitlement` is missing"),
            (r#"{"entitlement":"ab"}"#, 400, "field_missing", "field `term_s` is missing"),
            (r#"{"entitlement":7,"term_s":60}"#, 400, "field_type", "field `entitlement` must be a string"),
            (r#"{"entitlement":"A*","term_s":60}"#, 422, "entitlement_unknown", "is not an entitlement id"),
            (
                r#"{"entitlement":"ab","term_s":60,"identity":"dana"}"#,
                400,
                "field_unknown",
                "there is no field `identity` (line 1 column 42); the fields are: entitlement, parameters, term_s, ticket, justification, on_behalf_of, renews",
            ),
            (
                r#"{"entitlement":"ab","term_s":60,"on_behalf_of":"Ana"}"#,
                400,
                "identity_id",
                "`Ana` is not an identity id",
            ),
            (
                r#"{"entitlement":"ab","term_s":60,"on_behalf_of":7}"#,
                400,
                "field_type",
                "`on_behalf_of` must be a string",
            ),
            (r#"{"entitlement":"ab","term_s":60,"renews":"grt_1"}"#, 400, "grant_id", "`grt_1` is not a grant id"),
            (
                r#"{"entitlement":"ab","entitlement":"cd","term_s":60}"#,
                400,
                "field_duplicate",
                "`entitlement` appears twice",
            ),
            (
                r#"{"entitlement":"ab","term_s":"90"}"#,
                400,
                "field_type",
                "field `term_s` must be a whole number of seconds from 60 to 43200",
            ),
            (r#"{"entitlement":"ab","term_s":0}"#, 422, "term_out_of_range", "from 60 to 43200"),
            (r#"{"entitlement":"ab","term_s":-90}"#, 422, "term_out_of_range", "from 60 to 43200"),
            (r#"{"entitlement":"ab","term_s":1e9}"#, 422, "term_out_of_range", "from 60 to 43200"),
            (r#"{"entitlement":"ab","term_s":99999999999999999999999}"#, 422, "term_out_of_range", "from 60 to 43200"),
            (
                r#"{"entitlement":"ab","term_s":60,"parameters":[]}"#,
                400,
                "field_type",
                "an object of strings in `parameters`",
            ),
            (
                r#"{"entitlement":"ab","term_s":60,"parameters":{"a":1}}"#,
                400,
                "field_type",
                "field `parameters.a` must be a string",
            ),
            (
                r#"{"entitlement":"ab","term_s":60,"parameters":{"a":"1","a":"2"}}"#,
                400,
                "field_duplicate",
                "`a` appears twice",
            ),
            (
                r#"{"entitlement":"ab","term_s":60,"parameters":{"a":"*"}}"#,
                422,
                "invalid_parameter",
                "wildcards and `$` are never allowed",
            ),
            (r#"{"entitlement":"ab","term_s":60,"ticket":"a b"}"#, 422, "invalid_ticket", "1 to 64 characters"),
            (
                r#"{"entitlement":"ab","term_s":60,"justification":""}"#,
                422,
                "invalid_justification",
                "1 to 1000 characters",
            ),
        ];
        for (text, status, code, words) in rows {
            let (found_status, found_code, detail) = refused(text);
            assert_eq!((found_status, found_code), (status, code), "{text}: {detail}");
            assert!(detail.contains(words), "{text}: {detail}");
        }
    }

    #[test]
    fn error_messages_never_quote_a_value() {
        let start = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LXNlY3JldC1zZWNyZXQt";
        let secret = format!("{start}c2VjcmV0.c2ln");
        for text in [
            format!(r#""{secret}""#),
            format!(r#"{{"term_s":"{secret}","entitlement":"ab"}}"#),
            format!(r#"{{"entitlement":"{secret}"}}"#),
            format!(r#"{{"parameters":"{secret}"}}"#),
            format!(r#"{{"{secret}":1}}"#),
            format!(r#"{{"x`, expected {secret}":1}}"#),
            format!(r#"{{"parameters":{{"{secret}":1,"{secret}":2}}}}"#),
            format!(r#"{{"entitlement":"ab","term_s":60,"parameters":{{"a":"{secret}*"}}}}"#),
            format!(r#"{{"entitlement":"ab","term_s":60,"ticket":"{secret} "}}"#),
            format!(r#"{{"entitlement":"ab","term_s":60,"justification":"{secret}\u0007"}}"#),
        ] {
            let (_, _, detail) = refused(&text);
            assert!(!detail.contains(start), "{text}: {detail}");
        }
    }

    #[test]
    fn ask_checks_size_and_media_type_before_the_json() {
        let long = format!(r#"{{"justification":"{}"}}"#, "x".repeat(16 * 1024));
        assert_eq!(read(&long).unwrap_err().kind, ProblemKind::TooLarge);
        let xml = RawBody { content_type: Some("text/xml"), bytes: b"{}" };
        assert_eq!(ask(xml).unwrap_err().kind, ProblemKind::UnsupportedMedia);
        let bare = RawBody { content_type: None, bytes: br#"{"entitlement":"ab","term_s":60}"# };
        assert!(ask(bare).is_ok());
        let at_limit = format!("{{}}{}", " ".repeat(super::super::MAX_BODY_BYTES - 2));
        assert_eq!(read(&at_limit).unwrap_err().code, "field_missing");
        assert_eq!(read(&format!("{at_limit} ")).unwrap_err().code, "body_too_large");
    }

    #[test]
    fn ask_refuses_text_that_is_not_unicode() {
        let body = RawBody { content_type: None, bytes: b"{\"entitlement\":\"\xff\"}" };
        assert_eq!(ask(body).unwrap_err().code, "json_syntax");
    }
}
