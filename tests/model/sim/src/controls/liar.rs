//! A port that lies in one way, over honest fakes.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::decision::{Decision, Outcome};
use brevet_domain::delegation::{Delegation, Scope};
use brevet_domain::drill::Outcome as Probed;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{EffectiveAccess, Grant, State};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::Task;
use brevet_domain::plan::Probe;
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{
    AccountListing, Activation, AttachmentTarget, Canary, Clock, Commit, Delegations, Deprovisioner, GrantPage,
    GrantReader, GrantStore, InService, Mark, PortResult, Principal, Principals, ProbeIdentity, ReviewPage,
    ReviewReader, Roles, Rotator, StandbyTicks, Standing, TargetReading, TransactionItem, VersionReading, VersionStage,
};

use crate::world::{Fakes, STARTS_AT_S, Seams};

/// The way in which a port lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// A vend is reported as recorded, and is not recorded.
    ForgetsVends,
    /// The stored evidence differs from the sealed evidence.
    AltersEvidence,
    /// A credential is stored with the grant.
    KeepsCredential,
    /// A decision that needs approval is stored as allowed.
    AllowsAll,
    /// TTL backstops are not deleted.
    KeepsBackstops,
    /// Reads show no block.
    SeesNoBlock,
    /// The heartbeat is always fresh.
    AlwaysBeats,
    /// The heartbeat is always fresh, and every end has only just become due.
    SeesNothingOverdue,
    /// A stored deadline moves by a minute at each read.
    MovesDeadline,
    /// Reads show no attachment on any principal.
    SeesNothingStanding,
    /// A removal is reported as done, and is not made.
    RemovesNothing,
    /// Every table is reported as in service.
    ConfirmsAny,
    /// The account listing shows no roles to sweep.
    ListsNoRoles,
    /// A read shows an attachment and then removes it.
    TakesAway,
    /// Reads show a delegation of more entitlements.
    WidensDelegations,
    /// Reads show a delegation that lasts longer.
    ProlongsDelegations,
    /// A renewal is stored without the grant that it renews.
    ForgetsRows,
    /// Reads show no awaited review.
    AwaitsNoReview,
    /// From five minutes on, the canary's probes are answered as denied.
    DeniesProbes,
    /// A standby tick is reported as left, and is not left.
    LosesStandbyTicks,
    /// Every rotation is reported as done, and none is made.
    RotatesNothing,
}

struct Liar(Fakes, Lie);

pub(super) fn lying(fakes: Fakes, lie: Lie) -> Seams {
    let liar = Arc::new(Liar(fakes, lie));
    Seams {
        reader: liar.clone(),
        store: liar.clone(),
        principals: liar.clone(),
        deprovisioner: liar.clone(),
        roles: liar.0.roles.clone(),
        rotator: liar.clone(),
        delegations: liar.clone(),
        reviews: liar.clone(),
        canary: liar.clone(),
        standby_ticks: liar.clone(),
        service: liar.clone(),
        listing: liar,
    }
}

fn later(grant: Grant) -> Grant {
    let mut grant = grant;
    if let State::Active { deadline, .. } = &mut grant.state {
        *deadline = deadline.plus(60);
    }
    grant
}

#[async_trait]
impl GrantReader for Liar {
    async fn request(&self, id: GrantId) -> PortResult<Option<Request>> {
        self.0.store.request(id).await
    }

    async fn decision(&self, id: GrantId) -> PortResult<Option<Decision>> {
        self.0.store.decision(id).await
    }

    async fn grant(&self, id: GrantId) -> PortResult<Option<Grant>> {
        let mut grant = self.0.store.grant(id).await?;
        if let (Lie::SeesNothingOverdue, Some(Grant { state: State::Revoking(revoking), .. })) = (self.1, &mut grant) {
            let now = self.0.clock.now();
            (revoking.since, revoking.deadline) = (now, now);
        }
        Ok(if self.1 == Lie::MovesDeadline { grant.map(later) } else { grant })
    }

    async fn activation(&self, id: GrantId) -> PortResult<Option<Activation>> {
        let found = self.0.store.activation(id).await?;
        let stored = self.0.store.grant(id).await?.map(later);
        match (self.1, stored.map(|grant| grant.state)) {
            (Lie::MovesDeadline, Some(State::Active { deadline, .. })) => Ok(Some(Activation { id, deadline })),
            _ => Ok(found),
        }
    }

    async fn evidence(&self, id: GrantId, after: u64, limit: u32) -> PortResult<Vec<Entry>> {
        self.0.store.evidence(id, after, limit).await
    }

    async fn blocks(&self, scopes: &[BlockScope]) -> PortResult<Vec<Block>> {
        let found = self.0.store.blocks(scopes).await?;
        Ok(if self.1 == Lie::SeesNoBlock { Vec::new() } else { found })
    }

    async fn reaper_health(&self) -> PortResult<Option<ReaperHealth>> {
        let found = self.0.store.reaper_health().await?;
        Ok(if matches!(self.1, Lie::AlwaysBeats | Lie::SeesNothingOverdue) {
            Some(ReaperHealth::first(self.0.clock.now()))
        } else {
            found
        })
    }

    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage> {
        self.0.store.grants_of(identity, cursor, limit).await
    }
}

#[async_trait]
impl GrantStore for Liar {
    async fn create(
        &self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> PortResult<()> {
        let (mut decision, mut grant) = (decision.clone(), grant.clone());
        if let (Lie::AllowsAll, State::ApprovalAwaited { deadline, start_within_s, .. }) = (self.1, &grant.state) {
            let (starts_at, start_by) = (grant.created_at, deadline.plus(*start_within_s));
            decision.terms.outcome = Outcome::Allow;
            grant.decision_digest = decision.digest().expect("a digest");
            grant.state = State::Approved { starts_at, start_by };
        }
        if self.1 == Lie::ForgetsRows {
            decision.terms.renewal = None;
            grant.decision_digest = decision.digest().expect("a digest");
        }
        self.0.store.create(&decision, &grant, entry, items).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let mut commit = commit.clone();
        if self.1 == Lie::ForgetsVends && commit.entry.body.event == "VendRecorded" {
            return Ok(());
        }
        if self.1 == Lie::AltersEvidence {
            commit.entry.body.by = "nobody".to_owned();
        }
        if self.1 == Lie::KeepsCredential {
            commit.after.task = Task::try_from("secret of somebody".to_owned()).ok();
        }
        if self.1 == Lie::KeepsBackstops {
            commit.items.retain(|items| !matches!(items, TransactionItem::RemoveBackstop(_)));
        }
        self.0.store.commit(&commit).await
    }
}

#[async_trait]
impl InService for Liar {
    async fn table(&self) -> PortResult<String> {
        self.0.store.table().await
    }

    async fn confirmation(&self) -> PortResult<Option<Confirmation>> {
        let (found, table) = (self.0.store.confirmation().await?, self.0.store.table().await?);
        let any = Confirmation { table, at: Timestamp::EPOCH, by: "anybody".to_owned(), is_first: true };
        Ok(if self.1 == Lie::ConfirmsAny { Some(any) } else { found })
    }
}

#[async_trait]
impl AccountListing for Liar {
    async fn roles(&self) -> PortResult<Roles> {
        let found = self.0.listing.roles().await?;
        Ok(if self.1 == Lie::ListsNoRoles { Roles::default() } else { found })
    }

    async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        self.0.listing.standing(principal_arn).await
    }
}

#[async_trait]
impl Principals for Liar {
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal> {
        self.0.principals.principal(principal_arn).await
    }

    async fn read(&self, target: &AttachmentTarget) -> PortResult<TargetReading> {
        let found = self.0.principals.read(target).await?;
        if self.1 == Lie::TakesAway {
            self.0.principals.tamper(target, None);
        }
        let standing = if self.1 == Lie::SeesNothingStanding { None } else { found.standing };
        Ok(TargetReading { standing, ..found })
    }
}

#[async_trait]
impl Deprovisioner for Liar {
    async fn remove(&self, target: &AttachmentTarget) -> PortResult<()> {
        if self.1 == Lie::RemovesNothing { Ok(()) } else { self.0.principals.remove(target).await }
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        self.0.principals.effective(principal_arn, probes, now).await
    }
}

#[async_trait]
impl Rotator for Liar {
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading> {
        let found = self.0.secrets.read_version(secret, token).await?;
        let stage = if self.1 == Lie::RotatesNothing { VersionStage::Current } else { found.stage };
        Ok(VersionReading { stage, ..found })
    }

    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()> {
        if self.1 == Lie::RotatesNothing { Ok(()) } else { self.0.secrets.rotate(secret, token).await }
    }
}

#[async_trait]
impl Delegations for Liar {
    async fn delegation(&self, by: &IdentityId, to: &IdentityId) -> PortResult<Option<Delegation>> {
        let mut found = self.0.store.delegation(by, to).await?;
        if let Some(Delegation { scope: Scope::Given { entitlements, until, .. }, .. }) = &mut found {
            if self.1 == Lie::WidensDelegations {
                entitlements.insert("batch".parse().expect("a name"));
            }
            if self.1 == Lie::ProlongsDelegations {
                *until = until.plus(600);
            }
        }
        Ok(found)
    }

    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>> {
        self.0.store.delegations_of(by).await
    }

    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()> {
        self.0.store.delegate(new, ends, held).await
    }
}

#[async_trait]
impl ReviewReader for Liar {
    async fn awaited(&self, identity: &IdentityId) -> PortResult<Vec<AwaitedReview>> {
        let found = self.0.store.awaited(identity).await?;
        Ok(if self.1 == Lie::AwaitsNoReview { Vec::new() } else { found })
    }

    async fn reviews(&self, cursor: Option<&str>, limit: u32) -> PortResult<ReviewPage> {
        self.0.store.reviews(cursor, limit).await
    }
}

#[async_trait]
impl Canary for Liar {
    async fn probe(&self, by: ProbeIdentity<'_>) -> (Probed, Option<String>) {
        let (outcome, id) = self.0.canary.probe(by).await;
        let is_late = self.0.clock.now() >= Timestamp::from_seconds(STARTS_AT_S + 300);
        (if self.1 == Lie::DeniesProbes && is_late { Probed::Denied } else { outcome }, id)
    }
}

#[async_trait]
impl StandbyTicks for Liar {
    async fn put_standby_tick(&self, at: Timestamp) -> PortResult<()> {
        if self.1 == Lie::LosesStandbyTicks { Ok(()) } else { self.0.standby_ticks.put_standby_tick(at).await }
    }
}
