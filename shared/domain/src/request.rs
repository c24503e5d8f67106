//! Requests. A stored request does not identify its caller; only a verified proof does.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entitlement::ParameterValue;
use crate::id::{EntitlementId, GrantId, IdentityId};
use crate::time::{Term, Timestamp};

/// The time for the decision on a request, in seconds. After that the request reads as lapsed.
pub const DECIDE_WITHIN_S: u32 = 60;

/// The content of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub entitlement: EntitlementId,
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterValue>,
    pub term_s: Term,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The justification for the people who approve and review. Never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// The human on whose behalf the caller asks. That human must have stored a delegation beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<IdentityId>,
    /// The grant to renew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<GrantId>,
}

/// A stored request: the hand-over from intake to the evaluator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The id of the grant that the request becomes.
    pub id: GrantId,
    pub ask: Ask,
    /// The instant of arrival.
    pub asked_at: Timestamp,
    /// The instant until which it may be decided.
    pub decide_by: Timestamp,
}

/// A ticket number: 1 to 64 characters of letters, digits and `-_#/.`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ticket(String);

/// The text is not a valid ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket must be 1 to 64 characters of letters, digits and `-_#/.`")]
pub struct TicketError;

impl Ticket {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Ticket {
    type Error = TicketError;

    fn try_from(text: String) -> Result<Self, TicketError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_#/.".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) { Ok(Self(text)) } else { Err(TicketError) }
    }
}

impl From<Ticket> for String {
    fn from(ticket: Ticket) -> Self {
        ticket.0
    }
}

/// The reason for a request: 1 to 1 000 characters without control characters. Its `Debug` form hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Justification(String);

/// The text is not a valid justification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a justification must be 1 to 1000 characters without control characters other than line ends")]
pub struct JustificationError;

impl Justification {
    /// The maximum length, in characters.
    pub const MAX: usize = 1_000;

    /// The justification as text, for people; not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Justification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Justification({} characters)", self.0.chars().count())
    }
}

impl TryFrom<String> for Justification {
    type Error = JustificationError;

    fn try_from(text: String) -> Result<Self, JustificationError> {
        let n = text.chars().count();
        if (1..=Self::MAX).contains(&n) && !text.chars().any(|c| c.is_control() && c != '\n') {
            Ok(Self(text))
        } else {
            Err(JustificationError)
        }
    }
}

impl From<Justification> for String {
    fn from(justification: Justification) -> Self {
        justification.0
    }
}
