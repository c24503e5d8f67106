//! The steps of an approval: the approvers, their order, and the step in which each vote counts.
//!
//! A vote counts in the step that is open when it is cast: the first step without enough approvals. So the ordered
//! votes alone determine the result, and nobody counts twice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Vote;
use super::distinct::{self, MissingApprovers, OpenStep};
use crate::id::{IdentityId, StepName};

/// One step: `count` approvals by people from `approvers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: StepName,
    /// The number of different people who must approve; 0 counts as 1.
    pub count: u8,
    /// Everybody whom policy allows to approve the request and who is in the step's teams. Bounded by the catalogue's
    /// humans.
    pub approvers: BTreeSet<IdentityId>,
    /// Whether each vote needs a sign-in with more than one factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// The maximum age of the sign-in at the vote, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

/// The progress of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    pub step: StepName,
    /// The number of different people who must approve, at least 1.
    pub needed: u8,
    /// The people who approved.
    pub approved_by: Vec<IdentityId>,
}

impl Tally {
    /// Whether the step has enough approvals.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.approved_by.len() >= usize::from(self.needed)
    }
}

/// The reason why an approval does not count in a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The voter is not an approver of the step.
    #[error("`{by}` is not among those who may approve it in step `{step}`")]
    NotListed { by: IdentityId, step: StepName },
    /// The voter's token does not show more than one factor.
    #[error(
        "step `{step}` requires a vote with more than one factor, and the token does not show them: sign in again \
         with a second factor, for a token whose `amr` or `acr` shows it"
    )]
    Mfa { step: StepName },
    /// The voter signed in too long ago, or the token does not show when.
    #[error(
        "step `{step}` requires a sign-in at most {within_s} s ago, and the token {found}: sign in again, for a token \
         with a new `auth_time`"
    )]
    SignedInBefore {
        step: StepName,
        /// The maximum age of the sign-in, in seconds.
        within_s: u32,
        /// The age that the token shows, in words.
        found: String,
    },
}

/// The reason why an approval would not count although its voter may approve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Every step has enough approvals.
    #[error("no step of its approval is open")]
    NoneOpen,
    /// The voter may approve only in a later step.
    #[error("step `{open}` comes first and still needs {lacks} more: vote in step `{later}` after that")]
    NotYet {
        /// The step that is open.
        open: StepName,
        /// The number of approvals that it still needs.
        lacks: usize,
        /// The first later step in which the voter may approve.
        later: StepName,
    },
    /// A later step needs this voter, because it would not have enough other people.
    #[error(
        "a vote in step `{open}` would leave too few people for step `{later}`, because each person counts in only one \
         step: ask another approver to vote in step `{open}`"
    )]
    NeededLater {
        /// The step that is open.
        open: StepName,
        /// The later step that would not have enough people.
        later: StepName,
    },
    /// The open step does not admit the vote.
    #[error(transparent)]
    Step(#[from] NotAdmitted),
}

impl Step {
    /// The single step of an approval without steps.
    #[must_use]
    pub fn single(count: u8, approvers: BTreeSet<IdentityId>) -> Self {
        Self { name: StepName::single(), count, approvers, mfa: false, auth_within_s: None }
    }

    /// The steps of two requests together. Steps of one name are merged to the stricter of both; the others follow.
    #[must_use]
    pub fn of_both(mut steps: Vec<Self>, others: Vec<Self>) -> Vec<Self> {
        for other in others {
            match steps.iter_mut().find(|step| step.name == other.name) {
                None => steps.push(other),
                Some(step) => {
                    step.count = step.count.max(other.count);
                    step.approvers.retain(|person| other.approvers.contains(person));
                    step.mfa |= other.mfa;
                    step.auth_within_s = step.auth_within_s.into_iter().chain(other.auth_within_s).min();
                }
            }
        }
        steps
    }

    /// The number of approvals that the step needs.
    fn n_needed(&self) -> usize {
        usize::from(self.count.max(1))
    }

    /// The tally of the step without any approval.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { step: self.name.clone(), needed: self.count.max(1), approved_by: Vec::new() }
    }

    /// Checks whether `vote` counts in the step, by the voter and the voter's proof of identity.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`] if the vote does not count. A missing claim counts as not fulfilled.
    pub fn admits(&self, vote: &Vote) -> Result<(), NotAdmitted> {
        let (step, auth) = (self.name.clone(), vote.proof.auth());
        if !self.approvers.contains(&vote.by) {
            return Err(NotAdmitted::NotListed { by: vote.by.clone(), step });
        }
        if self.mfa && !auth.is_some_and(|auth| auth.mfa) {
            return Err(NotAdmitted::Mfa { step });
        }
        let Some(within_s) = self.auth_within_s else { return Ok(()) };
        let old = |found| Err(NotAdmitted::SignedInBefore { step, within_s, found });
        match auth.and_then(|auth| auth.auth_time).map(|at| vote.at.seconds_since(at)) {
            Some(age_s) if age_s <= u64::from(within_s) => Ok(()),
            Some(age_s) => old(format!("shows one {age_s} s ago")),
            None => old("does not show when it was".to_owned()),
        }
    }
}

/// The people who count in each step, after these votes in their order. Only a person's first admitted approval counts.
fn counted<'a>(steps: &[Step], votes: impl Iterator<Item = &'a Vote>) -> Vec<BTreeSet<&'a IdentityId>> {
    let mut counted = vec![BTreeSet::new(); steps.len()];
    for vote in votes.filter(|vote| vote.approve) {
        if counted.iter().any(|people| people.contains(&vote.by)) {
            continue;
        }
        let open = steps.iter().zip(counted.iter_mut()).find(|(step, people)| people.len() < step.n_needed());
        if let Some((step, people)) = open
            && step.admits(vote).is_ok()
        {
            people.insert(&vote.by);
        }
    }
    counted
}

/// Whether these votes, in their order, give every step enough approvals. Always false without steps.
pub fn are_met<'a>(steps: &[Step], votes: impl Iterator<Item = &'a Vote>) -> bool {
    let counted = counted(steps, votes);
    !steps.is_empty() && steps.iter().zip(&counted).all(|(step, people)| people.len() >= step.n_needed())
}

/// The steps that can never get enough approvals, if there are any.
#[must_use]
pub fn missing_approvers(steps: &[Step]) -> Option<MissingApprovers> {
    let open_steps = steps.iter().map(|step| OpenStep {
        name: &step.name,
        count: step.n_needed(),
        people: step.approvers.iter().collect(),
    });
    distinct::missing_approvers(&open_steps.collect::<Vec<_>>())
}

/// The step in which `vote` would count after `votes`.
pub(super) fn place(steps: &[Step], votes: &[Vote], vote: &Vote) -> Result<StepName, VoteError> {
    let counted = counted(steps, votes.iter());
    let lacks = |(step, people): &(&Step, &BTreeSet<&IdentityId>)| step.n_needed().saturating_sub(people.len());
    let mut unmet = steps.iter().zip(&counted).filter(|step| lacks(step) > 0);
    let Some(open) = unmet.next() else { return Err(VoteError::NoneOpen) };
    let (step, _) = open;
    if let Err(error) = step.admits(vote) {
        let unlisted = matches!(error, NotAdmitted::NotListed { .. });
        let later = unmet.find(|(later, _)| unlisted && later.approvers.contains(&vote.by));
        return Err(match later {
            Some((later, _)) => {
                VoteError::NotYet { open: step.name.clone(), lacks: lacks(&open), later: later.name.clone() }
            }
            None => error.into(),
        });
    }
    // A step that already had too few people does not block the vote.
    let voted: BTreeSet<_> = counted.iter().flatten().copied().collect();
    let with = voted.iter().copied().chain([&vote.by]).collect();
    let before = still_short(steps, &counted, &voted, None);
    match still_short(steps, &counted, &with, Some(&step.name)) {
        Some(short) if before.is_none() => {
            let later = short.steps.into_iter().rev().find(|later| *later != step.name);
            Err(VoteError::NeededLater { open: step.name.clone(), later: later.unwrap_or_else(|| step.name.clone()) })
        }
        Some(_) | None => Ok(step.name.clone()),
    }
}

/// The steps that cannot get enough people after `voted` have voted, one of them in step `now`.
fn still_short(
    steps: &[Step],
    counted: &[BTreeSet<&IdentityId>],
    voted: &BTreeSet<&IdentityId>,
    now: Option<&StepName>,
) -> Option<MissingApprovers> {
    let open_steps = steps.iter().zip(counted).map(|(step, people)| OpenStep {
        name: &step.name,
        count: step.n_needed().saturating_sub(people.len()).saturating_sub(usize::from(now == Some(&step.name))),
        people: step.approvers.iter().filter(|person| !voted.contains(person)).collect(),
    });
    distinct::missing_approvers(&open_steps.collect::<Vec<_>>())
}
