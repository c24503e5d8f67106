//! What a request needs besides policy: a delegation that its human stored before, or a grant that it renews.

use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::delegation::{Delegated, Delegation, DelegationError, Use};
use brevet_domain::identity::Caller;
use brevet_domain::renewal::{Predecessor, Renewal, RenewalError};
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::time::Timestamp;

use super::{Decider, deny, unwritable};
use crate::port::TransactionItem;
use crate::records::GrantRecords;
use crate::refusal::Refusal;

/// The basis of one request.
#[derive(Debug, Default)]
pub(super) struct DecisionBasis {
    /// The delegation's version, as the decision names it.
    pub(super) delegation: Option<Delegated>,
    /// The chain of renewals that the request continues.
    pub(super) renewal: Option<Renewal>,
    /// The delegation itself.
    given: Option<Delegation>,
}

/// The instants at which a delegation or renewal is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    /// How long approvers may still take, in seconds.
    pub(super) waits_s: u32,
    /// When the request was first decided: a grant that could be renewed then can still be renewed at quorum.
    pub(super) decided_at: Timestamp,
}

impl DecisionBasis {
    /// The condition, on the write of the decision, that the delegation is still the latest version.
    pub(super) fn still_delegated(&self) -> Option<TransactionItem> {
        self.given.as_ref().map(TransactionItem::still_delegated)
    }
}

impl Decider {
    /// Finds the basis of `request`; the verdict becomes a denial if it is missing.
    ///
    /// INVARIANT: access on a human's behalf needs a delegation that this human stored, and lasts no longer than it.
    pub(super) async fn basis(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<DecisionBasis, Refusal> {
        if matches!(verdict.outcome, Outcome::Deny { .. }) {
            return Ok(DecisionBasis::default());
        }
        let mut basis = DecisionBasis::default();
        match self.delegation(caller, request, verdict, as_of, now).await? {
            Ok(given) => {
                basis.delegation = given.as_ref().map(Delegation::named).transpose().map_err(unwritable)?;
                basis.given = given;
            }
            Err(error) => {
                deny(verdict, error.to_string(), rule::DELEGATION);
                return Ok(basis);
            }
        }
        match self.renewal(caller, request, verdict, as_of).await? {
            Ok(renewal) => basis.renewal = renewal,
            Err(error) => deny(verdict, error.to_string(), rule::RENEWAL),
        }
        Ok(basis)
    }

    async fn delegation(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<Result<Option<Delegation>, DelegationError>, Refusal> {
        let (ask, to) = (&request.ask, &caller.identity.id);
        let Some(by) = &ask.on_behalf_of else { return Ok(Ok(None)) };
        let Some(given) = self.delegations.delegation(by, to).await? else {
            return Ok(Err(DelegationError::None { by: by.clone(), to: to.clone() }));
        };
        let asked = Use {
            entitlement: &ask.entitlement,
            term: verdict.term,
            waits_s: as_of.waits_s,
            start_within_s: verdict.start_within_s,
        };
        Ok(given.covers(asked, now).map(|start_within_s| {
            verdict.start_within_s = start_within_s;
            Some(given)
        }))
    }

    async fn renewal(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &Verdict,
        as_of: AsOf,
    ) -> Result<Result<Option<Renewal>, RenewalError>, Refusal> {
        let Some(of) = request.ask.renews else { return Ok(Ok(None)) };
        let GrantRecords { request: asked, decision, grant } = GrantRecords::read(&self.reader, of).await?;
        let (Some(asked), Some(decision), Some(grant)) = (asked, decision, grant) else {
            return Ok(Err(RenewalError::NoneOfYours(of)));
        };
        let before = Predecessor { grant: &grant, decision: &decision, request: &asked };
        let who = (&caller.identity.id, caller.task.as_ref());
        let renewal = Renewal::check(who, &request.ask, before, verdict.max_renewals, as_of.decided_at);
        Ok(renewal.map(Some))
    }
}
