//! Who must say yes to a request where no policy waives it, as the catalogue says it: steps, one after the other.
//!
//! Rules on steps stand in YAML, not in annotations of `approve` policies. A `permit` loosens, and who else is permitted
//! must never make a requirement appear or vanish; a rule here only ever adds one. Policies say who may approve at all;
//! a step says how many of them, of which teams, and what each must have shown. So all rules that match apply, in
//! whichever files they stand, and together they are never looser than any one of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Entitlement, Risk};
use crate::id::{EnvironmentName, StepName, TeamId};
use crate::identity::IdentityClass;

/// Who must approve, and by when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// How many different people where none of `steps` is asked for: a single step called `approval`. At least 1.
    pub count: u8,
    /// How long they have for all steps together, in seconds.
    pub within_s: u32,
    /// The entitlement's own steps, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRule>,
}

/// A rule that asks for a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRule {
    /// Which step. Rules of one name ask for the same people: the tighter of both holds in each respect.
    pub name: StepName,
    /// When it is asked for; always, where nothing is said.
    #[serde(default, skip_serializing_if = "When::is_always")]
    pub when: When,
    /// How many different people, at least 1.
    pub count: u8,
    /// Of which teams: any one of these. Empty for whomever policy lets approve.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub of: BTreeSet<TeamId>,
    /// Whether each must have shown more than one factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// How long ago each may have signed in at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

/// When a step is asked for: all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Classes of requesters; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<IdentityClass>,
    /// Risks of entitlements; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub risks: BTreeSet<Risk>,
    /// Where entitlements reach; empty for all, also where that is not said.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<EnvironmentName>,
    /// Only for terms longer than this, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longer_than_s: Option<u32>,
}

/// A step as a request has it: all rules of its name that match, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: StepName,
    /// How many different people.
    pub count: u8,
    /// Of which teams: one of each of these.
    pub of: Vec<BTreeSet<TeamId>>,
    /// Whether each must have shown more than one factor.
    pub mfa: bool,
    /// How long ago each may have signed in at most, in seconds.
    pub auth_within_s: Option<u32>,
}

impl Approval {
    /// A single step: `count` of whomever policy lets approve, within so many seconds.
    #[must_use]
    pub fn by(count: u8, within_s: u32) -> Self {
        Self { count, within_s, steps: Vec::new() }
    }
}

impl When {
    /// Whether it always holds.
    #[must_use]
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it holds for a request of `class` on `entitlement` for `term_s` seconds.
    #[must_use]
    pub fn holds(&self, class: IdentityClass, entitlement: &Entitlement, term_s: u32) -> bool {
        let environment = entitlement.environment.as_ref();
        (self.classes.is_empty() || self.classes.contains(&class))
            && (self.risks.is_empty() || self.risks.contains(&entitlement.risk))
            && (self.environments.is_empty() || environment.is_some_and(|one| self.environments.contains(one)))
            && self.longer_than_s.is_none_or(|limit| term_s > limit)
    }
}

impl Asked {
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

    /// Whether somebody of `teams` may say yes in it, as far as teams go.
    #[must_use]
    pub fn admits(&self, teams: &BTreeSet<TeamId>) -> bool {
        self.of.iter().all(|some| !some.is_disjoint(teams))
    }
}

impl Entitlement {
    /// The steps of a request of `class` for `term_s` seconds: the entitlement's own in their order, or else the single
    /// one; then those of `general`, which hold for all entitlements. Never none.
    ///
    /// INVARIANT: a rule that matches only ever adds a step or tightens one.
    #[must_use]
    pub fn steps(&self, general: &[StepRule], class: IdentityClass, term_s: u32) -> Vec<Asked> {
        let holds = |rule: &&StepRule| rule.when.holds(class, self, term_s);
        let mut steps: Vec<Asked> = Vec::new();
        let mut ask = |rule: &StepRule| match steps.iter_mut().find(|step| step.name == rule.name) {
            Some(step) => step.tighten(rule),
            None => steps.push(Asked::of(rule)),
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
    /// The step of an entitlement that names none.
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
