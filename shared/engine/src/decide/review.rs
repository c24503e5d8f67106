//! Reviews of break-glass: who looks at a use, what awaits them, and what came of it.

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
use crate::port::{Also, PortError, PortResult, RawProof};
use crate::refusal::{Refusal, RefusalKind};
use crate::report::Report;

/// How many uses that turned out to be none are tidied away with one decision, at most.
const MAX_TIDIED: usize = 20;

/// A review as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewBallot {
    /// What it came to.
    pub outcome: ReviewOutcome,
    /// What the reviewer notes. Evidence; never logged.
    pub note: Note,
    /// The digest of the decision that the reviewer saw.
    pub digest: Digest,
}

/// A page of what awaits a reviewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviews {
    /// The grants, those that wait longest first. A page may hold none and yet not be the last.
    pub reports: Vec<Report>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// Why nothing ordinary is to be had.
fn reason(awaited: &AwaitedReview) -> String {
    format!(
        "grant `{}` on `{}` was break-glass, and its use was not reviewed yet: `{}` gets nothing but break-glass until it was",
        awaited.grant, awaited.entitlement, awaited.identity
    )
}

/// That a use awaits its review from now on, if `verdict` permits one.
pub(super) fn use_awaits_review(caller: &Caller, request: &Request, verdict: &Verdict, now: Timestamp) -> Option<Also> {
    if matches!(verdict.outcome, Outcome::Deny { .. }) {
        return None;
    }
    verdict.traits.break_glass.as_ref().map(|_| {
        Also::ReviewAwaited(AwaitedReview {
            identity: caller.identity.id.clone(),
            grant: request.id,
            entitlement: request.ask.entitlement.clone(),
            since: now,
        })
    })
}

impl Decider {
    /// Why `verdict` must be a denial, if it is not for an emergency and a use of `caller` awaits its review; and what is
    /// tidied away with it if not.
    ///
    /// INVARIANT: read after what the sponsor's identities hold. Every decision of theirs writes that: a break-glass
    /// decision that comes in between undoes this one.
    pub(super) async fn barred(&self, caller: &Caller, verdict: &Verdict) -> PortResult<(Option<String>, Vec<Also>)> {
        let (standing, over) = self.awaited(&caller.identity.id).await?;
        let barring = standing.filter(|_| verdict.traits.break_glass.is_none());
        Ok((barring.as_ref().map(reason), over))
    }

    /// A use of `identity` that awaits its review, if there is one, and what tidies away those before it that turned out
    /// to be none.
    async fn awaited(&self, identity: &IdentityId) -> PortResult<(Option<AwaitedReview>, Vec<Also>)> {
        let mut over = Vec::new();
        for one in self.reviews.awaited(identity).await? {
            let grant = self.reader.grant(one.grant).await?;
            // One without a grant cannot be, since they are stored together: it stands.
            if grant.as_ref().is_none_or(Grant::awaits_review) {
                return Ok((Some(one), over));
            }
            if over.len() < MAX_TIDIED {
                over.push(Also::ReviewOver { identity: one.identity, grant: one.grant });
            }
        }
        Ok((None, over))
    }

    /// Records what came of reviewing a break-glass grant, which is over.
    ///
    /// The entitlement's reviewer reviews, as the bundle in force names them; where they left, or the use was theirs or of
    /// somebody they answer for, its owner does.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows nobody, the caller is not its reviewer or saw another decision, there is nothing to
    /// review, or its end is not proved yet.
    pub async fn review(
        &self,
        proof: &RawProof,
        id: GrantId,
        ballot: ReviewBallot,
        now: Timestamp,
    ) -> Result<Report, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        let report = Report::read(&self.reader, id).await?;
        let reviews = match report.decision.as_ref() {
            Some(decision) => self.reviews_it(&caller, decision, now).await?,
            None => false,
        };
        let grant = if reviews {
            report.grant.as_ref().ok_or_else(|| Refusal::no_such_grant(id))?
        } else {
            report.seen_by(id, &caller.identity.id)?
        };
        let conflict = |code, detail: String| Err(Refusal::new(RefusalKind::Conflict, code, detail).about(id));
        if grant.review.is_none() {
            return conflict("not_break_glass", "only the use of break-glass is reviewed".to_owned());
        }
        if !reviews {
            let detail = "only its entitlement's reviewer can review it: or the owner, where the reviewer cannot";
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
                    "nothing was touched under this grant: there is nothing to review".to_owned(),
                );
            }
            if !matches!(grant.state, State::Ended { .. }) {
                let state = grant.state.name();
                return conflict(
                    "not_over",
                    format!("the grant is `{state}`: it can be reviewed once its end is proved"),
                );
            }
        }
        let event = Event::Reviewed { by: caller.identity.id.clone(), outcome: ballot.outcome };
        let with = json!({ "proof": caller.proof, "digest": ballot.digest, "note": ballot.note });
        let also = vec![Also::ReviewOver { identity: grant.identity.clone(), grant: id }];
        match self.journal.record(grant, &event, Some(with), also, now).await {
            Ok(_) => Ok(Report::read(&self.reader, id).await?),
            Err(StepError::Transition(_)) => {
                conflict("reviewed_already", "it was reviewed already, and otherwise; a review is final".to_owned())
            }
            Err(StepError::Port(PortError::Conflict { .. })) => {
                let detail = "the grant changed while the review was recorded; nothing was: send it again";
                Err(Refusal::new(RefusalKind::Conflict, "changed_meanwhile", detail).about(id).retry_after(1))
            }
            Err(StepError::Port(error)) => Err(Refusal::from(error).about(id)),
        }
    }

    /// Lists what awaits the caller's review, those that wait longest first; also what is not over yet.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows nobody, or the cursor or the store is not right.
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
            let report = Report::read(&self.reader, id).await?;
            let (Some(decision), true) = (&report.decision, report.grant.as_ref().is_some_and(Grant::awaits_review))
            else {
                continue;
            };
            if self.reviews_it(&caller, decision, now).await? {
                reports.push(report);
            }
        }
        Ok(Reviews { reports, next: page.next })
    }

    /// Whether `caller` is the one who reviews the use that `decision` allowed: the first of those named who is still
    /// registered and stands apart from it.
    async fn reviews_it(&self, caller: &Caller, decision: &Decision, now: Timestamp) -> Result<bool, Refusal> {
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
