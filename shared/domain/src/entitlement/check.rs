//! Whether a request fits its entitlement: the caller's mistake if not, whatever policy would say.

use super::{Entitlement, Need};
use crate::id::EntitlementId;
use crate::identity::IdentityClass;
use crate::request::{Ask, Justification};
use crate::time::Term;

/// Why a request does not fit its entitlement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitError {
    /// A parameter is missing.
    #[error("parameter `{name}` is missing: it must {wanted}")]
    Missing {
        /// The parameter.
        name: String,
        /// What a value must do.
        wanted: String,
    },
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
    /// A value does not fit.
    #[error("parameter `{name}` must {wanted}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What a value must do.
        wanted: String,
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
    /// The term is too long for the class of whoever asks.
    #[error("a term of {asked} s is too long: `{entitlement}` allows class `{class}` at most {max} s", class = class.as_str())]
    ClassTerm {
        /// The entitlement.
        entitlement: EntitlementId,
        /// The class.
        class: IdentityClass,
        /// What was asked, in seconds.
        asked: u32,
        /// What is allowed, in seconds.
        max: u32,
    },
    /// No ticket is named.
    #[error("`{entitlement}` needs a `ticket`{}", matching(.pattern.as_deref()))]
    Ticket {
        /// The entitlement.
        entitlement: EntitlementId,
        /// What the whole of it must match, if any will not do.
        pattern: Option<String>,
    },
    /// The ticket is of another kind.
    #[error("the `ticket` for `{entitlement}` must match `{pattern}`")]
    TicketPattern {
        /// The entitlement.
        entitlement: EntitlementId,
        /// What the whole of it must match.
        pattern: String,
    },
    /// It does not say why.
    #[error("`{entitlement}` needs a `justification` of at least {min_length} characters")]
    Justification {
        /// The entitlement.
        entitlement: EntitlementId,
        /// The least length.
        min_length: u32,
    },
    /// It says why too briefly.
    #[error(
        "the `justification` for `{entitlement}` must have at least {min_length} characters, without the blanks around it"
    )]
    TooBrief {
        /// The entitlement.
        entitlement: EntitlementId,
        /// The least length.
        min_length: u32,
    },
    /// It says why where nothing may be said.
    #[error("`{0}` takes no `justification`: leave it out")]
    NoJustification(EntitlementId),
}

fn matching(pattern: Option<&str>) -> String {
    pattern.map(|pattern| format!(" that matches `{pattern}`")).unwrap_or_default()
}

impl Entitlement {
    /// Checks what policy is not asked about: parameters, term, ticket and justification.
    ///
    /// # Errors
    ///
    /// The first [`MisfitError`] found.
    pub fn check(&self, class: IdentityClass, ask: &Ask) -> Result<(), MisfitError> {
        self.check_parameters(ask)?;
        self.check_term(class, ask.term_s)?;
        let id = || self.id.clone();
        match &ask.ticket {
            None if self.ticket.required => {
                return Err(MisfitError::Ticket { entitlement: id(), pattern: self.ticket.pattern.clone() });
            }
            Some(ticket) if !self.ticket.accepts(ticket) => {
                let pattern = self.ticket.pattern.clone().unwrap_or_default();
                return Err(MisfitError::TicketPattern { entitlement: id(), pattern });
            }
            None | Some(_) => {}
        }
        self.check_justification(ask.justification.as_ref())
    }

    fn check_parameters(&self, ask: &Ask) -> Result<(), MisfitError> {
        for (name, parameter) in &self.parameters {
            let value = ask.parameters.get(name);
            if value.is_some_and(|value| parameter.accepts(value)) {
                continue;
            }
            let (name, wanted) = (name.clone(), parameter.to_string());
            return Err(match value {
                None => MisfitError::Missing { name, wanted },
                Some(_) => MisfitError::Parameter { name, wanted },
            });
        }
        let Some(name) = ask.parameters.keys().find(|name| !self.parameters.contains_key(*name)) else {
            return Ok(());
        };
        let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
        Err(MisfitError::Unknown {
            entitlement: self.id.clone(),
            name: name.chars().take(80).collect(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        })
    }

    fn check_term(&self, class: IdentityClass, term: Term) -> Result<(), MisfitError> {
        let longest = self.longest_term(class);
        if term <= longest {
            return Ok(());
        }
        let (entitlement, asked, max) = (self.id.clone(), term.as_seconds(), longest.as_seconds());
        Err(if self.max_term_of.contains_key(&class) {
            MisfitError::ClassTerm { entitlement, class, asked, max }
        } else {
            MisfitError::Term { entitlement, asked, max }
        })
    }

    fn check_justification(&self, given: Option<&Justification>) -> Result<(), MisfitError> {
        let (entitlement, min_length) = (self.id.clone(), self.justification.min_length);
        match (self.justification.need, given) {
            (Need::Required, None) => Err(MisfitError::Justification { entitlement, min_length: min_length.max(1) }),
            (Need::None, Some(_)) => Err(MisfitError::NoJustification(entitlement)),
            (Need::Required | Need::Optional, Some(given)) if !self.justification.accepts(given) => {
                Err(MisfitError::TooBrief { entitlement, min_length })
            }
            (Need::Required | Need::Optional, Some(_)) | (Need::Optional | Need::None, None) => Ok(()),
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

    fn said(more: Value, class: IdentityClass, ask: Value) -> String {
        let mut whole = json!({ "entitlement": "read-logs", "parameters": { "shard": "7" }, "term_s": 600 });
        whole.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
        let ask: Ask = serde_json::from_value(whole).unwrap();
        entitlement(more).check(class, &ask).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_misfit_says_what_would_be_right() {
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
                "the `justification` for `read-logs` must have at least 10 characters, without the blanks around it",
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
            assert_eq!(said(more.clone(), class, ask.clone()), expected, "{more} {ask}");
        }
    }

    #[test]
    fn what_is_not_said_asks_for_nothing() {
        let plain = entitlement(json!({}));
        assert!(plain.ticket.is_default() && plain.justification.is_default() && plain.rotate.is_empty());
        assert!(!plain.needs_people());
        let critical = entitlement(json!({ "risk": "critical" }));
        assert!(critical.needs_people());
        let glass = entitlement(json!({ "risk": "critical", "break_glass": { "reviewer": "omar" } }));
        assert!(!glass.needs_people());
    }
}
