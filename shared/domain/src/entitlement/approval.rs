//! The approval steps that the catalogue requires unless a policy waives them. Steps follow one after the other.
//!
//! The rules on steps stand in YAML, not in annotations of `approve` policies. A Cedar `permit` loosens, and a further
//! `permit` must never add or remove a requirement; a rule here can only add one. Policies say who may approve at all.
//! A step says how many of these people, of which teams, and with which sign-in. So all matching rules of all files
//! apply, and together they are never looser than any one of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Entitlement, Risk};
use crate::id::{EnvironmentName, StepName, TeamId};
use crate::identity::IdentityClass;

/// The approvals that a request needs, and the time for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The number of different people if none of `steps` applies; then a single step `approval` is needed. At least 1.
    pub count: u8,
    /// The time for all steps together, in seconds.
    pub within_s: u32,
    /// The entitlement's own steps, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRule>,
}

/// A rule that requires a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRule {
    /// The name of the step. Rules of one name are merged: the stricter value of each field holds.
    pub name: StepName,
    /// The requests that need the step; all by default.
    #[serde(default, skip_serializing_if = "When::is_always")]
    pub when: When,
    /// The number of different people, at least 1.
    pub count: u8,
    /// Each approver is in one of these teams. Empty for everybody whom policy lets approve.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub of: BTreeSet<TeamId>,
    /// Whether each vote needs a sign-in with more than one factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// The maximum age of the sign-in at the vote, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

/// The requests that need a step. All conditions that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Classes of requesters; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<IdentityClass>,
    /// Risks of entitlements; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub risks: BTreeSet<Risk>,
    /// Environments of entitlements; empty for all, including entitlements without one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<EnvironmentName>,
    /// Only for terms longer than this, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longer_than_s: Option<u32>,
}

/// A step that a request needs: all matching rules of one name, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredStep {
    pub name: StepName,
    /// The number of different people.
    pub count: u8,
    /// Each approver is in one team of each of these sets.
    pub of: Vec<BTreeSet<TeamId>>,
    /// Whether each vote needs a sign-in with more than one factor.
    pub mfa: bool,
    /// The maximum age of the sign-in at the vote, in seconds.
    pub auth_within_s: Option<u32>,
}

impl Approval {
    /// A single step: `count` people whom policy lets approve, within `within_s` seconds.
    #[must_use]
    pub fn by(count: u8, within_s: u32) -> Self {
        Self { count, within_s, steps: Vec::new() }
    }
}

impl When {
    /// Whether the condition always holds.
    #[must_use]
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the condition holds for a request of `class` on `entitlement` for `term_s` seconds.
    #[must_use]
    pub fn holds(&self, class: IdentityClass, entitlement: &Entitlement, term_s: u32) -> bool {
        let environment = entitlement.environment.as_ref();
        (self.classes.is_empty() || self.classes.contains(&class))
            && (self.risks.is_empty() || self.risks.contains(&entitlement.risk))
            && (self.environments.is_empty() || environment.is_some_and(|name| self.environments.contains(name)))
            && self.longer_than_s.is_none_or(|limit| term_s > limit)
    }
}

impl RequiredStep {
    fn of(rule: &StepRule) -> Self {
        Self {
            name: rule.name.clone(),
            count: rule.count.max(1),
            of: if rule.of.is_empty() { Vec::new() } else { vec![rule.of.clone()] },
            mfa: rule.mfa,
            auth_within_s: rule.auth_within_s,
        }
    }

    fn tighten(&mut self, rule: &StepRule) {
        let more = Self::of(rule);
        self.count = self.count.max(more.count);
        self.of.extend(more.of);
        self.mfa |= more.mfa;
        self.auth_within_s = self.auth_within_s.into_iter().chain(more.auth_within_s).min();
    }

    /// Whether a person in `teams` may approve in the step, judged by teams only.
    #[must_use]
    pub fn admits(&self, teams: &BTreeSet<TeamId>) -> bool {
        self.of.iter().all(|some| !some.is_disjoint(teams))
    }
}

impl Entitlement {
    /// The steps of a request of `class` for `term_s` seconds; never empty. The entitlement's own steps come first, or
    /// the single step if none applies. The steps of `general`, which hold for all entitlements, follow.
    ///
    /// INVARIANT: a matching rule only adds a step or tightens one.
    #[must_use]
    pub fn steps(&self, general: &[StepRule], class: IdentityClass, term_s: u32) -> Vec<RequiredStep> {
        let holds = |rule: &&StepRule| rule.when.holds(class, self, term_s);
        let mut steps: Vec<RequiredStep> = Vec::new();
        let mut ask = |rule: &StepRule| match steps.iter_mut().find(|step| step.name == rule.name) {
            Some(step) => step.tighten(rule),
            None => steps.push(RequiredStep::of(rule)),
        };
        let own = self.approval.steps.iter().filter(holds);
        if own.clone().next().is_none() {
            ask(&StepRule::single(self.approval.count));
        }
        own.chain(general.iter().filter(holds)).for_each(ask);
        steps
    }
}

impl StepRule {
    /// The step of an entitlement that names no steps.
    fn single(count: u8) -> Self {
        Self {
            name: StepName::single(),
            when: When::default(),
            count,
            of: BTreeSet::new(),
            mfa: false,
            auth_within_s: None,
        }
    }
}

#[cfg(test)]
mod tests;
