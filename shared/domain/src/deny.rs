//! The reserved deny: how single sessions of a session role are ended before their time.
//!
//! Each early end is an entry; all live entries of a role render to one inline policy of that role.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::canonical::{CanonicalError, canonical};
use crate::id::GrantId;
use crate::time::Timestamp;

/// One early-ended session. It may leave once nothing that it denies can still be alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyEntry {
    /// The session role.
    pub role_arn: String,
    /// The grant whose session is denied.
    pub grant: GrantId,
    /// The STS session name.
    pub session_name: String,
    /// When the entry was stored.
    pub stored_at: Timestamp,
    /// From when it may leave: the last expiry of what was vended, or the deadline if that is sooner, plus skew.
    pub leave_at: Timestamp,
}

/// The most characters that the inline policies of a role may have together, white space not counted.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MAX_ROLE_INLINE: usize = 10_240;

/// The reserved policy for `session_names`, in their order; nothing if there are none.
///
/// `aws:userid` of an assumed role is `<role id>:<session name>`, and session names hold no `*` or `?`.
///
/// # Errors
///
/// [`CanonicalError`] never in practice: texts always have a JSON form.
pub fn document<'a>(session_names: impl IntoIterator<Item = &'a str>) -> Result<Option<String>, CanonicalError> {
    let users: Vec<String> = session_names.into_iter().map(|name| format!("*:{name}")).collect();
    if users.is_empty() {
        return Ok(None);
    }
    let condition = json!({ "StringLike": { "aws:userid": users } });
    let deny = json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition });
    canonical(&json!({ "Version": "2012-10-17", "Statement": [deny] })).map(Some)
}

/// The sessions that `document` denies, by name. Only statements that deny everything under no other condition count;
/// a document that cannot be read denies nobody.
#[must_use]
pub fn session_names(document: &str) -> BTreeSet<String> {
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let statements = parsed.get("Statement").and_then(|s| s.as_array());
    statements.into_iter().flatten().flat_map(denied_by).collect()
}

/// Whether `document` denies the session called `session_name`.
#[must_use]
pub fn denies(document: &str, session_name: &str) -> bool {
    session_names(document).contains(session_name)
}

fn denied_by(statement: &serde_json::Value) -> Vec<String> {
    let is = |key: &str, value: &str| statement.get(key).and_then(|v| v.as_str()) == Some(value);
    let sizes = (
        statement.get("Condition").and_then(|c| c.as_object()).map(|c| c.len()),
        statement.pointer("/Condition/StringLike").and_then(|c| c.as_object()).map(|c| c.len()),
    );
    if !(is("Effect", "Deny") && is("Action", "*") && is("Resource", "*") && sizes == (Some(1), Some(1))) {
        return Vec::new();
    }
    let users = statement.pointer("/Condition/StringLike/aws:userid").and_then(|u| u.as_array());
    users.into_iter().flatten().filter_map(|user| user.as_str()?.strip_prefix("*:").map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_denies_whom_it_names_and_nobody_else() {
        let text = document(["dev.01A", "dev.01B"]).unwrap().unwrap();
        assert!(denies(&text, "dev.01A") && denies(&text, "dev.01B"));
        assert!(!denies(&text, "dev.01") && !denies(&text, "dev.01C"));
        assert_eq!(document([]).unwrap(), None);
    }

    #[test]
    fn a_weakened_document_does_not_count_as_a_deny() {
        let text = document(["dev.01A"]).unwrap().unwrap();
        for (from, to) in
            [("Deny", "Allow"), (r#""Resource":"*""#, r#""Resource":"arn:x""#), ("StringLike", "StringEquals")]
        {
            let weakened = text.replace(from, to);
            assert_ne!(weakened, text);
            assert!(!denies(&weakened, "dev.01A"), "{weakened}");
        }
        let conditional = text.replace(r#"{"StringLike""#, r#"{"Bool":{"aws:SecureTransport":"false"},"StringLike""#);
        assert!(!denies(&conditional, "dev.01A") && !denies("not json", "dev.01A"));
    }

    #[test]
    fn two_hundred_and_eighty_entries_fit_the_quota() {
        let names: Vec<String> = (0..280).map(|n| format!("p1.01J{n:023}")).collect();
        assert!(document(names.iter().map(String::as_str)).unwrap().unwrap().len() <= MAX_ROLE_INLINE);
    }
}
