//! Parameters, with which a request narrows its entitlement. Each has a type and bounds.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Day;

/// One parameter of an entitlement. Its value is always text, in the one form given here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Parameter {
    /// Text that matches a pattern.
    Text {
        /// A regular expression that the whole value must match.
        pattern: String,
        /// The maximum length, in characters.
        max_length: u32,
    },
    /// A whole number, written without leading zeros or `+`.
    Integer {
        /// The minimum.
        min: i64,
        /// The maximum.
        max: i64,
    },
    /// One of a list.
    Enum {
        /// The allowed values.
        values: BTreeSet<ParameterValue>,
    },
    /// A calendar day, written like `2026-11-22`.
    Date {
        /// The first allowed day, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Day>,
        /// The last allowed day, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Day>,
    },
}

impl Parameter {
    /// Whether the whole `value` is valid. A pattern that does not compile matches nothing.
    #[must_use]
    pub fn accepts(&self, value: &ParameterValue) -> bool {
        let text = value.as_str();
        match self {
            Self::Text { pattern, max_length } => {
                u32::try_from(text.len()).is_ok_and(|n| n <= *max_length) && matches_whole(pattern, text)
            }
            Self::Integer { min, max } => {
                // Only one form is valid: AWS would read `007`, `+7` and `-0` as other names.
                let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
                number.is_some_and(|number| (*min..=*max).contains(&number))
            }
            Self::Enum { values } => values.contains(value),
            Self::Date { min, max } => text.parse::<Day>().is_ok_and(|day| {
                min.as_ref().is_none_or(|min| day >= *min) && max.as_ref().is_none_or(|max| day <= *max)
            }),
        }
    }
}

/// Whether the whole `text` matches `pattern`. A pattern that does not compile matches nothing.
pub(super) fn matches_whole(pattern: &str, text: &str) -> bool {
    // The pattern must compile alone too: `a)|(?:b` compiles between the anchors, but is no pattern.
    let whole = regex_lite::Regex::new(pattern).and_then(|_| regex_lite::Regex::new(&format!("^(?:{pattern})$")));
    whole.is_ok_and(|pattern| pattern.is_match(text))
}

/// The form of a valid value, as it follows the word `must`.
impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { pattern, max_length } => {
                write!(f, "match `{pattern}` and have at most {max_length} characters")
            }
            Self::Integer { min, max } => write!(f, "be a whole number from {min} to {max}, like `{min}`"),
            Self::Enum { values } => {
                let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.as_str())).collect();
                write!(f, "be one of {}", values.join(", "))
            }
            Self::Date { min, max } => {
                f.write_str("be a day like `2026-11-22`")?;
                if let Some(min) = min {
                    write!(f, ", not before {min}")?;
                }
                max.as_ref().map_or(Ok(()), |max| write!(f, ", not after {max}"))
            }
        }
    }
}

/// A parameter's value: 1 to 256 characters that are special neither to IAM nor to a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParameterValue(String);

/// The text is not a parameter value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a parameter must be 1 to 256 characters of letters, digits and `_.:/=+-@,`; wildcards and `$` are never allowed"
)]
pub struct ParameterValueError;

impl ParameterValue {
    /// The maximum length, in characters.
    pub const MAX: usize = 256;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ParameterValue {
    type Error = ParameterValueError;

    fn try_from(text: String) -> Result<Self, ParameterValueError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:/=+-@,".contains(c);
        if (1..=Self::MAX).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text))
        } else {
            Err(ParameterValueError)
        }
    }
}

impl From<ParameterValue> for String {
    fn from(value: ParameterValue) -> Self {
        value.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> ParameterValue {
        ParameterValue::try_from(text.to_owned()).unwrap()
    }

    fn text(pattern: &str, max_length: u32) -> Parameter {
        Parameter::Text { pattern: pattern.to_owned(), max_length }
    }

    #[test]
    fn parameter_value_rejects_wildcards_and_variables() {
        for text in ["", "*", "a?", "${aws:username}", "a\"b", "a\nb", "a b", "é", &"a".repeat(257)] {
            assert!(ParameterValue::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn text_parameter_accepts_only_a_match_of_the_whole_value() {
        let parameter = text("v1|v2", 8);
        assert!(parameter.accepts(&value("v1")) && parameter.accepts(&value("v2")));
        assert!(!parameter.accepts(&value("v1x")) && !parameter.accepts(&value("xv2")));
        assert!(!text("a)|(?:v1", 8).accepts(&value("v1")));
        assert!(!text("(", 8).accepts(&value("v1")));
        assert!(!text("a+", 2).accepts(&value("aaa")));
    }

    #[test]
    fn integer_parameter_accepts_one_form_within_its_bounds() {
        let parameter = Parameter::Integer { min: -2, max: 100 };
        for good in ["-2", "-1", "0", "7", "100"] {
            assert!(parameter.accepts(&value(good)), "{good}");
        }
        for bad in ["-3", "101", "007", "+7", "-0", "7.0", "0x7", "7/8", "1e1", "-", "99999999999999999999"] {
            assert!(!parameter.accepts(&value(bad)), "{bad}");
        }
        assert_eq!(parameter.to_string(), "be a whole number from -2 to 100, like `-2`");
    }

    #[test]
    fn enum_parameter_accepts_only_listed_values() {
        let parameter = Parameter::Enum { values: [value("shop"), value("billing")].into() };
        assert!(parameter.accepts(&value("shop")));
        for bad in ["sho", "shop/", "Shop", "shop,billing"] {
            assert!(!parameter.accepts(&value(bad)), "{bad}");
        }
        assert_eq!(parameter.to_string(), "be one of `billing`, `shop`");
    }

    #[test]
    fn date_parameter_accepts_calendar_days_within_its_bounds() {
        let parameter = Parameter::Date { min: "2026-01-31".parse().ok(), max: "2028-12-31".parse().ok() };
        for good in ["2026-01-31", "2028-02-29", "2028-12-31"] {
            assert!(parameter.accepts(&value(good)), "{good}");
        }
        for bad in
            ["2026-01-30", "2029-01-01", "2027-02-29", "2026-2-1", "2026-02-01T00:00:00Z", "20260201", "+2026-02-01"]
        {
            assert!(!parameter.accepts(&value(bad)), "{bad}");
        }
        assert!(Parameter::Date { min: None, max: None }.accepts(&value("0001-01-01")));
        assert_eq!(parameter.to_string(), "be a day like `2026-11-22`, not before 2026-01-31, not after 2028-12-31");
    }
}
