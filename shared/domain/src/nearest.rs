//! The nearest request that would pass, as help after a refusal: the necessary changes and the resulting outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decision::Outcome;
use crate::identity::IdentityClass;
use crate::time::{Term, Timestamp};

/// The number of approvers that the text names; the outcome contains all of them.
const MAX_NAMES: usize = 8;

/// A request that would pass where the refused one did not, all else being equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// All necessary changes: one or two.
    pub changes: Vec<Change>,
    /// The outcome of the changed request; never a denial.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// One necessary change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Name a ticket.
    Ticket {
        /// The pattern that the whole ticket must match, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pattern: Option<String>,
    },
    /// Name no ticket.
    NoTicket,
    /// Ask for this term: the longest that passes or, if a longer one is needed, the shortest.
    Term { term_s: Term },
    /// Show a proof that names a task.
    Task,
    /// Ask at this instant or soon after, not now.
    At { at: Timestamp },
    /// Be of another class. The requester cannot change this.
    Class {
        /// A class with which the request would pass.
        class: IdentityClass,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ticket { pattern: None } => f.write_str("with a `ticket`"),
            Self::Ticket { pattern: Some(pattern) } => write!(f, "with a `ticket` that matches `{pattern}`"),
            Self::NoTicket => f.write_str("without a `ticket`"),
            Self::Term { term_s } => write!(f, "for {} s", term_s.as_seconds()),
            Self::Task => f.write_str("with a proof that names a task"),
            Self::At { at } => write!(f, "at {at}"),
            Self::Class { class } => write!(f, "by one of class `{}`", class.as_str()),
        }
    }
}

/// After the reason of a refusal: `with a proof that names a task and for 300 s it would pass`.
impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes: Vec<_> = self.changes.iter().map(ToString::to_string).collect();
        write!(f, "{} it would pass", changes.join(" and "))?;
        match &self.outcome {
            Outcome::NeedsApproval { steps, .. } => {
                for (n, step) in steps.iter().enumerate() {
                    let link = if n == 0 { " with approval by" } else { ", then" };
                    let names: Vec<_> = step.approvers.iter().take(MAX_NAMES).map(|who| format!("`{who}`")).collect();
                    write!(f, "{link} {} of {}", step.count, names.join(", "))?;
                    match step.approvers.len().saturating_sub(MAX_NAMES) {
                        0 => {}
                        more => write!(f, " and {more} more")?,
                    }
                }
                Ok(())
            }
            Outcome::Allow | Outcome::Deny { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Step;

    #[test]
    fn nearest_request_is_described_in_one_sentence() {
        let nearest = |changes: Vec<Change>, outcome| Nearest { changes, outcome }.to_string();
        let term = || Change::Term { term_s: Term::SHORTEST };
        assert_eq!(nearest(vec![term()], Outcome::Allow), "for 60 s it would pass");
        let step = |count, who: &[&str]| Step::single(count, who.iter().map(|who| who.parse().unwrap()).collect());
        let steps = vec![step(1, &["lea", "omar"]), step(2, &["anna", "bela", "carl"])];
        let people = Outcome::NeedsApproval { steps, deadline: Timestamp::EPOCH };
        let ticket = Change::Ticket { pattern: Some("INC-[0-9]+".to_owned()) };
        assert_eq!(
            nearest(vec![ticket, term()], people),
            "with a `ticket` that matches `INC-[0-9]+` and for 60 s it would pass with approval by 1 of `lea`, `omar`, \
             then 2 of `anna`, `bela`, `carl`"
        );
        for (change, words) in [
            (Change::Ticket { pattern: None }, "with a `ticket`"),
            (Change::NoTicket, "without a `ticket`"),
            (Change::Task, "with a proof that names a task"),
            (Change::At { at: Timestamp::EPOCH }, "at 1970-01-01T00:00:00.000Z"),
            (Change::Class { class: IdentityClass::Human }, "by one of class `human`"),
        ] {
            assert_eq!(nearest(vec![change], Outcome::Allow), format!("{words} it would pass"));
        }
    }
}
