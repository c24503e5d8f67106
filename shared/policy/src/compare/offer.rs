//! The terms for which one identity may have one entitlement under one circumstance.

use std::collections::BTreeSet;

use brevet_domain::decision::Outcome;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::time::Timestamp;

use super::distinctions::Circumstance;
use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::steps::in_words;

/// The allowed terms in seconds, out of those that were tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Terms that need no approval.
    pub(super) alone: BTreeSet<u32>,
    /// Terms that need approval.
    pub(super) asked: BTreeSet<u32>,
    /// The number of approvers and their names, in words.
    pub(super) by: BTreeSet<String>,
}

impl Offer {
    /// The offer of `bundle` to `identity`; `None` if it allows no term.
    pub(super) fn of(
        bundle: &Bundle,
        identity: &IdentityId,
        entitlement: &EntitlementId,
        circumstance: &Circumstance,
        terms: &BTreeSet<u32>,
    ) -> Option<Self> {
        let identity = bundle.index().identities.get(identity)?;
        let entitlement = bundle.entitlement(entitlement)?;
        if entitlement.ticket.required && !circumstance.has_ticket {
            return None;
        }
        let most = entitlement
            .longest_term(identity.class)
            .min(bundle.index().class_limits(identity.class).max_term)
            .as_seconds();
        let mut offer = Self { alone: BTreeSet::new(), asked: BTreeSet::new(), by: BTreeSet::new() };
        for term_s in terms.iter().copied().filter(|term_s| *term_s <= most) {
            let facts = Facts {
                term_s,
                has_ticket: circumstance.has_ticket,
                task: circumstance.has_task.then(|| "task".to_owned()),
                schedule: None,
                on_behalf_of: circumstance.on_behalf_of.clone(),
                is_renewal: circumstance.is_renewal,
                now: Timestamp::from_seconds(circumstance.at),
            };
            match bundle.judge_for(identity, entitlement, &facts).0 {
                Outcome::Allow => {
                    offer.alone.insert(term_s);
                }
                Outcome::NeedsApproval { steps, .. } => {
                    offer.asked.insert(term_s);
                    let steps: Vec<_> = steps.iter().map(in_words).collect();
                    offer.by.insert(format!("{} within {} s", steps.join(", then "), entitlement.approval.within_s));
                }
                Outcome::Deny { .. } => {}
            }
        }
        offer.longest().is_some().then_some(offer)
    }

    /// The longest allowed term.
    pub(super) fn longest(&self) -> Option<u32> {
        self.alone.last().max(self.asked.last()).copied()
    }

    /// The offer in words.
    pub(super) fn words(&self) -> String {
        let by: Vec<_> = self.by.iter().map(String::as_str).collect();
        let alone = self.alone.last().map(|most| format!("up to {most} s alone"));
        let asked = self.asked.last().map(|most| format!("up to {most} s with approval by {}", by.join(" or ")));
        alone.into_iter().chain(asked).collect::<Vec<_>>().join(", ")
    }
}
