//! The reserved deny, which ends single sessions of a session role early.
//!
//! Each early end is an entry. All live entries of a role render to one inline policy of that role. If they do not fit,
//! the oldest are denied by time of issue instead. Live holders of that role then fetch new credentials.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::canonical::{CanonicalError, canonical};
use crate::id::GrantId;
use crate::time::Timestamp;

/// The entry of one session that ended early. It leaves once no credential that it denies can still be valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyEntry {
    pub role_arn: String,
    /// The grant whose session is denied.
    pub grant: GrantId,
    pub session_name: String,
    pub stored_at: Timestamp,
    /// The instant by which every credential of the session was certainly issued.
    pub issued_by: Timestamp,
    /// The instant from which the entry may leave: the last expiry of a vend, or the deadline if sooner, plus skew.
    pub leave_at: Timestamp,
}

/// The maximum number of characters in all inline policies of a role, not counting white space.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MAX_ROLE_INLINE: usize = 10_240;

/// How long a cut stays, in seconds: the longest credential lifetime plus the maximum configurable skew.
pub(crate) const CUT_S: u32 = 3_600 + 300;

/// The sessions that a role's reserved policy denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// The names of denied sessions.
    pub names: BTreeSet<String>,
    /// Denies every session that was issued before this whole second.
    pub cut: Option<Timestamp>,
}

impl Denied {
    /// The sessions that `document` denies. Only statements that deny everything under no other condition count. An
    /// unreadable document denies nobody.
    #[must_use]
    pub fn read(document: &str) -> Self {
        let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
        let statements = parsed.get("Statement").and_then(|s| s.as_array());
        let statements: Vec<_> = statements.into_iter().flatten().filter(|s| denies_all(s)).collect();
        Self {
            names: statements.iter().flat_map(|statement| named(statement)).collect(),
            cut: statements.iter().filter_map(|statement| cut(statement)).max(),
        }
    }

    /// Denies the sessions of `entries`, and those that the cut of `standing` must still deny, within the quota of a
    /// role.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] never in practice: texts always have a JSON form.
    pub fn fitting(entries: &[&DenyEntry], standing: &Self, now: Timestamp) -> Result<Self, CanonicalError> {
        let mut cut = standing.cut.filter(|cut| now < cut.plus(CUT_S));
        loop {
            let covered = |entry: &&&DenyEntry| cut.is_some_and(|cut| cut > entry.issued_by);
            let mut named: Vec<_> = entries.iter().filter(|entry| !covered(entry)).collect();
            let names: BTreeSet<String> = named.iter().map(|entry| entry.session_name.clone()).collect();
            let fitting = Self { names, cut };
            // The older half of the named sessions moves under the cut.
            named.sort_by_key(|entry| entry.issued_by);
            let latest = named.get(named.len().saturating_sub(1) / 2).map(|entry| entry.issued_by);
            let fits = fitting.document()?.is_none_or(|text| text.len() <= MAX_ROLE_INLINE);
            let Some(latest) = latest.filter(|_| !fits) else { return Ok(fitting) };
            cut = cut.max(Some(latest.plus(1).floor()));
        }
    }

    /// The policy document; `None` if it denies nobody.
    ///
    /// `aws:userid` of an assumed role is `<role id>:<session name>`, and session names hold no `*` or `?`.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] never in practice: texts always have a JSON form.
    pub fn document(&self) -> Result<Option<String>, CanonicalError> {
        let deny = |condition| json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition });
        let mut statements = Vec::new();
        if !self.names.is_empty() {
            let users: Vec<String> = self.names.iter().map(|name| format!("*:{name}")).collect();
            statements.push(deny(json!({ "StringLike": { "aws:userid": users } })));
        }
        if let Some(cut) = self.cut {
            statements.push(deny(json!({ "DateLessThan": { "aws:TokenIssueTime": cut.policy_form() } })));
        }
        if statements.is_empty() {
            return Ok(None);
        }
        canonical(&json!({ "Version": "2012-10-17", "Statement": statements })).map(Some)
    }

    /// Whether the policy denies session `session_name`, whose credentials were all issued by `issued_by`.
    #[must_use]
    pub fn denies(&self, session_name: &str, issued_by: Timestamp) -> bool {
        self.names.contains(session_name) || self.cut.is_some_and(|cut| cut > issued_by)
    }
}

/// The reserved policy for `session_names` only; `None` if there are none.
///
/// # Errors
///
/// [`CanonicalError`] never in practice: texts always have a JSON form.
pub fn document<'a>(session_names: impl IntoIterator<Item = &'a str>) -> Result<Option<String>, CanonicalError> {
    Denied { names: session_names.into_iter().map(str::to_owned).collect(), cut: None }.document()
}

/// Whether `document` denies session `session_name` by name.
#[must_use]
pub fn denies(document: &str, session_name: &str) -> bool {
    Denied::read(document).names.contains(session_name)
}

/// Whether a statement denies everything under one condition on one key.
fn denies_all(statement: &serde_json::Value) -> bool {
    let is = |key: &str, value: &str| statement.get(key).and_then(|v| v.as_str()) == Some(value);
    let condition = statement.get("Condition").and_then(|c| c.as_object());
    let keys = condition.and_then(|c| c.values().next()).and_then(|keys| keys.as_object());
    let sizes = (condition.map(serde_json::Map::len), keys.map(serde_json::Map::len));
    is("Effect", "Deny") && is("Action", "*") && is("Resource", "*") && sizes == (Some(1), Some(1))
}

fn named(statement: &serde_json::Value) -> Vec<String> {
    let users = statement.pointer("/Condition/StringLike/aws:userid").and_then(|u| u.as_array());
    users.into_iter().flatten().filter_map(|user| user.as_str()?.strip_prefix("*:").map(str::to_owned)).collect()
}

fn cut(statement: &serde_json::Value) -> Option<Timestamp> {
    statement.pointer("/Condition/DateLessThan/aws:TokenIssueTime")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_document_denies_exactly_the_named_sessions() {
        let text = document(["dev.01A", "dev.01B"]).unwrap().unwrap();
        assert!(denies(&text, "dev.01A") && denies(&text, "dev.01B"));
        assert!(!denies(&text, "dev.01") && !denies(&text, "dev.01C"));
        assert_eq!(document([]).unwrap(), None);
    }

    #[test]
    fn weakened_deny_document_counts_as_no_deny() {
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
    fn deny_document_with_280_entries_fits_the_quota() {
        let names: Vec<String> = (0..280).map(|n| format!("p1.01J{n:023}")).collect();
        assert!(document(names.iter().map(String::as_str)).unwrap().unwrap().len() <= MAX_ROLE_INLINE);
    }

    fn entry(n: u32) -> DenyEntry {
        let at = Timestamp::from_seconds(1_000_000).plus(n);
        DenyEntry {
            role_arn: "role".to_owned(),
            grant: GrantId::from_ulid(ulid::Ulid::from_parts(1, u128::from(n))),
            session_name: format!("dev.01J{n:023}"),
            stored_at: at,
            issued_by: at,
            leave_at: at.plus(900),
        }
    }

    #[test]
    fn surplus_entries_are_denied_by_time_of_issue_oldest_first() {
        let entries: Vec<_> = (0..1_000).map(entry).collect();
        let all: Vec<_> = entries.iter().collect();
        let now = Timestamp::from_seconds(1_001_000);
        let denied = Denied::fitting(&all, &Denied::default(), now).unwrap();
        let text = denied.document().unwrap().unwrap();
        assert!(text.len() <= MAX_ROLE_INLINE && Denied::read(&text) == denied);
        assert!(entries.iter().all(|entry| denied.denies(&entry.session_name, entry.issued_by)));
        assert!(denied.names.contains(&entries[999].session_name) && !denied.names.contains(&entries[0].session_name));
        assert!(denied.cut < Some(now), "a credential fetched now is not denied");
        // The same entries give the same document; one more entry does not move the cut.
        assert_eq!(Denied::fitting(&all, &denied, now).unwrap(), denied);
        let one_more: Vec<_> = entries.iter().chain([&entries[0]]).collect();
        assert_eq!(Denied::fitting(&one_more, &denied, now).unwrap().cut, denied.cut);
        // Sessions under the cut stay denied after their entries left, until every credential has expired.
        let left = Denied::fitting(&[], &denied, now.plus(3_600)).unwrap();
        assert_eq!((left.names.len(), left.cut), (0, denied.cut));
        let gone = Denied::fitting(&[], &denied, now.plus(CUT_S)).unwrap();
        assert_eq!(gone.document().unwrap(), None);
    }

    #[test]
    fn cut_counts_only_as_an_unweakened_deny_statement() {
        let denied = Denied { names: BTreeSet::new(), cut: Some(Timestamp::from_seconds(10)) };
        assert!(denied.denies("x", Timestamp::from_millis(9_999)) && !denied.denies("x", Timestamp::from_seconds(10)));
        let text = denied.document().unwrap().unwrap();
        assert_eq!(Denied::read(&text), denied);
        for (from, to) in
            [("DateLessThan", "DateGreaterThan"), ("Deny", "Allow"), ("aws:TokenIssueTime", "aws:CurrentTime")]
        {
            assert_eq!(Denied::read(&text.replace(from, to)), Denied::default(), "{to}");
        }
    }
}
