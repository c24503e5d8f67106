//! The gate reads the clock only here.

use chrono::{DateTime, SecondsFormat, Utc};

/// The instant at which AWS would record the call's arrival.
#[expect(clippy::disallowed_methods, reason = "the gate stands for AWS, and AWS decides by its own clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// RFC 3339 in UTC with milliseconds, as in the call log.
pub(crate) fn millis(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// RFC 3339 in UTC with whole seconds, as in IAM's date conditions.
pub(crate) fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
