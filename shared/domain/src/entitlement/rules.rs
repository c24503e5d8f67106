//! Further rules of an entitlement: its risk, its demands on a request, and the secrets to rotate afterwards.

use serde::{Deserialize, Serialize};

use super::parameter::matches_whole;
use crate::request::{Justification, Ticket};

/// The harm that misuse of an entitlement can do, in its owner's judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Hardly any harm.
    Low,
    /// Some harm; the default.
    #[default]
    Medium,
    /// Much harm.
    High,
    /// So much harm that a person must always approve, except for break-glass.
    Critical,
}

impl Risk {
    /// The risk as the catalogue and policies write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The rule on the ticket of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRule {
    /// Whether a request must name a ticket.
    pub required: bool,
    /// A regular expression that the whole ticket must match, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

impl TicketRule {
    /// Whether the rule requires nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `ticket` matches the pattern.
    #[must_use]
    pub fn accepts(&self, ticket: &Ticket) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches_whole(pattern, ticket.as_str()))
    }
}

/// Whether a request must, may or must not give a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// The request must give it.
    Required,
    /// The request may give it.
    #[default]
    Optional,
    /// The request must not give it.
    None,
}

/// The rule on the justification of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JustificationRule {
    /// Whether a request gives a justification.
    pub need: Requirement,
    /// The minimum length in characters, not counting blanks at either end. 0 requires nothing.
    #[serde(default)]
    pub min_length: u32,
}

impl JustificationRule {
    /// Whether the rule requires nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `justification` is long enough.
    #[must_use]
    pub fn accepts(&self, justification: &Justification) -> bool {
        let n = justification.as_str().trim().chars().count();
        u32::try_from(n).is_ok_and(|n| n >= self.min_length)
    }
}

/// A secret to rotate after the end of a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The ARN of the secret; a final `-??????` stands for the suffix that Secrets Manager adds to a name.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html>
    pub secret: String,
    /// The number of rotations: 2 if two users alternate, so that the user who was read is replaced as well.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotation-strategy.html>
    pub times: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_must_match_the_pattern_as_a_whole() {
        let ticket = |text: &str| Ticket::try_from(text.to_owned()).unwrap();
        let rule = TicketRule { required: false, pattern: Some("INC-[0-9]+|OPS#[0-9]+".to_owned()) };
        assert!(rule.accepts(&ticket("INC-7")) && rule.accepts(&ticket("OPS#7")));
        assert!(!rule.accepts(&ticket("INC-7x")) && !rule.accepts(&ticket("xOPS#7")) && !rule.accepts(&ticket("7")));
        assert!(TicketRule::default().accepts(&ticket("7")));
    }

    #[test]
    fn justification_length_ignores_blanks_at_both_ends() {
        let why = |text: &str| Justification::try_from(text.to_owned()).unwrap();
        let rule = JustificationRule { need: Requirement::Optional, min_length: 3 };
        assert!(rule.accepts(&why("öäü")) && rule.accepts(&why(" a b ")));
        assert!(!rule.accepts(&why("ab")) && !rule.accepts(&why("a\n   ")) && !rule.accepts(&why("    ")));
    }
}
