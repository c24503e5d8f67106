//! Instants and durations. This module reads no clock: time enters as `now`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// An instant in UTC, to the millisecond.
///
/// Its text is always `2026-11-22T14:03:00.000Z`, so that texts sort as instants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an instant like `2026-11-22T14:03:00Z`")]
pub struct TimestampError(String);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last instant of the year 9999.
    pub const LATEST: Self = Self(253_402_300_799_999);

    /// The instant `millis` milliseconds after the Unix epoch; clamped to the years 1970 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        const END_OF_9999: i64 = 253_402_300_799_999;
        Self(millis.clamp(0, END_OF_9999))
    }

    /// The instant `seconds` seconds after the Unix epoch.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant `seconds` later.
    #[must_use]
    pub fn plus(self, seconds: u32) -> Self {
        Self::from_millis(self.0.saturating_add(i64::from(seconds).saturating_mul(1000)))
    }

    /// This instant `seconds` earlier.
    #[must_use]
    pub fn minus(self, seconds: u32) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::from(seconds).saturating_mul(1000)))
    }

    /// The start of this instant's second. An IAM condition can express nothing finer.
    #[must_use]
    pub fn floor(self) -> Self {
        Self::from_seconds(self.as_seconds())
    }

    /// Whole seconds from `earlier` to this instant, 0 if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0).div_euclid(1000)).unwrap_or(0)
    }

    /// The form of `aws:CurrentTime` in a policy: `2026-11-22T14:03:00Z`, rounded down.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
    #[must_use]
    pub fn policy_form(self) -> String {
        self.to_chrono().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    pub(crate) fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self::from_millis(at.timestamp_millis()))
            .map_err(|_| TimestampError(text.to_owned()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

/// The duration of a grant, in whole seconds: 60 to 43 200 inclusive.
///
/// The upper bound is the longest STS session. STS vends no session under 900 s: a shorter grant
/// ends by the time limit in its session policy, which the plan renders.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Term(u32);

/// The number of seconds is not a valid term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a term of {0} s is out of range: it must be {min} to {max} s", min = Term::MIN, max = Term::MAX)]
pub struct TermError(i64);

impl Term {
    /// The shortest term, in seconds.
    pub const MIN: u32 = 60;
    /// The longest term, in seconds.
    pub const MAX: u32 = 43_200;
    /// The shortest term.
    pub const SHORTEST: Self = Self(Self::MIN);

    /// Builds a term of `seconds` seconds.
    ///
    /// # Errors
    ///
    /// [`TermError`] if `seconds` is outside [`Self::MIN`]`..=`[`Self::MAX`].
    pub fn from_seconds(seconds: i64) -> Result<Self, TermError> {
        u32::try_from(seconds).ok().filter(|s| (Self::MIN..=Self::MAX).contains(s)).map(Self).ok_or(TermError(seconds))
    }

    /// The term in seconds.
    #[must_use]
    pub fn as_seconds(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Term {
    type Error = TermError;

    fn try_from(seconds: u32) -> Result<Self, TermError> {
        Self::from_seconds(i64::from(seconds))
    }
}

impl From<Term> for u32 {
    fn from(term: Term) -> Self {
        term.0
    }
}

/// A day of the calendar, 0001-01-01 to 9999-12-31, in no particular time zone. Its text is always `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(NaiveDate);

/// The text is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day like `2026-11-22`")]
pub struct DayError(String);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(Self);
        // Only the written form is valid: chrono also reads signs, blanks and fewer digits.
        let written = |day: &Self| text.len() == 10 && !text.starts_with("0000") && day.to_string() == text;
        day.filter(written).ok_or_else(|| DayError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;

    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_parses_only_its_written_form() {
        assert_eq!("2028-02-29".parse::<Day>().unwrap().to_string(), "2028-02-29");
        for text in
            ["", "2026-2-1", "2027-02-29", "0000-01-01", "-001-01-01", "+2026-01-01", "2026-01-01 ", "２０２６-01-01"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert!("2026-01-31".parse::<Day>().unwrap() < "2026-02-01".parse::<Day>().unwrap());
    }

    #[test]
    fn timestamp_texts_sort_like_their_instants() {
        let early = Timestamp::from_millis(999);
        let late = Timestamp::from_millis(1_000_000_000_000);
        assert!(early.to_string() < late.to_string());
        assert_eq!(late.to_string(), "2001-09-09T01:46:40.000Z");
        assert_eq!(late.to_string().parse(), Ok(late));
    }

    #[test]
    fn policy_form_rounds_down_to_the_second() {
        assert_eq!(Timestamp::from_millis(1_999).policy_form(), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn term_out_of_range_is_refused_with_the_range() {
        for seconds in [-1, 0, 59, 43_201, i64::MAX] {
            let error = Term::from_seconds(seconds).unwrap_err();
            assert!(error.to_string().ends_with("it must be 60 to 43200 s"), "{error}");
        }
        assert!(Term::from_seconds(60).is_ok() && Term::from_seconds(43_200).is_ok());
    }
}
