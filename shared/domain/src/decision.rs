//! Decisions: what policy said, under which bundle, about exactly which plan; and the votes of people.

mod distinct;
mod step;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest};
use crate::delegation::Delegated;
use crate::duties::Duties;
use crate::entitlement::{Outliving, Risk, Rotation};
use crate::id::{EntitlementId, EnvironmentName, GrantId, IdentityId, StepName};
use crate::identity::{Identity, IdentityClass, ProofSummary, Task};
use crate::nearest::Nearest;
use crate::plan::PlanTemplate;
use crate::renewal::Renewal;
use crate::review::BreakGlassUse;
use crate::time::{Term, Timestamp};

pub use distinct::Shortage;
pub use step::{NotAdmitted, Step, Tally, VoteError, are_met, shortage};

/// What policy said about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It may have it.
    Allow,
    /// It may not.
    Deny {
        /// Why, for the person who asked.
        reason: String,
    },
    /// It may have it once people have said yes.
    NeedsApproval {
        /// Who, one step after the other; never none.
        steps: Vec<Step>,
        /// Until when all of them.
        deadline: Timestamp,
    },
}

/// What policy says about one request, before it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The bundle that it was said under.
    pub bundle_digest: Digest,
    /// Allow, deny, or who must approve.
    pub outcome: Outcome,
    /// The policies and built-in rules ([`crate::rule`]) that determined it, by `@id`; none where nothing allows it.
    pub determining: Vec<String>,
    /// For a denial: the nearest request that would pass, if one was found.
    pub nearest: Option<Nearest>,
    /// What AWS would be asked; absent for a denial.
    pub template: Option<PlanTemplate>,
    /// For how long, from activation.
    pub term: Term,
    /// How long after approval it may be started, in seconds.
    pub start_within_s: u32,
    /// How often in a row such a grant may be renewed.
    pub max_renewals: u32,
    /// What else its entitlement says of it.
    pub traits: Traits,
    /// What must not be held beside it.
    pub duties: Duties,
}

/// What an entitlement says of a grant beside its plan. Nothing in decisions that are older than this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traits {
    /// How much harm its misuse can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// Where it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// That it is for emergencies, and who reviews its use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassUse>,
    /// That it is a canary: the drill's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// Secrets to rotate at its end, with every parameter filled in; none where the outcome is a denial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotate: Vec<Rotation>,
    /// What it allows whose effect does not end with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

impl Traits {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A vote on a decision that needs approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who voted.
    pub by: IdentityId,
    /// Yes or no.
    pub approve: bool,
    /// When.
    pub at: Timestamp,
    /// The decision digest that the voter saw.
    pub digest: Digest,
    /// What the voter showed.
    pub proof: ProofSummary,
}

/// A decision, written by the evaluator alone. Everything but the votes is fixed at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The grant that it decides.
    pub id: GrantId,
    /// What it says.
    pub terms: Terms,
    /// The votes so far.
    pub votes: Vec<Vote>,
}

/// The fixed part of a decision: what an approver sees and its digest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The grant that it decides.
    pub id: GrantId,
    /// Digest of the request as it was read.
    pub request_digest: Digest,
    /// The bundle in force.
    pub bundle_digest: Digest,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who asked.
    pub identity: IdentityId,
    /// Its class.
    pub class: IdentityClass,
    /// The human who answers for it.
    pub sponsor: IdentityId,
    /// Its task, from its proof.
    pub task: Option<Task>,
    /// What it showed, or what the catalogue declares for it.
    pub proof: ProofSummary,
    /// The delegation that it rests on; absent where it was asked for on nobody's behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegated>,
    /// The grant that it carries on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// What it asked for.
    pub entitlement: EntitlementId,
    /// For how long, from activation.
    pub term: Term,
    /// How long after approval it may be started, in seconds.
    pub start_within_s: u32,
    /// What policy said.
    pub outcome: Outcome,
    /// The policies that determined it, by `@id`.
    pub determining: Vec<String>,
    /// What AWS would be asked; absent where the outcome is a denial.
    pub template: Option<PlanTemplate>,
    /// What else its entitlement says of it.
    #[serde(default, skip_serializing_if = "Traits::is_empty")]
    pub traits: Traits,
}

impl Terms {
    /// The human on whose behalf it was asked for.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&IdentityId> {
        self.delegation.as_ref().map(|delegation| &delegation.by)
    }

    /// Whether `approver` may stand apart from whoever asked, and from whoever it was asked for.
    ///
    /// # Errors
    ///
    /// [`ApproverError`] if not.
    pub fn check_approver(&self, approver: &Identity) -> Result<(), ApproverError> {
        check_approver(approver, &self.identity, &self.sponsor)?;
        match self.on_behalf_of() {
            Some(human) => check_approver(approver, human, human),
            None => Ok(()),
        }
    }
}

impl Decision {
    /// The digest of everything but the votes: what an approver names and issue checks.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if it has no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(&self.terms)
    }

    /// Whether it permits issuing: allowed by policy alone, or by enough eligible people in each step and refused by none.
    ///
    /// Counts afresh from the votes, so that no other record needs to be believed.
    #[must_use]
    pub fn permits(&self) -> bool {
        match &self.terms.outcome {
            Outcome::Allow => true,
            Outcome::Deny { .. } => false,
            Outcome::NeedsApproval { steps, deadline } => {
                let Ok(digest) = self.digest() else {
                    return false;
                };
                let own = |by: &IdentityId| {
                    let terms = &self.terms;
                    *by == terms.identity || *by == terms.sponsor || terms.on_behalf_of() == Some(by)
                };
                let valid = |vote: &&Vote| vote.digest == digest && vote.at < *deadline && !own(&vote.by);
                are_met(steps, self.votes.iter().filter(valid)) && self.votes.iter().all(|vote| vote.approve)
            }
        }
    }

    /// The step in which `vote`, a yes, would count after those that are there.
    ///
    /// # Errors
    ///
    /// [`VoteError`] if it would count in none, or would leave a later step without enough people.
    pub fn place(&self, vote: &Vote) -> Result<StepName, VoteError> {
        match &self.terms.outcome {
            Outcome::NeedsApproval { steps, .. } => step::place(steps, &self.votes, vote),
            Outcome::Allow | Outcome::Deny { .. } => Err(VoteError::NoneOpen),
        }
    }

    /// Everybody who may approve it, in one step or another.
    #[must_use]
    pub fn approvers(&self) -> BTreeSet<IdentityId> {
        match &self.terms.outcome {
            Outcome::NeedsApproval { steps, .. } => steps.iter().flat_map(|step| &step.approvers).cloned().collect(),
            Outcome::Allow | Outcome::Deny { .. } => BTreeSet::new(),
        }
    }
}

/// Why somebody may never approve a request, whatever policy says (invariant 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproverError {
    /// Only people approve.
    #[error("only a human identity can approve")]
    NotHuman,
    /// One's own request.
    #[error("nobody approves their own request")]
    Requester,
    /// A request of an identity that one answers for.
    #[error("nobody approves what an identity that they sponsor asks for")]
    Sponsor,
}

/// Whether `approver` may stand apart from a request of `requester`, which `sponsor` answers for.
///
/// # Errors
///
/// [`ApproverError`] if not.
pub fn check_approver(approver: &Identity, requester: &IdentityId, sponsor: &IdentityId) -> Result<(), ApproverError> {
    // INVARIANT: nobody approves their own, nor what a non-human identity that they sponsor asks for.
    if approver.class != IdentityClass::Human {
        return Err(ApproverError::NotHuman);
    }
    if approver.id == *requester {
        return Err(ApproverError::Requester);
    }
    if approver.id == *sponsor || approver.owner == *sponsor {
        return Err(ApproverError::Sponsor);
    }
    Ok(())
}
