//! Acknowledging: a person in charge records that they know of an overdue grant and that its end is being worked on.
//!
//! From the reaper's next good pass on, the grant no longer counts towards stopping all issuing. Its own principal
//! stays stopped and the grant stays overdue: only a proof ends it.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::grant::{Event, Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller, IdentityClass};
use brevet_domain::reaper_health::is_overdue;
use brevet_domain::revocation::{Reason, Right, WideScope};
use brevet_domain::time::Timestamp;
use serde_json::json;

use crate::journal::{Journal, StepError};
use crate::port::{
    EvaluatorError, GrantReader, GrantStore, IdSource, PortError, ProofVerifier, RawProof, RevocationPolicy,
};
use crate::refusal::{Refusal, RefusalKind};

/// How often a conflict with a change by the reaper is retried.
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
    /// Wires the use case to its ports. A grant is overdue if its end takes longer than `overdue_s` seconds.
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

    /// Records that the human who gave `proof` knows of grant `id`. An acknowledged grant stays as it is.
    ///
    /// A person who may place a block on the grant's entitlement may acknowledge it, except its holder and the people
    /// who answer for the holder.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not a human's, they may not acknowledge the grant, the grant is not overdue, or a
    /// port does not answer.
    pub async fn acknowledge(
        &self,
        proof: &RawProof,
        id: GrantId,
        reason: &Reason,
        now: Timestamp,
    ) -> Result<Grant, Refusal> {
        // INVARIANT: the token's audience is approvals, which intake never sees: intake cannot resume issuing.
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class != IdentityClass::Human {
            let detail = "only human identities may acknowledge an overdue grant";
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

    /// The policies that allow `caller` to acknowledge. To others, a grant of which they have no part does not exist.
    async fn in_charge(&self, caller: &Caller, grant: &Grant, now: Timestamp) -> Result<Vec<String>, Refusal> {
        let no_such = || Refusal::no_such_grant(grant.id);
        let scope = WideScope::try_from(BlockScope::Entitlement(grant.entitlement.clone())).map_err(|_| no_such())?;
        let is_own = grant.belongs_to(&caller.identity.id);
        match self.policy.may(caller, Right::Place, &scope, None, now).await {
            Ok(policies) if !is_own => Ok(policies),
            Ok(_) | Err(EvaluatorError::Refused(_)) if is_own => {
                let detail = "neither the holder of an overdue grant nor anyone who answers for it may acknowledge it: ask \
                     another person in charge";
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
            "the grant is `{}` and not overdue: a grant is overdue if its end was due more than {} s ago and is not \
             proved",
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
