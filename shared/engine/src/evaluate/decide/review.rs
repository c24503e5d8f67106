//! Reviews of break-glass: who reviews a use, what awaits their review, and its outcome.

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Verdict, check_approver};
use brevet_domain::grant::{Event, Grant, State};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::request::Request;
use brevet_domain::review::{AwaitedReview, Note, Review, ReviewOutcome};
use brevet_domain::time::Timestamp;
use serde_json::json;

use super::Decider;
use crate::journal::StepError;
use crate::port::{PortError, PortResult, RawProof, TransactionItem};
use crate::records::GrantRecords;
use crate::refusal::{Refusal, RefusalKind};

/// The most stale entries of the to-review list that one decision removes.
const MAX_TIDIED: usize = 20;

/// A review as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewBallot {
    pub outcome: ReviewOutcome,
    /// The reviewer's note. Evidence; never logged.
    pub note: Note,
    /// The digest of the decision that the reviewer saw.
    pub digest: Digest,
}

/// A page of the uses that await a reviewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviews {
    /// The grants, longest-waiting first. A page may be empty without being the last.
    pub reports: Vec<GrantRecords>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// Why only break-glass can be granted.
fn reason(awaited: &AwaitedReview) -> String {
    format!(
        "the use of break-glass grant `{}` on `{}` is not reviewed yet: until it is, `{}` gets only break-glass grants",
        awaited.grant, awaited.entitlement, awaited.identity
    )
}

/// The record that a use awaits its review, if `verdict` permits one.
pub(super) fn use_awaits_review(
    caller: &Caller,
    request: &Request,
    verdict: &Verdict,
    now: Timestamp,
) -> Option<TransactionItem> {
    if matches!(verdict.outcome, Outcome::Deny { .. }) {
        return None;
    }
    verdict.traits.break_glass.as_ref().map(|_| {
        TransactionItem::ReviewAwaited(AwaitedReview {
            identity: caller.identity.id.clone(),
            grant: request.id,
            entitlement: request.ask.entitlement.clone(),
            since: now,
        })
    })
}

impl Decider {
    /// The reason for a denial, if `verdict` is not break-glass and a use of `caller` awaits its review; and the
    /// removals of stale entries.
    ///
    /// INVARIANT: read after the holdings. Every decision for the sponsor writes those, so a break-glass decision that
    /// comes in between makes this one conflict.
    pub(super) async fn barred(
        &self,
        caller: &Caller,
        verdict: &Verdict,
    ) -> PortResult<(Option<String>, Vec<TransactionItem>)> {
        let (standing, over) = self.awaited(&caller.identity.id).await?;
        let barring = standing.filter(|_| verdict.traits.break_glass.is_none());
        Ok((barring.as_ref().map(reason), over))
    }

    /// A use of `identity` that awaits its review, if there is one, and the removals of the stale entries before it.
    async fn awaited(&self, identity: &IdentityId) -> PortResult<(Option<AwaitedReview>, Vec<TransactionItem>)> {
        let mut over = Vec::new();
        for awaited in self.reviews.awaited(identity).await? {
            let grant = self.reader.grant(awaited.grant).await?;
            // An entry without a grant is impossible, since both are stored together: it counts as awaited.
            if grant.as_ref().is_none_or(Grant::awaits_review) {
                return Ok((Some(awaited), over));
            }
            if over.len() < MAX_TIDIED {
                over.push(TransactionItem::ReviewOver { identity: awaited.identity, grant: awaited.grant });
            }
        }
        Ok((None, over))
    }

    /// Records the review of a break-glass grant that has ended.
    ///
    /// The bundle in force names the entitlement's reviewer. Its owner reviews if the reviewer is no longer registered,
    /// or if the use was the reviewer's own or that of somebody they answer for.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is invalid, the caller is not the reviewer, the digest is another decision's, there is
    /// nothing to review, or the grant's end is not proved yet.
    pub async fn review(
        &self,
        proof: &RawProof,
        id: GrantId,
        ballot: ReviewBallot,
        now: Timestamp,
    ) -> Result<GrantRecords, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        let records = GrantRecords::read(&self.reader, id).await?;
        let is_reviewer = match records.decision.as_ref() {
            Some(decision) => self.is_reviewer(&caller, decision, now).await?,
            None => false,
        };
        let grant = if is_reviewer {
            records.grant.as_ref().ok_or_else(|| Refusal::no_such_grant(id))?
        } else {
            records.visible_to(id, &caller.identity.id)?
        };
        let conflict = |code, detail: String| Err(Refusal::new(RefusalKind::Conflict, code, detail).about(id));
        if grant.review.is_none() {
            return conflict(
                "not_break_glass",
                "the grant is not break-glass: only uses of break-glass are \
                reviewed"
                    .to_owned(),
            );
        }
        if !is_reviewer {
            let detail = "only the entitlement's reviewer can review this use, or its owner if the reviewer cannot";
            return Err(Refusal::new(RefusalKind::Forbidden, "not_reviewer", detail).about(id));
        }
        if grant.decision_digest != ballot.digest {
            let detail =
                "the digest is not that of this grant's decision: read the grant again and review what it shows";
            return conflict("digest_mismatch", detail.to_owned());
        }
        if grant.review == Some(Review::Awaited) {
            if !grant.awaits_review() {
                return conflict(
                    "nothing_to_review",
                    "nothing was touched under this grant, so there is no use to review".to_owned(),
                );
            }
            if !matches!(grant.state, State::Ended { .. }) {
                let state = grant.state.name();
                return conflict("not_over", format!("the grant is `{state}`: review it once its end is proved"));
            }
        }
        let event = Event::Reviewed { by: caller.identity.id.clone(), outcome: ballot.outcome };
        let with = json!({ "proof": caller.proof, "digest": ballot.digest, "note": ballot.note });
        let items = vec![TransactionItem::ReviewOver { identity: grant.identity.clone(), grant: id }];
        match self.journal.record(grant, &event, Some(with), items, now).await {
            Ok(_) => Ok(GrantRecords::read(&self.reader, id).await?),
            Err(StepError::Transition(_)) => {
                conflict("reviewed_already", "this use already has another review; a review is final".to_owned())
            }
            Err(StepError::Port(PortError::Conflict { .. })) => {
                let detail = "the grant changed while the review was recorded, and the review was not stored: send \
                              it again";
                Err(Refusal::new(RefusalKind::Conflict, "changed_meanwhile", detail).about(id).retry_after(1))
            }
            Err(StepError::Port(error)) => Err(Refusal::from(error).about(id)),
        }
    }

    /// Lists the uses that await the caller's review, longest-waiting first, including grants that have not ended yet.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof or the cursor is invalid, or the store does not answer.
    pub async fn reviews(
        &self,
        proof: &RawProof,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Reviews, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        let page = self.reviews.reviews(cursor, limit).await;
        let page = page.map_err(|error| Refusal::of_page(error, cursor))?;
        let mut reports = Vec::new();
        for id in page.grants {
            let records = GrantRecords::read(&self.reader, id).await?;
            let (Some(decision), true) = (&records.decision, records.grant.as_ref().is_some_and(Grant::awaits_review))
            else {
                continue;
            };
            if self.is_reviewer(&caller, decision, now).await? {
                reports.push(records);
            }
        }
        Ok(Reviews { reports, next: page.next })
    }

    /// Whether `caller` reviews the use that `decision` allowed: the first named person who is still registered and is
    /// neither the requester nor their sponsor.
    async fn is_reviewer(&self, caller: &Caller, decision: &Decision, now: Timestamp) -> Result<bool, Refusal> {
        let terms = &decision.terms;
        let Some(then) = &terms.traits.break_glass else { return Ok(false) };
        let about = |error| Refusal::from(error).about(decision.id);
        let in_force = self.policy.reviewer(&terms.entitlement, now).await.map_err(about)?;
        let named = in_force.iter().chain([then]).flat_map(|named| [&named.reviewer, &named.owner]);
        for id in named {
            let registered = self.policy.registered(id, now).await.map_err(about)?;
            let apart = |person| check_approver(person, &terms.identity, &terms.sponsor).is_ok();
            if registered.as_ref().is_some_and(apart) {
                return Ok(caller.identity.id == *id);
            }
        }
        Ok(false)
    }
}
