//! JSON bodies: bounded and of one media type. Errors name the position but never a value.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::error::Category;

use super::{BadInput, RawBody, shown};
use crate::problem::ProblemKind;

/// The maximum length of a body in bytes: 16 KiB.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Reads a body that must hold the JSON object `T`, whose fields are `names`.
pub(super) fn object<T: DeserializeOwned>(body: RawBody<'_>, names: &[&str]) -> Result<T, BadInput> {
    check(body)?;
    if body.bytes.trim_ascii().is_empty() {
        return Err(BadInput::malformed("body_missing", "the body is empty: send a JSON object"));
    }
    parse(body.bytes, names)
}

/// Reads a body that must be absent or an empty JSON object.
///
/// # Errors
///
/// [`BadInput`] for any other body.
pub fn no_body(body: RawBody<'_>) -> Result<(), BadInput> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    check(body)?;
    if !body.bytes.trim_ascii().is_empty() {
        let Empty {} = parse(body.bytes, &[])?;
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8], names: &[&str]) -> Result<T, BadInput> {
    // A derived `Deserialize` would also accept an array, field by field.
    if !bytes.trim_ascii().starts_with(b"{") {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| unreadable(&error, names))?;
        return Err(BadInput::malformed("field_type", "the body must be a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error, names))
}

fn check(body: RawBody<'_>) -> Result<(), BadInput> {
    if body.bytes.len() > MAX_BODY_BYTES {
        return Err(BadInput {
            kind: ProblemKind::TooLarge,
            code: "body_too_large",
            detail: format!("the body has {} bytes; send at most {MAX_BODY_BYTES}", body.bytes.len()),
        });
    }
    let media = body.content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
    match media {
        Some(media) if !body.bytes.is_empty() && !media.eq_ignore_ascii_case("application/json") => Err(BadInput {
            kind: ProblemKind::UnsupportedMedia,
            code: "media_type",
            detail: "the body's content type must be `application/json`".to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Describes the JSON error and its position. `serde_json` quotes offending values, so only its own words are kept.
fn unreadable(error: &serde_json::Error, names: &[&str]) -> BadInput {
    let place = format!("line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&format!(" at {place}")).unwrap_or(&text);
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            BadInput::malformed("json_syntax", format!("the body is not JSON: {text} at {place}"))
        }
        Category::Data => wrong_shape(text, &place, names),
    }
}

fn wrong_shape(text: &str, place: &str, names: &[&str]) -> BadInput {
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let cut = ["`, expected ", "`, there are no fields"];
        let name = cut.iter().find_map(|cut| rest.rsplit_once(cut)).map_or(rest, |(name, _)| name);
        let remedy = if names.is_empty() {
            "send no fields".to_owned()
        } else {
            format!("the fields are: {}", names.join(", "))
        };
        let detail = format!("there is no field `{}` ({place}); {remedy}", shown(name));
        return BadInput::malformed("field_unknown", detail);
    }
    if let Some(name) = text.strip_prefix("duplicate field `") {
        let name = name.strip_suffix('`').unwrap_or(name);
        let detail = format!("field `{}` appears twice ({place}); send it once", shown(name));
        return BadInput::malformed("field_duplicate", detail);
    }
    let expected = text.rsplit_once("expected ").map_or("another type", |(_, expected)| expected);
    BadInput::malformed("field_type", format!("expected {expected} at {place}"))
}

/// The text of a required field.
pub(super) fn text(name: &str, value: Option<Value>) -> Result<String, BadInput> {
    optional_text(name, value)?.ok_or_else(|| missing(name))
}

/// The text of an optional field, which may be absent or null.
pub(super) fn optional_text(name: &str, value: Option<Value>) -> Result<Option<String>, BadInput> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type(name, "a string")),
    }
}

pub(super) fn missing(name: &str) -> BadInput {
    BadInput::malformed("field_missing", format!("field `{name}` is missing"))
}

pub(super) fn wrong_type(name: &str, expected: &str) -> BadInput {
    BadInput::malformed("field_type", format!("field `{}` must be {expected}", shown(name)))
}
