//! Steps of an approval: who must say yes, in which order, and which votes count where.
//!
//! A vote counts in the step that is open when it is cast: the first that lacks somebody. So the votes, in their order,
//! tell by themselves what they come to, and nobody counts twice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Vote;
use super::distinct::{self, Shortage, Wanted};
use crate::id::{IdentityId, StepName};

/// One step: so many of these people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: StepName,
    /// How many different people must say yes; 0 counts as 1.
    pub count: u8,
    /// Who may: everyone whom policy allows to approve this and who is in the step's teams. Bounded by the catalogue's
    /// humans.
    pub approvers: BTreeSet<IdentityId>,
    /// Whether each must have shown more than one factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mfa: bool,
    /// How long before the vote each may have signed in at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_within_s: Option<u32>,
}

/// How far a step has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Which step.
    pub step: StepName,
    /// How many different people must say yes, at least 1.
    pub needed: u8,
    /// Who has.
    pub approved_by: Vec<IdentityId>,
}

impl Tally {
    /// Whether it lacks nobody.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.approved_by.len() >= usize::from(self.needed)
    }
}

/// Why a yes does not count in a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Not one of its people.
    #[error("`{by}` is not among those who may approve it in step `{step}`")]
    NotListed {
        /// Who.
        by: IdentityId,
        /// In which step.
        step: StepName,
    },
    /// The voter's token does not tell of more than one factor.
    #[error(
        "step `{step}` wants a vote by somebody who has shown more than one factor, and the token does not say so: sign in \
         again with a second factor, for a token whose `amr` or `acr` tells of it"
    )]
    Mfa {
        /// Which step.
        step: StepName,
    },
    /// The voter signed in too long ago, or the token does not say when.
    #[error(
        "step `{step}` wants a vote by somebody who signed in at most {within_s} s ago, and the token {found}: sign in again, \
         for a token with a new `auth_time`"
    )]
    SignedInBefore {
        /// Which step.
        step: StepName,
        /// How long ago at most, in seconds.
        within_s: u32,
        /// What it says.
        found: String,
    },
}

/// Why a yes would not count, though its voter may approve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// No step lacks anybody.
    #[error("no step of its approval is open")]
    NoneOpen,
    /// Its turn has not come.
    #[error("step `{open}` comes first and still lacks {lacks}: vote in step `{later}` once it has them")]
    NotYet {
        /// The step that is open.
        open: StepName,
        /// How many it lacks.
        lacks: usize,
        /// The first later step in which the voter may approve.
        later: StepName,
    },
    /// Whoever votes now cannot vote in a later step, which has nobody else.
    #[error(
        "a vote in step `{open}` would leave too few people for step `{later}`, since one person counts in one step only: \
         let somebody else vote in step `{open}`"
    )]
    NeededLater {
        /// The step that is open.
        open: StepName,
        /// One that would come up short.
        later: StepName,
    },
    /// The step that is open does not count it.
    #[error(transparent)]
    Step(#[from] NotAdmitted),
}

impl Step {
    /// The single step of an approval without steps.
    #[must_use]
    pub fn single(count: u8, approvers: BTreeSet<IdentityId>) -> Self {
        Self { name: StepName::single(), count, approvers, mfa: false, auth_within_s: None }
    }

    /// The steps that two requests want together: those of one name become the tighter of both, the others follow.
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

    /// How many it wants.
    fn wants(&self) -> usize {
        usize::from(self.count.max(1))
    }

    /// Nobody has said yes yet.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { step: self.name.clone(), needed: self.count.max(1), approved_by: Vec::new() }
    }

    /// Whether `vote` counts in it, by who voted and what they showed.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`] if not. What a proof does not tell, it does not show.
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
            Some(age_s) => old(format!("tells of {age_s} s")),
            None => old("does not say when".to_owned()),
        }
    }
}

/// Who counts in each step, of these votes in their order: of nobody but the first yes that the open step admits.
fn counted<'a>(steps: &[Step], votes: impl Iterator<Item = &'a Vote>) -> Vec<BTreeSet<&'a IdentityId>> {
    let mut counted = vec![BTreeSet::new(); steps.len()];
    for vote in votes.filter(|vote| vote.approve) {
        if counted.iter().any(|people| people.contains(&vote.by)) {
            continue;
        }
        let open = steps.iter().zip(counted.iter_mut()).find(|(step, people)| people.len() < step.wants());
        if let Some((step, people)) = open
            && step.admits(vote).is_ok()
        {
            people.insert(&vote.by);
        }
    }
    counted
}

/// Whether these votes, in their order, give every step its people. Never so without steps.
pub fn are_met<'a>(steps: &[Step], votes: impl Iterator<Item = &'a Vote>) -> bool {
    let counted = counted(steps, votes);
    !steps.is_empty() && steps.iter().zip(&counted).all(|(step, people)| people.len() >= step.wants())
}

/// Steps that can never have all their people, if there are such.
#[must_use]
pub fn shortage(steps: &[Step]) -> Option<Shortage> {
    let wanted = steps.iter().map(|step| Wanted {
        name: &step.name,
        count: step.wants(),
        people: step.approvers.iter().collect(),
    });
    distinct::shortage(&wanted.collect::<Vec<_>>())
}

/// The step in which `vote` would count after `votes`.
pub(super) fn place(steps: &[Step], votes: &[Vote], vote: &Vote) -> Result<StepName, VoteError> {
    let counted = counted(steps, votes.iter());
    let lacks = |(step, people): &(&Step, &BTreeSet<&IdentityId>)| step.wants().saturating_sub(people.len());
    let mut unmet = steps.iter().zip(&counted).filter(|one| lacks(one) > 0);
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
    // What was short before is no reason to keep anybody from voting.
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

/// What the steps still want and cannot have once `voted` have voted, one of them in step `now`.
fn still_short(
    steps: &[Step],
    counted: &[BTreeSet<&IdentityId>],
    voted: &BTreeSet<&IdentityId>,
    now: Option<&StepName>,
) -> Option<Shortage> {
    let wanted = steps.iter().zip(counted).map(|(step, people)| Wanted {
        name: &step.name,
        count: step.wants().saturating_sub(people.len()).saturating_sub(usize::from(now == Some(&step.name))),
        people: step.approvers.iter().filter(|person| !voted.contains(person)).collect(),
    });
    distinct::shortage(&wanted.collect::<Vec<_>>())
}
