//! Decisions: the outcome of the policy check, its bundle, the exact plan, and the votes of people.

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

pub use distinct::MissingApprovers;
pub use step::{NotAdmitted, Step, Tally, VoteError, are_met, missing_approvers};

/// The outcome of the policy check of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The request is allowed.
    Allow,
    /// The request is denied.
    Deny {
        /// The reason, as the requester reads it.
        reason: String,
    },
    /// The request is allowed after people have approved it.
    NeedsApproval {
        /// The steps in their order; never empty.
        steps: Vec<Step>,
        /// The instant by which all steps must be approved.
        deadline: Timestamp,
    },
}

/// The result of the policy check of one request, before the decision is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The bundle of the policies.
    pub bundle_digest: Digest,
    /// Allow, deny, or the approval steps.
    pub outcome: Outcome,
    /// The `@id`s of the policies and built-in rules ([`crate::rule`]) that determined the outcome; empty if nothing
    /// allows it.
    pub determining: Vec<String>,
    /// For a denial: the nearest request that would pass, if one was found.
    pub nearest: Option<Nearest>,
    /// The AWS changes of the grant; absent for a denial.
    pub template: Option<PlanTemplate>,
    /// The duration, counted from activation.
    pub term: Term,
    /// The time for the start after approval, in seconds.
    pub start_within_s: u32,
    /// The maximum number of consecutive renewals.
    pub max_renewals: u32,
    /// Further properties from the entitlement.
    pub traits: Traits,
    /// The separation-of-duties rules that apply.
    pub duties: Duties,
}

/// The properties of a grant that its entitlement sets beside the plan. Older decisions lack them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traits {
    /// The harm that misuse can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The environment that the entitlement reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Set for break-glass, with the reviewer of the use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassUse>,
    /// Whether the grant is a canary of the expiry drill.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// Secrets to rotate after the end, with every parameter filled in; empty for a denial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotate: Vec<Rotation>,
    /// Allowed actions whose effect outlives the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlives: Vec<Outliving>,
}

impl Traits {
    /// Whether no property is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A vote on a decision that needs approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub by: IdentityId,
    /// Whether the vote approves or refuses.
    pub approve: bool,
    pub at: Timestamp,
    /// The decision digest that the voter saw.
    pub digest: Digest,
    /// The voter's proof of identity.
    pub proof: ProofSummary,
}

/// A decision. Only the evaluator writes it, and only its votes change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The grant that the decision is about.
    pub id: GrantId,
    pub terms: Terms,
    /// The votes so far.
    pub votes: Vec<Vote>,
}

/// The fixed part of a decision. The approver sees it and the digest covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The grant that the decision is about.
    pub id: GrantId,
    /// The digest of the request as the evaluator read it.
    pub request_digest: Digest,
    pub bundle_digest: Digest,
    pub decided_at: Timestamp,
    /// The requester.
    pub identity: IdentityId,
    pub class: IdentityClass,
    /// The human who is accountable for the requester.
    pub sponsor: IdentityId,
    /// The requester's task, from its proof.
    pub task: Option<Task>,
    /// The requester's proof of identity, or the schedule that the catalogue declares for it.
    pub proof: ProofSummary,
    /// The delegation of the human on whose behalf the requester acts; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegated>,
    /// The grant that this one renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    pub entitlement: EntitlementId,
    /// The duration, counted from activation.
    pub term: Term,
    /// The time for the start after approval, in seconds.
    pub start_within_s: u32,
    pub outcome: Outcome,
    /// The `@id`s of the policies that determined the outcome.
    pub determining: Vec<String>,
    /// What AWS would be asked; absent where the outcome is a denial.
    pub template: Option<PlanTemplate>,
    /// Further properties from the entitlement.
    #[serde(default, skip_serializing_if = "Traits::is_empty")]
    pub traits: Traits,
}

impl Terms {
    /// The human on whose behalf the requester acts.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&IdentityId> {
        self.delegation.as_ref().map(|delegation| &delegation.by)
    }

    /// Checks that `approver` is independent of the requester and of the human on whose behalf the requester acts.
    ///
    /// # Errors
    ///
    /// [`ApproverError`] if the approver is not independent.
    pub fn check_approver(&self, approver: &Identity) -> Result<(), ApproverError> {
        check_approver(approver, &self.identity, &self.sponsor)?;
        match self.on_behalf_of() {
            Some(human) => check_approver(approver, human, human),
            None => Ok(()),
        }
    }
}

impl Decision {
    /// The digest of everything but the votes. Each vote names it and the issuer checks it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the terms have no JSON form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Digest::of(&self.terms)
    }

    /// Whether the decision permits issuing: policy alone allows it, or enough eligible people approved each step and
    /// nobody refused.
    ///
    /// The check counts the votes themselves, so it trusts no other record.
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

    /// The step in which `vote`, an approval, would count after the votes so far.
    ///
    /// # Errors
    ///
    /// [`VoteError`] if it would count in no step, or would leave a later step without enough people.
    pub fn place(&self, vote: &Vote) -> Result<StepName, VoteError> {
        match &self.terms.outcome {
            Outcome::NeedsApproval { steps, .. } => step::place(steps, &self.votes, vote),
            Outcome::Allow | Outcome::Deny { .. } => Err(VoteError::NoneOpen),
        }
    }

    /// Everybody who may approve in any step.
    #[must_use]
    pub fn approvers(&self) -> BTreeSet<IdentityId> {
        match &self.terms.outcome {
            Outcome::NeedsApproval { steps, .. } => steps.iter().flat_map(|step| &step.approvers).cloned().collect(),
            Outcome::Allow | Outcome::Deny { .. } => BTreeSet::new(),
        }
    }
}

/// The reason why a person may never approve a request, whatever policy says (invariant 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproverError {
    /// The voter is not a human identity.
    #[error("only a human identity can approve")]
    NotHuman,
    /// The voter is the requester.
    #[error("you cannot approve your own request: another person must approve it")]
    Requester,
    /// The voter sponsors the requester, or is a person whose owner does.
    #[error("you cannot approve a request of an identity that you sponsor: another person must approve it")]
    Sponsor,
}

/// Checks that `approver` is independent of `requester` and of its `sponsor`.
///
/// # Errors
///
/// [`ApproverError`] if the approver is not independent.
pub fn check_approver(approver: &Identity, requester: &IdentityId, sponsor: &IdentityId) -> Result<(), ApproverError> {
    // INVARIANT: nobody approves their own request, nor a request of a non-human identity that they sponsor.
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
