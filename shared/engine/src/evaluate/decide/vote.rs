//! Votes: who may vote, which votes count, and the second decision once the quorum is reached.

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{ApproverError, Decision, NotAdmitted, Outcome, Step, Vote, VoteError, are_met};
use brevet_domain::grant::{Delivery, Event, Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller, Identity};
use brevet_domain::time::Timestamp;
use serde_json::json;

use super::basis::{AsOf, DecisionBasis};
use super::{Decider, unwritable};
use crate::journal::StepError;
use crate::port::{EvaluatorError, PortError, RawProof, TransactionItem};
use crate::records::GrantRecords;
use crate::refusal::{Refusal, RefusalKind};

/// A vote as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    pub approve: bool,
    /// The digest of the decision that the voter saw.
    pub digest: Digest,
}

/// The result of deciding again once the quorum is reached.
enum Redecided {
    /// The same plan, under this bundle.
    Same {
        bundle: Digest,
        basis: Box<DecisionBasis>,
        /// The holdings with this grant, written with the vote: a concurrent decision for the same sponsor then
        /// conflicts and is made again.
        taken: Vec<TransactionItem>,
    },
    /// A denial, with its reason and its determining rules.
    Against(String, Vec<String>),
    /// Another plan: the new decision, without votes, and the event for the grant.
    Changed(Box<Decision>, Event),
}

impl Decider {
    /// Counts a person's vote on a grant that awaits approval.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid, the voter may not vote on the grant, the digest is another decision's, the
    /// vote is late, or the grant does not await approval. Nothing is counted then.
    pub async fn vote(
        &self,
        proof: &RawProof,
        id: GrantId,
        ballot: Ballot,
        now: Timestamp,
    ) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        let grant = records.visible_to(id, &caller.identity.id)?;
        let decision = records.decision.as_ref().ok_or_else(|| Refusal::no_such_grant(id))?;
        let terms = &decision.terms;
        terms.check_approver(&caller.identity).map_err(|error| not_apart(error, id))?;
        let determining =
            self.policy.may_approve(&caller, decision, now).await.map_err(|error| Refusal::from(error).about(id))?;
        self.check_ballot(grant, decision, &caller, ballot, now)?;
        if let Some(vote) = decision.votes.iter().find(|vote| vote.by == caller.identity.id) {
            return if vote.approve == ballot.approve { Ok(records) } else { Err(voted_otherwise(id)) };
        }
        let by = caller.identity.id.clone();
        let vote = Vote {
            by: by.clone(),
            approve: ballot.approve,
            at: now,
            digest: ballot.digest,
            proof: caller.proof.clone(),
        };
        // A refusal only takes away, so an approver of any step may give it at any time.
        let mut event = if ballot.approve {
            Event::ApprovalGiven { by, step: decision.place(&vote).map_err(|error| not_counted(&error, id))? }
        } else {
            Event::ApprovalRefused { by }
        };
        let (mut confirmed_under, mut rests_on, mut taken, mut denied_by) =
            (None, DecisionBasis::default(), Vec::new(), Vec::new());
        let (proof, digest) = (vote.proof.clone(), vote.digest);
        let mut voted = decision.clone();
        voted.votes.push(vote);
        if ballot.approve && voted.permits() {
            // INVARIANT: at quorum the request is decided again, under the bundle in force now.
            match self.redecide(&voted, now).await? {
                Redecided::Same { bundle, basis, taken: items } => {
                    (confirmed_under, rests_on, taken) = (Some(bundle), *basis, items);
                }
                // The stored decision stays without this vote: by itself it permits nothing, whatever happens to the
                // grant.
                Redecided::Against(reason, rules) => {
                    (voted, event, denied_by) = (decision.clone(), Event::DecidedAgainst { reason }, rules);
                }
                Redecided::Changed(changed, void) => (voted, event) = (*changed, void),
            }
        }
        let with = json!({
            "by": caller.identity.id, "proof": proof, "digest": digest, "determining": determining,
            "confirmed_under": confirmed_under, "delegation": rests_on.delegation, "denied_by": denied_by,
        });
        let is_void = matches!(event, Event::PlanChanged { .. });
        let mut items =
            vec![TransactionItem::Decision { decision: Box::new(voted), votes_before: decision.votes.len() }];
        items.extend(rests_on.still_delegated());
        items.extend(taken);
        if grant.review.is_some() && matches!(event, Event::ApprovalRefused { .. } | Event::DecidedAgainst { .. }) {
            items.push(TransactionItem::ReviewOver { identity: grant.identity.clone(), grant: id });
        }
        match self.journal.record(grant, &event, Some(with), items, now).await {
            Ok(_) if is_void => {
                let detail = "the bundle in force now gives another plan than the one voted on: all votes are void; read \
                              the grant again and vote on what it shows";
                Err(Refusal::new(RefusalKind::Conflict, "plan_changed", detail).about(id))
            }
            Ok(_) => Ok(GrantRecords::read(&self.reader, id).await?),
            Err(StepError::Transition(error)) => {
                Err(Refusal::new(RefusalKind::Conflict, "vote_not_possible", error.to_string()).about(id))
            }
            Err(StepError::Port(PortError::Conflict { .. })) => {
                let detail = "the grant changed while the vote was counted, and the vote was not counted: vote again";
                Err(Refusal::new(RefusalKind::Conflict, "changed_meanwhile", detail).about(id).retry_after(1))
            }
            Err(StepError::Port(error)) => Err(Refusal::from(error).about(id)),
        }
    }

    /// Decides again, as if the request came now, once a decision has its votes.
    async fn redecide(&self, voted: &Decision, now: Timestamp) -> Result<Redecided, Refusal> {
        let (id, terms) = (voted.id, &voted.terms);
        let against = |why: String| Ok(Redecided::Against(why, Vec::new()));
        let Outcome::NeedsApproval { steps, deadline } = &terms.outcome else {
            return against("the decision does not wait for an approval".to_owned());
        };
        let request = self.reader.request(id).await?;
        let Some(request) = request.filter(|request| Digest::of(request).ok() == Some(terms.request_digest)) else {
            return against("the stored request is missing or differs from the one that was decided".to_owned());
        };
        let about = |error: EvaluatorError| Refusal::from(error).about(id);
        let registered = self.policy.registered(&terms.identity, now).await.map_err(about)?;
        let same = |identity: &Identity| identity.class == terms.class && identity.owner == terms.sponsor;
        let Some(identity) = registered.filter(same) else {
            return against(format!("the registration of `{}` has changed or ended since the request", terms.identity));
        };
        let caller = Caller { identity, task: terms.task.clone(), proof: terms.proof.clone() };
        let mut verdict = match self.policy.decide(&caller, &request, now).await {
            Ok(verdict) => verdict,
            Err(error @ (EvaluatorError::UnknownEntitlement(_) | EvaluatorError::InvalidRequest(_))) => {
                return against(error.to_string());
            }
            Err(error) => return Err(about(error)),
        };
        self.apply_blocks(&caller, &request, &mut verdict).await?;
        if terms.delegation.is_some() {
            // The first decision shortened it to the delegation's end. The delegation itself denies if it allows less now.
            verdict.start_within_s = verdict.start_within_s.min(terms.start_within_s);
        }
        let as_of = AsOf { waits_s: 0, decided_at: terms.decided_at };
        let basis = self.basis(&caller, &request, &mut verdict, as_of, now).await?;
        // INVARIANT: holdings are read again and written with the vote, so that no excluded grant and no unreviewed use
        // of break-glass can come in between.
        let taken = self.take(&caller, &request, &mut verdict, as_of, now).await?;
        let needed = match &verdict.outcome {
            Outcome::Deny { reason } => return Ok(Redecided::Against(reason.clone(), verdict.determining)),
            // The new bundle needs no approval, so the votes suffice.
            Outcome::Allow => None,
            Outcome::NeedsApproval { steps, .. } => Some(steps.clone()),
        };
        let same_plan = verdict.traits == terms.traits
            && verdict.template == terms.template
            && verdict.term == terms.term
            && verdict.start_within_s == terms.start_within_s;
        let still_enough = needed.as_ref().is_none_or(|steps| are_met(steps, voted.votes.iter()));
        if same_plan && still_enough {
            return Ok(Redecided::Same { bundle: verdict.bundle_digest, basis: Box::new(basis), taken });
        }
        let steps = needed.unwrap_or_else(|| steps.clone());
        let start_within_s = verdict.start_within_s;
        let tallies = steps.iter().map(Step::tally).collect();
        verdict.outcome = Outcome::NeedsApproval { steps, deadline: *deadline };
        let changed = self.decision(&caller, &request, verdict, basis, now).map_err(unwritable)?;
        let event = Event::PlanChanged {
            decision_digest: changed.digest().map_err(unwritable)?,
            delivery: Delivery::of(changed.terms.template.as_ref(), &self.deployment, id),
            rotate: changed.terms.traits.rotate.clone(),
            steps: tallies,
            start_within_s,
        };
        Ok(Redecided::Changed(Box::new(changed), event))
    }

    fn check_ballot(
        &self,
        grant: &Grant,
        decision: &Decision,
        voter: &Caller,
        ballot: Ballot,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let conflict = |code, detail: String| Err(Refusal::new(RefusalKind::Conflict, code, detail).about(grant.id));
        if grant.decision_digest != ballot.digest {
            let detail =
                "the digest is not that of this grant's decision: read the grant again and vote on what it shows";
            return conflict("digest_mismatch", detail.to_owned());
        }
        if let State::ApprovalAwaited { deadline, .. } = &grant.state {
            if now >= *deadline {
                return conflict("approval_too_late", format!("the deadline for approvals was {deadline}"));
            }
            return Ok(());
        }
        // A repeated vote gets the same answer as the first.
        if decision.votes.iter().any(|vote| vote.by == voter.identity.id) {
            return Ok(());
        }
        let detail = format!("the grant is `{}` and does not await approval", grant.state.name());
        conflict("not_awaiting_approval", detail)
    }
}

fn not_apart(error: ApproverError, id: GrantId) -> Refusal {
    let code = match error {
        ApproverError::NotHuman => "approver_not_human",
        ApproverError::Requester => "approver_is_requester",
        ApproverError::Sponsor => "approver_is_sponsor",
    };
    Refusal::new(RefusalKind::Forbidden, code, error.to_string()).about(id)
}

fn not_counted(error: &VoteError, id: GrantId) -> Refusal {
    let (kind, code) = match error {
        VoteError::NoneOpen => (RefusalKind::Conflict, "no_step_open"),
        VoteError::NotYet { .. } => (RefusalKind::Conflict, "step_not_open"),
        VoteError::NeededLater { .. } => (RefusalKind::Conflict, "needed_later"),
        VoteError::Step(NotAdmitted::NotListed { .. }) => (RefusalKind::Forbidden, "not_in_step"),
        VoteError::Step(NotAdmitted::Mfa { .. }) => (RefusalKind::Forbidden, "mfa_needed"),
        VoteError::Step(NotAdmitted::SignedInBefore { .. }) => (RefusalKind::Forbidden, "sign_in_too_old"),
    };
    Refusal::new(kind, code, error.to_string()).about(id)
}

fn voted_otherwise(id: GrantId) -> Refusal {
    Refusal::new(
        RefusalKind::Conflict,
        "voted_otherwise",
        "you have already voted the other way; a vote is \
        final",
    )
    .about(id)
}
