//! Checks a request against its entitlement. A failed check is the caller's mistake, whatever policy would say.

use super::{Entitlement, Requirement};
use crate::id::EntitlementId;
use crate::identity::IdentityClass;
use crate::request::{Ask, Justification};
use crate::time::Term;

/// The reason why a request does not fit its entitlement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The request lacks a parameter.
    #[error("parameter `{name}` is missing: it must {expected}")]
    Missing {
        name: String,
        /// The form of a valid value, after `must`.
        expected: String,
    },
    /// The request has a parameter that the entitlement does not define.
    #[error("entitlement `{entitlement}` has no parameter `{name}`; it has: {known}")]
    Unknown { entitlement: EntitlementId, name: String, known: String },
    /// The value of a parameter is not valid.
    #[error("parameter `{name}` must {expected}")]
    Parameter {
        name: String,
        /// The form of a valid value, after `must`.
        expected: String,
    },
    /// The term is longer than the entitlement allows.
    #[error("a term of {asked} s is too long: `{entitlement}` allows at most {max} s")]
    Term {
        entitlement: EntitlementId,
        /// The requested term, in seconds.
        asked: u32,
        /// The maximum term, in seconds.
        max: u32,
    },
    /// The term is longer than the entitlement allows the requester's class.
    #[error("a term of {asked} s is too long: `{entitlement}` allows class `{class}` at most {max} s", class = class.as_str())]
    ClassTerm {
        entitlement: EntitlementId,
        class: IdentityClass,
        /// The requested term, in seconds.
        asked: u32,
        /// The maximum term, in seconds.
        max: u32,
    },
    /// The request names no ticket.
    #[error("`{entitlement}` needs a `ticket`{}", matching(.pattern.as_deref()))]
    Ticket {
        entitlement: EntitlementId,
        /// The pattern that the whole ticket must match, if there is one.
        pattern: Option<String>,
    },
    /// The ticket does not match the pattern.
    #[error("the `ticket` for `{entitlement}` must match `{pattern}`")]
    TicketPattern {
        entitlement: EntitlementId,
        /// The pattern that the whole ticket must match.
        pattern: String,
    },
    /// The request has no justification.
    #[error("`{entitlement}` needs a `justification` of at least {min_length} characters")]
    Justification {
        entitlement: EntitlementId,
        /// The minimum length.
        min_length: u32,
    },
    /// The justification is too short.
    #[error(
        "the `justification` for `{entitlement}` must have at least {min_length} characters, not counting blanks at \
         either end"
    )]
    TooBrief {
        entitlement: EntitlementId,
        /// The minimum length.
        min_length: u32,
    },
    /// The request has a justification that the entitlement does not take.
    #[error("`{0}` takes no `justification`: leave it out")]
    NoJustification(EntitlementId),
}

fn matching(pattern: Option<&str>) -> String {
    pattern.map(|pattern| format!(" that matches `{pattern}`")).unwrap_or_default()
}

impl Entitlement {
    /// Checks the parts of a request that policies do not see: parameters, term, ticket and justification.
    ///
    /// # Errors
    ///
    /// The first [`InvalidRequest`] found.
    pub fn check(&self, class: IdentityClass, ask: &Ask) -> Result<(), InvalidRequest> {
        self.check_parameters(ask)?;
        self.check_term(class, ask.term_s)?;
        let id = || self.id.clone();
        match &ask.ticket {
            None if self.ticket.required => {
                return Err(InvalidRequest::Ticket { entitlement: id(), pattern: self.ticket.pattern.clone() });
            }
            Some(ticket) if !self.ticket.accepts(ticket) => {
                let pattern = self.ticket.pattern.clone().unwrap_or_default();
                return Err(InvalidRequest::TicketPattern { entitlement: id(), pattern });
            }
            None | Some(_) => {}
        }
        self.check_justification(ask.justification.as_ref())
    }

    fn check_parameters(&self, ask: &Ask) -> Result<(), InvalidRequest> {
        for (name, parameter) in &self.parameters {
            let value = ask.parameters.get(name);
            if value.is_some_and(|value| parameter.accepts(value)) {
                continue;
            }
            let (name, expected) = (name.clone(), parameter.to_string());
            return Err(match value {
                None => InvalidRequest::Missing { name, expected },
                Some(_) => InvalidRequest::Parameter { name, expected },
            });
        }
        let Some(name) = ask.parameters.keys().find(|name| !self.parameters.contains_key(*name)) else {
            return Ok(());
        };
        let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
        Err(InvalidRequest::Unknown {
            entitlement: self.id.clone(),
            name: name.chars().take(80).collect(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        })
    }

    fn check_term(&self, class: IdentityClass, term: Term) -> Result<(), InvalidRequest> {
        let longest = self.longest_term(class);
        if term <= longest {
            return Ok(());
        }
        let (entitlement, asked, max) = (self.id.clone(), term.as_seconds(), longest.as_seconds());
        Err(if self.max_term_of.contains_key(&class) {
            InvalidRequest::ClassTerm { entitlement, class, asked, max }
        } else {
            InvalidRequest::Term { entitlement, asked, max }
        })
    }

    fn check_justification(&self, given: Option<&Justification>) -> Result<(), InvalidRequest> {
        let (entitlement, min_length) = (self.id.clone(), self.justification.min_length);
        match (self.justification.need, given) {
            (Requirement::Required, None) => {
                Err(InvalidRequest::Justification { entitlement, min_length: min_length.max(1) })
            }
            (Requirement::None, Some(_)) => Err(InvalidRequest::NoJustification(entitlement)),
            (Requirement::Required | Requirement::Optional, Some(given)) if !self.justification.accepts(given) => {
                Err(InvalidRequest::TooBrief { entitlement, min_length })
            }
            (Requirement::Required | Requirement::Optional, Some(_))
            | (Requirement::Optional | Requirement::None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entitlement(more: Value) -> Entitlement {
        let mut value = json!({
            "id": "read-logs", "owner": "dana", "description": "d", "max_term": 600, "start_within_s": 60,
            "delivery": { "session": { "target": "tt", "credential_s": 900, "iam_allowed": false } },
            "parameters": { "shard": { "type": "integer", "min": 0, "max": 15 } }, "statements": [],
            "approval": { "count": 1, "within_s": 60 },
        });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn message(more: Value, class: IdentityClass, ask: Value) -> String {
        let mut request = json!({ "entitlement": "read-logs", "parameters": { "shard": "7" }, "term_s": 600 });
        request.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
        let ask: Ask = serde_json::from_value(request).unwrap();
        entitlement(more).check(class, &ask).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn invalid_request_names_the_valid_value() {
        use IdentityClass::{Agent, Human};
        let terms = json!({ "max_term_of": { "agent": 60, "human": 3600 } });
        let ticket = json!({ "ticket": { "required": true, "pattern": "INC-[0-9]+" } });
        let why = |need: &str, n: u32| json!({ "justification": { "need": need, "min_length": n } });
        for (more, class, ask, expected) in [
            (json!({}), Human, json!({}), ""),
            (
                json!({}),
                Human,
                json!({ "parameters": { "shard": "16" } }),
                "parameter `shard` must be a whole number from 0 to 15, like `0`",
            ),
            (
                json!({}),
                Human,
                json!({ "parameters": {} }),
                "parameter `shard` is missing: it must be a whole number from 0 to 15, like `0`",
            ),
            (
                json!({}),
                Human,
                json!({ "parameters": { "shard": "1", "x": "y" } }),
                "entitlement `read-logs` has no parameter `x`; it has: shard",
            ),
            (
                json!({}),
                Human,
                json!({ "term_s": 601 }),
                "a term of 601 s is too long: `read-logs` allows at most 600 s",
            ),
            (terms.clone(), Human, json!({ "term_s": 3600 }), ""),
            (
                terms.clone(),
                Human,
                json!({ "term_s": 3601 }),
                "a term of 3601 s is too long: `read-logs` allows class `human` at most 3600 s",
            ),
            (
                terms.clone(),
                Agent,
                json!({ "term_s": 61 }),
                "a term of 61 s is too long: `read-logs` allows class `agent` at most 60 s",
            ),
            (ticket.clone(), Human, json!({}), "`read-logs` needs a `ticket` that matches `INC-[0-9]+`"),
            (
                ticket.clone(),
                Human,
                json!({ "ticket": "OPS-1" }),
                "the `ticket` for `read-logs` must match `INC-[0-9]+`",
            ),
            (ticket, Human, json!({ "ticket": "INC-1" }), ""),
            (why("optional", 10), Human, json!({}), ""),
            (
                why("optional", 10),
                Human,
                json!({ "justification": "because         " }),
                "the `justification` for `read-logs` must have at least 10 characters, not counting blanks at either end",
            ),
            (why("required", 10), Human, json!({}), "`read-logs` needs a `justification` of at least 10 characters"),
            (why("required", 0), Human, json!({}), "`read-logs` needs a `justification` of at least 1 characters"),
            (why("required", 7), Human, json!({ "justification": "because" }), ""),
            (
                why("none", 0),
                Human,
                json!({ "justification": "secret words" }),
                "`read-logs` takes no `justification`: leave it out",
            ),
            (why("none", 0), Human, json!({}), ""),
        ] {
            assert_eq!(message(more.clone(), class, ask.clone()), expected, "{more} {ask}");
        }
    }

    #[test]
    fn entitlement_without_rules_requires_nothing() {
        let plain = entitlement(json!({}));
        assert!(plain.ticket.is_default() && plain.justification.is_default() && plain.rotate.is_empty());
        assert!(!plain.needs_people());
        let critical = entitlement(json!({ "risk": "critical" }));
        assert!(critical.needs_people());
        let glass = entitlement(json!({ "risk": "critical", "break_glass": { "reviewer": "omar" } }));
        assert!(!glass.needs_people());
    }
}
