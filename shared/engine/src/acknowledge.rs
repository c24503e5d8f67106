//! Acknowledging: somebody in charge says that they know of an overdue grant, and that its end is worked on.
//!
//! It then counts no longer towards stopping everything, from the reaper's next good pass on. Its own principal stays
//! stopped, and the grant as overdue as it was: nothing but a proof ends it.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::grant::{Event, Grant, State};
use brevet_domain::heart::is_overdue;
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller, IdentityClass};
use brevet_domain::revocation::{Reason, Right, WideScope};
use brevet_domain::time::Timestamp;
use serde_json::json;

use crate::journal::{Journal, StepError};
use crate::port::{
    EvaluatorError, GrantReader, GrantStore, IdSource, PortError, ProofVerifier, RawProof, RevocationPolicy,
};
use crate::refusal::{Refusal, RefusalKind};

/// How often it is recorded anew after the reaper changed the grant in between.
const ATTEMPTS: u32 = 4;

/// The use case of acknowledging.
pub struct Acknowledging {
    proofs: Arc<dyn ProofVerifier>,
    policy: Arc<dyn RevocationPolicy>,
    reader: Arc<dyn GrantReader>,
    journal: Journal,
    overdue_s: u32,
}

impl Acknowledging {
    /// Wires the use case to its ports. An end that takes longer than `overdue_s` seconds is overdue.
    #[must_use]
    pub fn new(
        proofs: Arc<dyn ProofVerifier>,
        policy: Arc<dyn RevocationPolicy>,
        reader: Arc<dyn GrantReader>,
        (store, ids): (Arc<dyn GrantStore>, Arc<dyn IdSource>),
        overdue_s: u32,
    ) -> Self {
        Self { proofs, policy, reader, journal: Journal::new(store, ids, "evaluate"), overdue_s }
    }

    /// Records that whom `proof` shows knows of grant `id`. One that somebody acknowledged already stays as it is.
    ///
    /// Whoever may place a block on its entitlement may; not its holder, nor whoever answers for them.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows no human, they may not, the grant is not overdue, or something does not answer.
    pub async fn acknowledge(
        &self,
        proof: &RawProof,
        id: GrantId,
        reason: &Reason,
        now: Timestamp,
    ) -> Result<Grant, Refusal> {
        // INVARIANT: a token for approvals, which intake never sees: whoever takes requests in lets nothing go on.
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class != IdentityClass::Human {
            let detail = "only people acknowledge what is overdue: a machine tells a person";
            return Err(Refusal::new(RefusalKind::Forbidden, "acknowledger_not_human", detail));
        }
        let mut raced = PortError::Conflict { operation: "acknowledge" };
        for _ in 0..ATTEMPTS {
            let grant = self.reader.grant(id).await?.ok_or_else(|| Refusal::no_such_grant(id))?;
            let determining = self.in_charge(&caller, &grant, now).await?;
            self.is_overdue(&grant, now)?;
            let event = Event::OverdueAcknowledged { by: caller.identity.id.clone() };
            let with = json!({ "proof": caller.proof, "reason": reason, "determining": determining });
            match self.journal.record(&grant, &event, Some(with), Vec::new(), now).await {
                Ok(after) => return Ok(after.unwrap_or(grant)),
                Err(StepError::Transition(error)) => {
                    return Err(Refusal::new(RefusalKind::Conflict, "not_overdue", error.to_string()).about(id));
                }
                Err(StepError::Port(error @ PortError::Conflict { .. })) => raced = error,
                Err(StepError::Port(error)) => return Err(Refusal::from(error).about(id)),
            }
        }
        Err(Refusal::from(raced).about(id))
    }

    /// The policies by which `caller` may. To whoever may not, a grant that they have no part in does not exist.
    async fn in_charge(&self, caller: &Caller, grant: &Grant, now: Timestamp) -> Result<Vec<String>, Refusal> {
        let no_such = || Refusal::no_such_grant(grant.id);
        let scope = WideScope::try_from(BlockScope::Entitlement(grant.entitlement.clone())).map_err(|_| no_such())?;
        let is_own = grant.belongs_to(&caller.identity.id);
        match self.policy.may(caller, Right::Place, &scope, None, now).await {
            Ok(policies) if !is_own => Ok(policies),
            Ok(_) | Err(EvaluatorError::Refused(_)) if is_own => {
                let detail =
                    "somebody in charge acknowledges an overdue grant, and neither its holder nor who answers for it";
                Err(Refusal::new(RefusalKind::Forbidden, "own_grant", detail).about(grant.id))
            }
            Ok(_) | Err(EvaluatorError::Refused(_)) => Err(no_such()),
            Err(error) => Err(Refusal::from(error).about(grant.id)),
        }
    }

    fn is_overdue(&self, grant: &Grant, now: Timestamp) -> Result<(), Refusal> {
        let since = grant.over_since().filter(|_| matches!(grant.state, State::Revoking(_)));
        if since.is_some_and(|since| is_overdue(since, now, self.overdue_s)) {
            return Ok(());
        }
        let detail = format!(
            "the grant is `{}` and not overdue: that is one whose end was due more than {} s ago and is not proved",
            grant.state.name(),
            self.overdue_s
        );
        Err(Refusal::new(RefusalKind::Conflict, "not_overdue", detail).about(grant.id))
    }
}

impl std::fmt::Debug for Acknowledging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acknowledging").finish_non_exhaustive()
    }
}
