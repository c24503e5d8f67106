//! `POST /v1/grants/{id}/approvals`: a vote that names the digest of the decision that the voter saw.

use brevet_domain::canonical::Digest;
use serde::Deserialize;
use serde_json::Value;

use super::{BadInput, RawBody, json};

/// A vote as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BallotBody {
    /// Whether the voter approves.
    pub approve: bool,
    /// The digest of the decision that the voter saw.
    pub digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBallot {
    approve: Option<Value>,
    digest: Option<Value>,
}

/// Reads the body of a vote.
///
/// # Errors
///
/// [`BadInput`], always malformed.
pub fn ballot(body: RawBody<'_>) -> Result<BallotBody, BadInput> {
    let raw: RawBallot = json::object(body, &["approve", "digest"])?;
    let approve = match raw.approve {
        None => return Err(json::missing("approve")),
        Some(Value::Bool(approve)) => approve,
        Some(_) => return Err(json::wrong_type("approve", "`true` or `false`")),
    };
    let digest = json::text("digest", raw.digest)?.parse().map_err(|_| {
        let expected = "the grant's `digest` as you read it: 64 lower-case hex digits";
        json::wrong_type("digest", expected)
    })?;
    Ok(BallotBody { approve, digest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::no_body;

    fn read(text: &str) -> Result<BallotBody, BadInput> {
        ballot(RawBody { content_type: None, bytes: text.as_bytes() })
    }

    #[test]
    fn ballot_reads_a_vote_and_refuses_each_bad_one_with_a_specific_error() {
        let digest = Digest::of_bytes(b"x");
        let good = format!(r#"{{"approve":false,"digest":"{digest}"}}"#);
        assert_eq!(read(&good), Ok(BallotBody { approve: false, digest }));
        for (text, code, words) in [
            ("{}".to_owned(), "field_missing", "`approve`"),
            (r#"{"approve":true}"#.to_owned(), "field_missing", "`digest`"),
            (good.replace("false", "\"yes\""), "field_type", "`approve` must be `true` or `false`"),
            (good.replace(&digest.to_string(), "abc"), "field_type", "64 lower-case hex digits"),
            (good.replace("approve", "aprove"), "field_unknown", "the fields are: approve, digest"),
            (good.replace('}', r#","by":"dana"}"#), "field_unknown", "`by`"),
        ] {
            let bad = read(&text).unwrap_err();
            assert_eq!(bad.code, code, "{text}: {bad}");
            assert!(bad.detail.contains(words), "{text}: {bad}");
        }
    }

    #[test]
    fn no_body_accepts_only_an_absent_body_or_an_empty_object() {
        let read = |text: &'static str| no_body(RawBody { content_type: None, bytes: text.as_bytes() });
        assert!(read("").is_ok() && read(" {} ").is_ok());
        for (text, words) in [
            ("[]", "the body must be a JSON object"),
            ("null", "the body must be a JSON object"),
            (r#"{"identity":"dana"}"#, "there is no field `identity` (line 1 column 11); send no fields"),
            ("{", "the body is not JSON"),
        ] {
            let bad = read(text).unwrap_err();
            assert!(bad.detail.contains(words), "{text}: {bad}");
        }
    }
}
