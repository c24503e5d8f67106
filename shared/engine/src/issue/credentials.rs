//! The use case of `issue` for sessions: vend credentials for a grant. Issue acts only on a stored decision.

use std::sync::Arc;

use brevet_domain::grant::{Delivery, Event, Grant, NewVend, Problem, State, TransitionError, VendAnswer};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::plan::SessionPlan;
use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::time::Timestamp;

use crate::catalogue::Catalogue;
use crate::issue::checks::{Checks, Permitted, tampered};
use crate::journal::{Journal, StepError};
use crate::port::{
    Activation, Clock, Credentials, GrantReader, GrantStore, IdSource, InService, PortError, ProofVerifier, RawProof,
    TransactionItem, TtlBackstop, Vended, Vendor,
};
use crate::refusal::{Refusal, RefusalKind};

/// How often a lost race is retried when recording a vend. Each loss means that another writer's change went through.
const ATTEMPTS: u32 = 3;

/// The most vends of one grant. A credential lives at least 900 s, so 48 vends cover the longest term. Each vend adds
/// to the grant's evidence, which must stay bounded.
const MAX_VENDS: u32 = 1_000;

/// The use case of the issue function.
pub struct Issuer {
    proofs: Arc<dyn ProofVerifier>,
    reader: Arc<dyn GrantReader>,
    journal: Journal,
    vendor: Arc<dyn Vendor>,
    clock: Arc<dyn Clock>,
    checks: Checks,
}

/// What [`Issuer::vend`] returns to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCredentials {
    pub credentials: Credentials,
    /// The credentials' own expiry, or the grant's deadline if that is earlier.
    pub expiration: Timestamp,
}

/// A recorded vend whose `AssumeRole` call has not been made yet.
struct Recorded {
    grant: Grant,
    plan: SessionPlan,
    seq: u32,
    deadline: Timestamp,
    issuance_policy: IssuancePolicy,
}

impl Issuer {
    /// Wires the use case to its ports.
    #[must_use]
    pub fn new(
        proofs: Arc<dyn ProofVerifier>,
        (reader, catalogue, service): (Arc<dyn GrantReader>, Arc<Catalogue>, Arc<dyn InService>),
        (store, ids): (Arc<dyn GrantStore>, Arc<dyn IdSource>),
        vendor: Arc<dyn Vendor>,
        clock: Arc<dyn Clock>,
        issuance_policy: IssuancePolicy,
    ) -> Self {
        let checks = Checks::new(Arc::clone(&reader), catalogue, service, issuance_policy);
        Self { proofs, reader, journal: Journal::new(store, ids, "issue"), vendor, clock, checks }
    }

    /// Vends credentials for grant `id` to its holder.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the proof is not the holder's, the grant is not approved or has ended, issuing has stopped, or a
    /// port does not answer. The caller then gets no credentials, even if AWS created some.
    pub async fn vend(&self, proof: &RawProof, id: GrantId) -> Result<IssuedCredentials, Refusal> {
        let caller = self.proofs.verify(proof, Audience::Credentials, self.clock.now()).await?;
        // INVARIANT: recorded first. 1. The vend and its fence are stored before AWS is called.
        let recorded = self.record(&caller, id).await?;
        // 2. Re-read blocks and reaper health: this reading sees a stop that the first one missed.
        if let Err(refusal) = self.still_clear(&recorded).await {
            self.answer(&recorded, failed("stopped before the call was made")).await?;
            return Err(refusal);
        }
        // 3. Call AWS.
        let vended = match self.vendor.vend(&recorded.plan).await {
            Ok(vended) => vended,
            Err(error) => return Err(self.not_vended(&recorded, error).await),
        };
        // 4. Credentials whose vend cannot be recorded are dropped here, and end by their own session policy.
        let grant = self.answer(&recorded, issued(&vended)).await?;
        if !matches!(grant.state, State::Active { .. }) {
            return Err(over(&grant));
        }
        let expiration = vended.expires_at.min(recorded.deadline);
        Ok(IssuedCredentials { credentials: vended.credentials, expiration })
    }

    async fn record(&self, caller: &Caller, id: GrantId) -> Result<Recorded, Refusal> {
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let grant = self.reader.grant(id).await?.ok_or_else(|| Refusal::no_such_grant(id))?;
            match self.record_once(caller, &grant).await? {
                Ok(recorded) => return Ok(recorded),
                // A lost race or a lost answer: read again. The loser of a race takes the stored deadline.
                Err(error) => lost = Some(error),
            }
        }
        let refusal = lost.map_or_else(|| Refusal::no_such_grant(id), Refusal::from);
        Err(refusal.about(id))
    }

    async fn record_once(&self, caller: &Caller, grant: &Grant) -> Result<Result<Recorded, PortError>, Refusal> {
        let now = self.clock.now();
        holds(caller, grant)?;
        if !matches!(grant.delivery, Delivery::Session { .. }) {
            let detail = "this grant is delivered as an attachment: it has no credentials to fetch; use the \
                          principal itself";
            return Err(Refusal::new(RefusalKind::Conflict, "attachment", detail).about(grant.id));
        }
        let (deadline, first) = if let State::Active { deadline, vends, .. } = &grant.state {
            if vends.count >= MAX_VENDS {
                let detail = format!(
                    "credentials were fetched {MAX_VENDS} times for this grant, the maximum: use \
                                      those you have"
                );
                return Err(Refusal::new(RefusalKind::Conflict, "too_many_vends", detail).about(grant.id));
            }
            (*deadline, false)
        } else if matches!(grant.state, State::Approved { .. }) {
            (grant.deadline_if_activated(now), true)
        } else {
            return Err(not_vendable(grant));
        };
        if now >= deadline {
            let detail = format!("the grant ended at {deadline}: request a new one");
            return Err(Refusal::new(RefusalKind::Over, "grant_over", detail).about(grant.id));
        }
        let Permitted { template, issuance_policy } = self.checks.permitted(grant).await?;
        self.checks.activation(grant, (!first).then_some(deadline)).await?;
        self.checks.clear(grant, issuance_policy, now).await?;
        let plan = template.render(deadline, now).map_err(|error| tampered(grant, &error.to_string()))?;
        let fence = now.plus(grant.bounds.call_s).plus(grant.bounds.landing_s());
        let vend = NewVend { deadline, fence, policy_digest: plan.policy_digest, duration_s: plan.duration_s };
        // INVARIANT: one decision, one activation. Only issue puts this record, and only if it is absent.
        let items = match first {
            true => vec![
                TransactionItem::Activation(Activation { id: grant.id, deadline }),
                TransactionItem::Backstop(TtlBackstop::of(grant.id, deadline)),
            ],
            false => Vec::new(),
        };
        match self.journal.record(grant, &Event::VendRecorded(vend), None, items, now).await {
            Ok(Some(after)) => {
                let State::Active { vends, .. } = &after.state else { return Err(not_vendable(&after)) };
                Ok(Ok(Recorded { seq: vends.count, grant: after, plan, deadline, issuance_policy }))
            }
            Ok(None) => Err(not_vendable(grant)),
            // The deciding clock was ahead of this one, within the skew: the grant starts in a moment.
            Err(StepError::Transition(error @ TransitionError::TooEarly { .. })) => {
                let refusal = Refusal::new(RefusalKind::Conflict, "not_started", error.to_string());
                Err(refusal.about(grant.id).retry_after(1))
            }
            Err(StepError::Transition(error)) => {
                Err(Refusal::new(RefusalKind::Over, "grant_over", error.to_string()).about(grant.id))
            }
            Err(StepError::Port(error)) => Ok(Err(error)),
        }
    }

    async fn still_clear(&self, recorded: &Recorded) -> Result<(), Refusal> {
        let grant = &recorded.grant;
        self.checks.clear(grant, recorded.issuance_policy, self.clock.now()).await?;
        // Take the time only now: the readings above may have been slow.
        let now = self.clock.now();
        let State::Active { vends, .. } = &grant.state else { return Err(not_vendable(grant)) };
        let recorded_at = vends.last.last().map_or(Timestamp::EPOCH, |vend| vend.recorded_at);
        // The fence allows one call's time up to here; a call started later might take effect after it.
        if now > recorded_at.plus(grant.bounds.call_s) || now >= recorded.deadline {
            let detail = "recording took longer than the fence allows, so no call to AWS was made: send the request \
                          again";
            return Err(Refusal::new(RefusalKind::Unavailable, "too_slow", detail).about(grant.id).retry_after(1));
        }
        Ok(())
    }

    async fn not_vended(&self, recorded: &Recorded, error: PortError) -> Refusal {
        // After an unknown outcome the vend stays unanswered: a credential may exist, and ends by its own policy.
        if error.is_surely_without_effect()
            && let Err(refusal) = self.answer(recorded, failed(&error.chain())).await
        {
            tracing::warn!(grant.id = %recorded.grant.id, problem = %refusal, "a failed vend could not be recorded");
        }
        Refusal::from(error).about(recorded.grant.id)
    }

    /// Records the outcome of a vend on the latest version of the grant.
    async fn answer(&self, recorded: &Recorded, answer: VendAnswer) -> Result<Grant, Refusal> {
        let id = recorded.grant.id;
        let event = Event::VendAnswered { seq: recorded.seq, answer };
        let mut grant = recorded.grant.clone();
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.journal.record(&grant, &event, None, Vec::new(), self.clock.now()).await {
                Ok(after) => return Ok(after.unwrap_or(grant)),
                Err(StepError::Transition(_)) => return Err(over(&grant)),
                Err(StepError::Port(error)) => last = Some(error),
            }
            grant = self.reader.grant(id).await?.ok_or_else(|| Refusal::no_such_grant(id))?;
        }
        Err(last.map_or_else(|| Refusal::no_such_grant(id), Refusal::from).about(id))
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

/// Checks that the caller is the holder, on the task that the grant was decided for. Another run is another task.
fn holds(caller: &Caller, grant: &Grant) -> Result<(), Refusal> {
    if grant.identity != caller.identity.id {
        return Err(Refusal::no_such_grant(grant.id));
    }
    if grant.task != caller.task {
        let detail = "this grant was decided for another task: request one for this task";
        return Err(Refusal::new(RefusalKind::Forbidden, "other_task", detail).about(grant.id));
    }
    Ok(())
}

fn not_vendable(grant: &Grant) -> Refusal {
    let state = grant.state.name();
    if matches!(grant.state, State::ApprovalAwaited { .. } | State::Activating { .. }) {
        let detail = format!("the grant is `{state}`: fetch credentials once it is `Approved`");
        return Refusal::new(RefusalKind::Conflict, "not_approved", detail).about(grant.id).retry_after(5);
    }
    over(grant)
}

fn over(grant: &Grant) -> Refusal {
    let detail = format!("the grant is `{}`: request a new one", grant.state.name());
    let (kind, code) = if matches!(grant.state, State::Denied { .. }) {
        (RefusalKind::Denied, "denied")
    } else {
        (RefusalKind::Over, "grant_over")
    };
    Refusal::new(kind, code, detail).about(grant.id)
}

fn failed(problem: &str) -> VendAnswer {
    VendAnswer::Failed { problem: Problem::from(problem.to_owned()) }
}

fn issued(vended: &Vended) -> VendAnswer {
    VendAnswer::Issued {
        access_key_id: vended.credentials.access_key_id.clone(),
        expires_at: vended.expires_at,
        packed_percent: vended.packed_percent,
    }
}
