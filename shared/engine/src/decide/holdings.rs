//! Separation of duties: what is held with a grant among it, taken in the deciding transaction.

use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::duties::{DutiesError, Holding, Holdings};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::time::Timestamp;

use super::basis::AsOf;
use super::{Decider, deny};
use crate::port::Also;
use crate::refusal::Refusal;

/// How many grants of a sponsor are looked at for one decision, at most: those in the way first.
const MAX_LOOKS: usize = 60;

/// How long after its term a grant has surely been reaped if nothing went wrong, in seconds.
const REAPED_S: u32 = 600;

/// For how long people may take to say yes to what `verdict` says at `now`, in seconds.
pub(super) fn waits_s(verdict: &Verdict, now: Timestamp) -> u32 {
    match &verdict.outcome {
        Outcome::Allow | Outcome::Deny { .. } => 0,
        Outcome::NeedsApproval { deadline, .. } => u32::try_from(deadline.seconds_since(now)).unwrap_or(u32::MAX),
    }
}

impl Decider {
    /// What the sponsor's identities hold with this grant among it, and what the human has on whose behalf it is; a
    /// denial if it must not be held beside the one or the other.
    ///
    /// What is decided again, at quorum, is taken anew: it is not in its own way.
    ///
    /// INVARIANT: it is stored in the deciding transaction, so of two requests that race one is decided anew.
    pub(super) async fn take(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<Vec<Also>, Refusal> {
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
        let (barred, mut also) = self.barred(caller, verdict).await?;
        if let Some(reason) = barred {
            deny(verdict, reason, rule::REVIEW);
            return Ok(Vec::new());
        }
        for taken in taken {
            match taken {
                Ok(taken) => also.push(Also::Holdings(taken)),
                Err(error) => {
                    deny(verdict, error.to_string(), rule::DUTIES);
                    return Ok(Vec::new());
                }
            }
        }
        Ok(also)
    }

    async fn taken(
        &self,
        of: &IdentityId,
        new: &Holding,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<Result<Holdings, DutiesError>, Refusal> {
        let mut holdings = self.holdings.holdings(of).await?;
        holdings.held.retain(|one| one.grant != new.grant);
        // What stands in the way may have ended meanwhile; what is probably over is worth a look when there is time.
        let mut looks = holdings.in_the_way(new, &verdict.duties);
        looks.truncate(MAX_LOOKS);
        looks.extend(holdings.probably_over(now, 4));
        for id in looks {
            let grant = self.reader.grant(id).await?;
            holdings.note(id, grant.as_ref());
        }
        Ok(holdings.take(new.clone(), &verdict.duties, now))
    }
}
