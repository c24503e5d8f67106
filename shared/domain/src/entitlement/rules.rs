//! What an entitlement says beside its access: how risky it is, what a request must tell, what to rotate afterwards.

use serde::{Deserialize, Serialize};

use super::parameter::matches_whole;
use crate::request::{Justification, Ticket};

/// How much harm the misuse of an entitlement can do, in its owner's judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Hardly any.
    Low,
    /// Some; also what is not said.
    #[default]
    Medium,
    /// Much.
    High,
    /// So much that a person always says yes first, but for break-glass.
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

/// What a request says about a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRule {
    /// Whether there must be one.
    pub required: bool,
    /// A regular expression that the whole of one must match, if any will not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

impl TicketRule {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `ticket` looks as it should.
    #[must_use]
    pub fn accepts(&self, ticket: &Ticket) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches_whole(pattern, ticket.as_str()))
    }
}

/// Whether something is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Always.
    Required,
    /// As one likes.
    #[default]
    Optional,
    /// Never.
    None,
}

/// What a request says about why it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JustificationRule {
    /// Whether it says why.
    pub need: Need,
    /// The least length of what is said, in characters, without the blanks around it. 0 asks for nothing.
    #[serde(default)]
    pub min_length: u32,
}

impl JustificationRule {
    /// Whether it asks for nothing.
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

/// A secret to rotate at the end of a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Its ARN; `-??????` at its end stands for what Secrets Manager adds to a name.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html>
    pub secret: String,
    /// How often: 2 where two users take turns, so that the one that was read is replaced as well.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotation-strategy.html>
    pub times: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_looks_as_its_pattern_says_from_end_to_end() {
        let ticket = |text: &str| Ticket::try_from(text.to_owned()).unwrap();
        let rule = TicketRule { required: false, pattern: Some("INC-[0-9]+|OPS#[0-9]+".to_owned()) };
        assert!(rule.accepts(&ticket("INC-7")) && rule.accepts(&ticket("OPS#7")));
        assert!(!rule.accepts(&ticket("INC-7x")) && !rule.accepts(&ticket("xOPS#7")) && !rule.accepts(&ticket("7")));
        assert!(TicketRule::default().accepts(&ticket("7")));
    }

    #[test]
    fn blanks_make_no_justification_longer() {
        let why = |text: &str| Justification::try_from(text.to_owned()).unwrap();
        let rule = JustificationRule { need: Need::Optional, min_length: 3 };
        assert!(rule.accepts(&why("öäü")) && rule.accepts(&why(" a b ")));
        assert!(!rule.accepts(&why("ab")) && !rule.accepts(&why("a\n   ")) && !rule.accepts(&why("    ")));
    }
}
