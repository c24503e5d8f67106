//! What a request rests on beside policy: a delegation that its human stored beforehand, a grant that it carries on.

use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::delegation::{Delegated, Delegation, DelegationError, Use};
use brevet_domain::identity::Caller;
use brevet_domain::renewal::{Predecessor, Renewal, RenewalError};
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::time::Timestamp;

use super::{Decider, deny, unwritable};
use crate::port::Also;
use crate::refusal::Refusal;
use crate::report::Report;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Basis {
    /// The version of the delegation, as the decision names it.
    pub(super) delegation: Option<Delegated>,
    /// The row of renewals that it goes on with.
    pub(super) renewal: Option<Renewal>,
    /// The version itself.
    given: Option<Delegation>,
}

/// As of when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    /// For how long people may still take to say yes, in seconds.
    pub(super) waits_s: u32,
    /// When it was decided first: a grant that could be renewed then is not too old when people have said yes.
    pub(super) decided_at: Timestamp,
}

impl Basis {
    /// That what it rests on still stands, as a condition of the write that rests on it.
    pub(super) fn still(&self) -> Option<Also> {
        self.given.as_ref().map(Also::still)
    }
}

impl Decider {
    /// Finds what `request` rests on; the verdict is a denial if that is not there.
    ///
    /// INVARIANT: nothing is had on a human's behalf but by what that human stored, and never for longer.
    pub(super) async fn basis(
        &self,
        caller: &Caller,
        request: &Request,
        verdict: &mut Verdict,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<Basis, Refusal> {
        if matches!(verdict.outcome, Outcome::Deny { .. }) {
            return Ok(Basis::default());
        }
        let mut basis = Basis::default();
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
        let Report { request: asked, decision, grant } = Report::read(&self.reader, of).await?;
        let (Some(asked), Some(decision), Some(grant)) = (asked, decision, grant) else {
            return Ok(Err(RenewalError::NoneOfYours(of)));
        };
        let before = Predecessor { grant: &grant, decision: &decision, request: &asked };
        let who = (&caller.identity.id, caller.task.as_ref());
        let renewal = Renewal::check(who, &request.ask, before, verdict.max_renewals, as_of.decided_at);
        Ok(renewal.map(Some))
    }
}
