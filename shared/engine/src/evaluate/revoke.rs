//! The kill switch in `evaluate`: people block a scope at once, watch its grants end, and lift the block again.
//!
//! This module only stores blocks: issue reads them before each call to AWS, evaluate before it decides, and the reaper
//! ends live grants.

use std::sync::Arc;

use brevet_domain::canonical::CanonicalError;
use brevet_domain::identity::{Audience, Caller, IdentityClass};
use brevet_domain::revocation::{Progress, Reason, Revocation, RevocationAction, RevocationRequest, Right, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{
    EvaluatorError, PortError, ProofVerifier, RawProof, RevocationPolicy, RevocationReader, RevocationStore,
};
use crate::refusal::{Refusal, RefusalKind};

/// How often a conflict with another act on the same scope is retried.
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

/// The block on one scope and its progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBlock {
    pub latest: Revocation,
    /// How far the grants that this version covers have ended; absent before the first whole pass.
    pub progress: Option<Progress>,
}

/// A page of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPage {
    /// Those that the caller may see.
    pub known: Vec<KnownBlock>,
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

    /// Places or lifts the block on `scope` for the human who gave `proof`. If the scope is in that state already, the
    /// current version is returned and nothing is written.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not a human's, policy does not allow the act or cannot be used, there is no block to
    /// lift, or the store does not answer.
    pub async fn act(
        &self,
        proof: &RawProof,
        act: RevocationAction,
        scope: &WideScope,
        reason: &Reason,
        now: Timestamp,
    ) -> Result<KnownBlock, Refusal> {
        let caller = self.human(proof, now).await?;
        let right = match act {
            RevocationAction::Placed => Right::Place,
            RevocationAction::Lifted => Right::Lift,
        };
        let mut raced = PortError::Conflict { operation: "revoke" };
        for _ in 0..ATTEMPTS {
            let before = self.reader.latest(scope).await?;
            let placed_by = before.as_ref().filter(|before| before.stands()).map(|before| &before.by);
            let determining = self.policy.may(&caller, right, scope, placed_by, now).await?;
            let request = RevocationRequest { scope, act, reason, caller: &caller, determining };
            let next = Revocation::next(before.as_ref(), request, now).map_err(unwritable)?;
            let next = next.map_err(|error| not_found(error.to_string()))?;
            let Some(new) = next else {
                // The scope is in that state already: `next` returns nothing only if there was a version before.
                let latest = before.ok_or_else(|| not_found(format!("no block on `{scope}` was ever placed")))?;
                return self.known(latest).await;
            };
            match self.store.revoke(&new).await {
                Ok(()) => {
                    // A warning, because a person should know of each act: it stops or resumes what others rely on.
                    tracing::warn!(block = %scope, act = ?act, by = %new.by, version = new.version, "changed a block of the kill switch");
                    return Ok(KnownBlock { latest: new, progress: None });
                }
                Err(error @ PortError::Conflict { .. }) => raced = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(raced.into())
    }

    /// The block on `scope` and its latest versions.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for acts; "no such block" if none was ever placed on `scope`.
    pub async fn read(
        &self,
        proof: &RawProof,
        scope: &WideScope,
        now: Timestamp,
    ) -> Result<(KnownBlock, Vec<Revocation>), Refusal> {
        let caller = self.human(proof, now).await?;
        self.policy.may(&caller, Right::Read, scope, None, now).await?;
        let latest = self.reader.latest(scope).await?;
        let latest = latest.ok_or_else(|| not_found(format!("no block on `{scope}` was ever placed")))?;
        let history = self.reader.history(scope, SHOWN).await?;
        Ok((self.known(latest).await?, history))
    }

    /// A page of the standing and the lifted blocks that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for acts, and if `cursor` is invalid.
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

    async fn known(&self, latest: Revocation) -> Result<KnownBlock, Refusal> {
        let progress = self.reader.progress(&latest.scope).await?;
        // For a lifted block, the progress is that of the version that placed it.
        let of = if latest.stands() { latest.version } else { latest.version.saturating_sub(1) };
        Ok(KnownBlock { progress: progress.filter(|progress| progress.version == of), latest })
    }

    /// INVARIANT: the token's audience is approvals, which intake never sees: intake can neither place nor lift a
    /// block.
    async fn human(&self, proof: &RawProof, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Approvals, now).await?;
        if caller.identity.class == IdentityClass::Human {
            return Ok(caller);
        }
        let detail = "only human identities may use the kill switch";
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
