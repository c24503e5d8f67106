//! `POST /v1/grants/{id}/review`: the result of reviewing a use of break-glass.

use brevet_domain::canonical::Digest;
use brevet_domain::review::{Note, ReviewOutcome};
use serde::Deserialize;
use serde_json::Value;

use super::{BadInput, RawBody, json};

/// A review as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewBody {
    /// The reviewer's conclusion.
    pub outcome: ReviewOutcome,
    /// The reviewer's note.
    pub note: Note,
    /// The digest of the decision that the reviewer saw.
    pub digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReview {
    outcome: Option<Value>,
    note: Option<Value>,
    digest: Option<Value>,
}

/// Reads the body of a review.
///
/// # Errors
///
/// [`BadInput`], always malformed.
pub fn review(body: RawBody<'_>) -> Result<ReviewBody, BadInput> {
    let raw: RawReview = json::object(body, &["outcome", "note", "digest"])?;
    let outcome = match json::text("outcome", raw.outcome)?.as_str() {
        "justified" => ReviewOutcome::Justified,
        "unjustified" => ReviewOutcome::Unjustified,
        _ => return Err(json::wrong_type("outcome", "`justified` or `unjustified`")),
    };
    let note = Note::try_from(json::text("note", raw.note)?).map_err(|_| {
        json::wrong_type("note", "1 to 1000 characters without control characters other than line ends")
    })?;
    let digest = json::text("digest", raw.digest)?.parse().map_err(|_| {
        let expected = "the grant's `digest` as you read it: 64 lower-case hex digits";
        json::wrong_type("digest", expected)
    })?;
    Ok(ReviewBody { outcome, note, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ReviewBody, BadInput> {
        review(RawBody { content_type: None, bytes: text.as_bytes() })
    }

    #[test]
    fn review_reads_a_body_and_refuses_each_bad_one_with_a_specific_error() {
        let digest = Digest::of_bytes(b"x");
        let good = format!(r#"{{"outcome":"justified","note":"the shop was down","digest":"{digest}"}}"#);
        let body = read(&good).unwrap();
        assert_eq!((body.outcome, body.digest), (ReviewOutcome::Justified, digest));
        assert!(!format!("{body:?}").contains("shop"), "the note stays out of logs");
        for (text, code, words) in [
            ("{}".to_owned(), "field_missing", "`outcome`"),
            (good.replace("justified", "fine"), "field_type", "`justified` or `unjustified`"),
            (good.replace("the shop was down", ""), "field_type", "1 to 1000 characters"),
            (good.replace("the shop was down", &"x".repeat(1_001)), "field_type", "1 to 1000 characters"),
            (good.replace(&digest.to_string(), "abc"), "field_type", "64 lower-case hex digits"),
            (good.replace('}', r#","by":"dana"}"#), "field_unknown", "`by`"),
        ] {
            let bad = read(&text).unwrap_err();
            assert_eq!(bad.code, code, "{text}: {bad}");
            assert!(bad.detail.contains(words), "{text}: {bad}");
        }
    }
}
