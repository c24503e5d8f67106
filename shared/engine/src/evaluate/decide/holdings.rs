//! Separation of duties: the holdings that include a new grant, stored in the deciding transaction.

use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::duties::{DutiesError, Holding, Holdings};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::time::Timestamp;

use super::basis::AsOf;
use super::{Decider, deny};
use crate::port::TransactionItem;
use crate::refusal::Refusal;

/// The most grants of a sponsor that one decision reads; those that stand in the way come first.
const MAX_READ: usize = 60;

/// How long after its term a grant has surely been reaped if nothing failed, in seconds.
const REAPED_S: u32 = 600;

/// How long approvers may take under `verdict`, from `now`, in seconds.
pub(super) fn waits_s(verdict: &Verdict, now: Timestamp) -> u32 {
    match &verdict.outcome {
        Outcome::Allow | Outcome::Deny { .. } => 0,
        Outcome::NeedsApproval { deadline, .. } => u32::try_from(deadline.seconds_since(now)).unwrap_or(u32::MAX),
    }
}

impl Decider {
    /// Adds this grant to the holdings of the sponsor and of the human on whose behalf it is requested. The verdict becomes a
    /// denial if it must not be held beside what they hold.
    ///
    /// At quorum, the grant's earlier entry is replaced, so that it does not exclude itself.
    ///
    /// INVARIANT: holdings are stored in the deciding transaction, so of two concurrent requests one is decided again.
    pub(super) async fn take(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<Vec<TransactionItem>, Refusal> {
        if matches!(verdict.outcome, Outcome::Deny { .. }) {
            return Ok(Vec::new());
        }
        let started_at = now.plus(as_of.waits_s).plus(verdict.start_within_s);
        let over_at = started_at.plus(verdict.term.as_seconds()).plus(REAPED_S);
        let new = Holding {
            grant: request.id,
            identity: caller.identity.id.clone(),
            entitlement: request.ask.entitlement.clone(),
            taken_at: now,
            likely_over_at: over_at,
            remember_s: verdict.duties.remember_s,
            renews: request.ask.renews,
            ended_at: None,
        };
        let sponsor = &caller.identity.owner;
        let human = request.ask.on_behalf_of.as_ref().filter(|human| *human != sponsor);
        let mut taken = Vec::new();
        for of in std::iter::once(sponsor).chain(human) {
            taken.push(self.taken(of, &new, verdict, now).await?);
        }
        let (barred, mut items) = self.barred(caller, verdict).await?;
        if let Some(reason) = barred {
            deny(verdict, reason, rule::REVIEW);
            return Ok(Vec::new());
        }
        for taken in taken {
            match taken {
                Ok(taken) => items.push(TransactionItem::Holdings(taken)),
                Err(error) => {
                    deny(verdict, error.to_string(), rule::DUTIES);
                    return Ok(Vec::new());
                }
            }
        }
        Ok(items)
    }

    async fn taken(
        &self,
        of: &IdentityId,
        new: &Holding,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<Result<Holdings, DutiesError>, Refusal> {
        let mut holdings = self.holdings.holdings(of).await?;
        holdings.held.retain(|holding| holding.grant != new.grant);
        // A grant that stands in the way may have ended meanwhile; a few that are probably over are removed on the
        // way.
        let mut to_read = holdings.in_the_way(new, &verdict.duties);
        to_read.truncate(MAX_READ);
        to_read.extend(holdings.probably_over(now, 4));
        for id in to_read {
            let grant = self.reader.grant(id).await?;
            holdings.note(id, grant.as_ref());
        }
        Ok(holdings.take(new.clone(), &verdict.duties, now))
    }
}
