//! The kill switch, as `evaluate` serves it: people stop what they must at once, see it end, and lift it again.
//!
//! Placing a block is all there is to it here: issue reads blocks before whatever it asks of AWS, evaluate before it
//! decides, and the reaper ends what lives.

use std::sync::Arc;

use brevet_domain::canonical::CanonicalError;
use brevet_domain::identity::{Audience, Caller, IdentityClass};
use brevet_domain::revocation::{Act, Progress, Reason, Revocation, Right, Wanted, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{
    EvaluatorError, PortError, ProofVerifier, RawProof, RevocationPolicy, RevocationReader, RevocationStore,
};
use crate::refusal::{Refusal, RefusalKind};

/// How often an act is tried anew after another one on the same scope came in between.
const ATTEMPTS: u32 = 4;

/// How many versions of a block are shown.
const SHOWN: u32 = 20;

/// The use cases of the kill switch.
pub struct KillSwitch {
    proofs: Arc<dyn ProofVerifier>,
    policy: Arc<dyn RevocationPolicy>,
    reader: Arc<dyn RevocationReader>,
    store: Arc<dyn RevocationStore>,
}

/// What is known of the block on one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its latest version.
    pub latest: Revocation,
    /// How far the end of what it covers has come; of this version, and nothing before the first whole walk.
    pub progress: Option<Progress>,
}

/// A page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPage {
    /// Those that the caller may see.
    pub known: Vec<Known>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

impl KillSwitch {
    /// Wires the use cases to their ports.
    #[must_use]
    pub fn new(
        proofs: Arc<dyn ProofVerifier>,
        policy: Arc<dyn RevocationPolicy>,
        (reader, store): (Arc<dyn RevocationReader>, Arc<dyn RevocationStore>),
    ) -> Self {
        Self { proofs, policy, reader, store }
    }

    /// Places or lifts the block on `scope` in the name of the human whom `proof` shows. What is so already answers as it
    /// stands, and nothing is written.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof shows no human, policy does not allow it or cannot be used, there is nothing to lift, or
    /// the store does not answer.
    pub async fn act(
        &self,
        proof: &RawProof,
        act: Act,
        scope: &WideScope,
        reason: &Reason,
        now: Timestamp,
    ) -> Result<Known, Refusal> {
        let caller = self.human(proof, now).await?;
        let right = match act {
            Act::Placed => Right::Place,
            Act::Lifted => Right::Lift,
        };
        let mut raced = PortError::Conflict { operation: "revoke" };
        for _ in 0..ATTEMPTS {
            let before = self.reader.latest(scope).await?;
            let placed_by = before.as_ref().filter(|before| before.stands()).map(|before| &before.by);
            let determining = self.policy.may(&caller, right, scope, placed_by, now).await?;
            let wanted = Wanted { scope, act, reason, caller: &caller, determining };
            let next = Revocation::next(before.as_ref(), wanted, now).map_err(unwritable)?;
            let next = next.map_err(|error| not_found(error.to_string()))?;
            let Some(new) = next else {
                // It stands so already: `next` says nothing only where something was before.
                let latest = before.ok_or_else(|| not_found(format!("no block on `{scope}` was ever placed")))?;
                return self.known(latest).await;
            };
            match self.store.revoke(&new).await {
                Ok(()) => {
                    // A person should know of each: it stops, or lets go on, what others rely on.
                    tracing::warn!(block = %scope, act = ?act, by = %new.by, version = new.version, "moved the kill switch");
                    return Ok(Known { latest: new, progress: None });
                }
                Err(error @ PortError::Conflict { .. }) => raced = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(raced.into())
    }

    /// What is known of the block on `scope`, and its last versions.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for acts; "no such block" for one that was never placed.
    pub async fn read(
        &self,
        proof: &RawProof,
        scope: &WideScope,
        now: Timestamp,
    ) -> Result<(Known, Vec<Revocation>), Refusal> {
        let caller = self.human(proof, now).await?;
        self.policy.may(&caller, Right::Read, scope, None, now).await?;
        let latest = self.reader.latest(scope).await?;
        let latest = latest.ok_or_else(|| not_found(format!("no block on `{scope}` was ever placed")))?;
        let history = self.reader.history(scope, SHOWN).await?;
        Ok((self.known(latest).await?, history))
    }

    /// A page of what stands and what was lifted, as far as the caller may see it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for acts, and if `cursor` is none that was handed out.
    pub async fn list(
        &self,
        proof: &RawProof,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<KnownPage, Refusal> {
        let caller = self.human(proof, now).await?;
        let page = self.reader.revocations(cursor, limit).await;
        let page = page.map_err(|error| Refusal::of_page(error, cursor))?;
        let mut known = Vec::new();
        for latest in page.latest {
            match self.policy.may(&caller, Right::Read, &latest.scope, None, now).await {
                Ok(_) => known.push(self.known(latest).await?),
                Err(EvaluatorError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(KnownPage { known, next: page.next })
    }

    async fn known(&self, latest: Revocation) -> Result<Known, Refusal> {
        let progress = self.reader.progress(&latest.scope).await?;
        // Of what was lifted, the last block's.
        let of = if latest.stands() { latest.version } else { latest.version.saturating_sub(1) };
        Ok(Known { progress: progress.filter(|progress| progress.version == of), latest })
    }

    /// INVARIANT: a token for approvals, which intake never sees: whoever takes requests in can stop and lift nothing.
    async fn human(&self, proof: &RawProof, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class == IdentityClass::Human {
            return Ok(caller);
        }
        let detail = "only people have their hands on the kill switch: a machine asks a person";
        Err(Refusal::new(RefusalKind::Forbidden, "revoker_not_human", detail))
    }
}

impl std::fmt::Debug for KillSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KillSwitch").finish_non_exhaustive()
    }
}

fn not_found(detail: String) -> Refusal {
    Refusal::new(RefusalKind::NotFound, "revocation_not_found", detail)
}

fn unwritable(error: CanonicalError) -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "unavailable", error.to_string())
}
