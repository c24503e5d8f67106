//! Entitlements: requestable units of access, and the parameters that narrow them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{EntitlementId, IdentityId, PolicyName, TargetName};
use crate::time::Term;

/// A requestable unit of access, with its rules. Policies decide who may have it; what is here only tightens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    /// Its name.
    pub id: EntitlementId,
    /// The human who answers for it.
    pub owner: IdentityId,
    /// What it is for, in one line.
    pub description: String,
    /// How access reaches its holder.
    pub delivery: Delivery,
    /// The longest term, whatever a policy says.
    pub max_term: Term,
    /// How long after approval the grant may still be started, in seconds.
    pub start_within_s: u32,
    /// Parameters that a request must give, each exactly once.
    pub parameters: BTreeMap<String, Parameter>,
    /// What it allows; `${name}` stands for a parameter, `${account}`, `${partition}` and `${region}` for the deployment's.
    pub statements: Vec<Statement>,
    /// Who must say yes where no policy waives it.
    pub approval: Approval,
    /// Whether a request must name a ticket.
    pub ticket_required: bool,
    /// What must not be held by identities of one sponsor together with it: how long after the end of one the other
    /// still conflicts, in seconds. A conflict stands in both of its entitlements.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<EntitlementId, u32>,
    /// Marked for emergencies: it may hold what no other entitlement may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// What it allows whose effect does not end with the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

/// What marks an entitlement for emergencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The human who reviews each use.
    pub reviewer: IdentityId,
}

/// An action that hands out, opens or reveals what does not end with the grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outliving {
    /// The action, as IAM names it.
    pub action: String,
    /// What stays, and until when.
    pub why: String,
}

/// How access reaches its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delivery {
    /// STS credentials vended against the grant.
    Session {
        /// The session role that is assumed.
        target: TargetName,
        /// How long one vended credential lives, in seconds: 900 to 3 600.
        ///
        /// A Lambda's own role makes each vend role chaining, which AWS caps at one hour.
        /// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
        credential_s: u32,
        /// Whether the session may touch IAM. Only break-glass may, and its end is then never proved by construction.
        iam_allowed: bool,
    },
    /// An inline policy on a principal, one a grant.
    Inline {
        /// The role; `${account}`, `${partition}` and `${deployment}` stand for the deployment's, parameters never.
        principal_arn: String,
        /// Who holds the principal.
        holder: Holder,
    },
    /// A managed policy attached to a principal. It carries no time limit: its end depends on the reaper.
    Managed {
        /// The role, as above.
        principal_arn: String,
        /// The policy, which lies under the deployment's own path.
        policy: PolicyName,
        /// Who holds the principal.
        holder: Holder,
    },
}

/// Who holds an attachment principal: what is attached to it elevates all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// One identity; nobody else may have anything attached to it.
    Single(IdentityId),
    /// Several, and the catalogue says so.
    Shared,
}

impl Holder {
    /// Whether `identity` may have something attached to the principal.
    #[must_use]
    pub fn admits(&self, identity: &IdentityId) -> bool {
        match self {
            Self::Single(holder) => holder == identity,
            Self::Shared => true,
        }
    }
}

/// One parameter of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// A regular expression that the whole value must match.
    pub pattern: String,
    /// The longest value, in characters.
    pub max_length: u32,
}

/// How many people must approve, and by when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// How many different people, at least 1.
    pub count: u8,
    /// How long they have, in seconds.
    pub within_s: u32,
}

/// Conditions of a statement: operator, key, values.
pub type Conditions = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// One Allow statement of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Actions, as IAM names them.
    pub actions: Vec<String>,
    /// Resource ARNs.
    pub resources: Vec<String>,
    /// Conditions, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: Conditions,
}

/// A parameter's value: 1 to 256 characters, none of which IAM or a template could read as more than itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParameterValue(String);

/// The text is no parameter value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a parameter must be 1 to 256 characters of letters, digits and `_.:/=+-@,`; wildcards and `$` are never allowed"
)]
pub struct ParameterValueError;

impl ParameterValue {
    /// The longest value, in characters.
    pub const MAX: usize = 256;

    /// The value as text.
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

/// Why a request does not fit its entitlement, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitError {
    /// A parameter is missing.
    #[error("parameter `{0}` is missing")]
    Missing(String),
    /// A parameter is not one of the entitlement's.
    #[error("entitlement `{entitlement}` has no parameter `{name}`; it has: {known}")]
    Unknown {
        /// The entitlement.
        entitlement: EntitlementId,
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// A value does not match.
    #[error("parameter `{name}` must match `{pattern}` and have at most {max_length} characters")]
    Pattern {
        /// The parameter.
        name: String,
        /// What the whole value must match.
        pattern: String,
        /// The longest value, in characters.
        max_length: u32,
    },
    /// The term is too long.
    #[error("a term of {asked} s is too long: `{entitlement}` allows at most {max} s")]
    Term {
        /// The entitlement.
        entitlement: EntitlementId,
        /// What was asked, in seconds.
        asked: u32,
        /// What is allowed, in seconds.
        max: u32,
    },
    /// No ticket is named.
    #[error("`{0}` needs a `ticket`")]
    Ticket(EntitlementId),
}

impl Parameter {
    /// Whether the whole of `value` matches. A pattern that does not compile matches nothing.
    #[must_use]
    pub fn accepts(&self, value: &ParameterValue) -> bool {
        let fits = u32::try_from(value.as_str().len()).is_ok_and(|n| n <= self.max_length);
        // Alone too: `a)|(?:b` compiles between the anchors, but is no pattern.
        let whole = regex_lite::Regex::new(&self.pattern)
            .and_then(|_| regex_lite::Regex::new(&format!("^(?:{})$", self.pattern)));
        fits && whole.is_ok_and(|pattern| pattern.is_match(value.as_str()))
    }
}

impl Entitlement {
    /// Checks what does not depend on who asks: parameters, term and ticket.
    ///
    /// # Errors
    ///
    /// The first [`MisfitError`] found.
    pub fn check(
        &self,
        parameters: &BTreeMap<String, ParameterValue>,
        term: Term,
        has_ticket: bool,
    ) -> Result<(), MisfitError> {
        for (name, parameter) in &self.parameters {
            let value = parameters.get(name).ok_or_else(|| MisfitError::Missing(name.clone()))?;
            if !parameter.accepts(value) {
                return Err(MisfitError::Pattern {
                    name: name.clone(),
                    pattern: parameter.pattern.clone(),
                    max_length: parameter.max_length,
                });
            }
        }
        if let Some(name) = parameters.keys().find(|name| !self.parameters.contains_key(*name)) {
            let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
            return Err(MisfitError::Unknown {
                entitlement: self.id.clone(),
                name: name.chars().take(80).collect(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            });
        }
        if term > self.max_term {
            let (asked, max) = (term.as_seconds(), self.max_term.as_seconds());
            return Err(MisfitError::Term { entitlement: self.id.clone(), asked, max });
        }
        if self.ticket_required && !has_ticket {
            return Err(MisfitError::Ticket(self.id.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_carry_a_wildcard_or_a_variable() {
        for text in ["", "*", "a?", "${aws:username}", "a\"b", "a\nb", "a b", "é", &"a".repeat(257)] {
            assert!(ParameterValue::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_value_or_nothing() {
        let value = |text: &str| ParameterValue::try_from(text.to_owned()).unwrap();
        let parameter = Parameter { pattern: "v1|v2".to_owned(), max_length: 8 };
        assert!(parameter.accepts(&value("v1")) && parameter.accepts(&value("v2")));
        assert!(!parameter.accepts(&value("v1x")) && !parameter.accepts(&value("xv2")));
        assert!(!Parameter { pattern: "a)|(?:v1".to_owned(), max_length: 8 }.accepts(&value("v1")));
        assert!(!Parameter { pattern: "(".to_owned(), max_length: 8 }.accepts(&value("v1")));
        assert!(!Parameter { pattern: "a+".to_owned(), max_length: 2 }.accepts(&value("aaa")));
    }
}
