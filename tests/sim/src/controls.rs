//! Controls: for each claim of the observer a protection that is taken away or a bug that is planted, and the list of what
//! happens in which the observer must then turn red.

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::decision::{Decision, Outcome};
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{EffectiveAccess, Grant, State};
use brevet_domain::heart::Heart;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::Task;
use brevet_domain::plan::Probe;
use brevet_domain::request::Request;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::Fault;
use brevet_engine::port::{
    Activation, Also, Clock, Commit, Deprovisioner, Estate, GrantPage, GrantReader, GrantStore, InService, Place,
    PlaceReading, PortResult, Principal, Principals, Roles, Rotator, Standing, VersionReading, VersionStage,
};
use std::sync::Arc;

use crate::observer::Claim;
use crate::op::{Op, Scope};
use crate::world::{Fakes, Model, Seams, World};

/// One planted bug.
#[derive(Clone, Debug)]
pub struct Control {
    /// What is wrong.
    pub name: &'static str,
    /// Which claim must turn red.
    pub turns_red: Claim,
    /// What happens.
    pub ops: Vec<Op>,
    /// What the model is like, but for its seams.
    pub like: Model,
    /// What is planned before it begins.
    pub plant: fn(&World),
}

impl Control {
    /// The model with the bug in it.
    #[must_use]
    pub fn model(&self) -> Model {
        self.like.clone()
    }
}

/// How a port lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// A vend is said to be recorded, and is not.
    ForgetsVends,
    /// Evidence is written other than it was sealed.
    AltersEvidence,
    /// A credential gets into the record.
    KeepsCredential,
    /// What needs approval is stored as allowed.
    AllowsAll,
    /// Fuses are not put out.
    KeepsFuses,
    /// Nothing is ever blocked.
    SeesNoBlock,
    /// The heart always beats.
    AlwaysBeats,
    /// A stored deadline is a minute later each time that it is read.
    MovesDeadline,
    /// Nothing stands on any principal.
    SeesNothingStanding,
    /// A removal is said to be made, and is not.
    RemovesNothing,
    /// Every table is said to be in service.
    ConfirmsAny,
    /// There are no roles to sweep.
    ListsNoRoles,
    /// Whatever rotation is asked for is said to be done.
    SaysRotated,
}

struct Liar(Fakes, Lie);

fn lying(fakes: Fakes, lie: Lie) -> Seams {
    let liar = Arc::new(Liar(fakes, lie));
    Seams {
        reader: liar.clone(),
        store: liar.clone(),
        principals: liar.clone(),
        deprovisioner: liar.clone(),
        roles: liar.0.roles.clone(),
        service: liar.clone(),
        estate: liar.clone(),
        rotator: liar,
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
        let grant = self.0.store.grant(id).await?;
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

    async fn heart(&self) -> PortResult<Option<Heart>> {
        let found = self.0.store.heart().await?;
        Ok(if self.1 == Lie::AlwaysBeats { Some(Heart::first(self.0.clock.now())) } else { found })
    }

    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage> {
        self.0.store.grants_of(identity, cursor, limit).await
    }
}

#[async_trait]
impl GrantStore for Liar {
    async fn create(&self, decision: &Decision, grant: &Grant, entry: &Entry, also: &[Also]) -> PortResult<()> {
        let (mut decision, mut grant) = (decision.clone(), grant.clone());
        if let (Lie::AllowsAll, State::ApprovalAwaited { deadline, start_within_s, .. }) = (self.1, &grant.state) {
            let (starts_at, start_by) = (grant.created_at, deadline.plus(*start_within_s));
            decision.terms.outcome = Outcome::Allow;
            grant.decision_digest = decision.digest().expect("a digest");
            grant.state = State::Approved { starts_at, start_by };
        }
        self.0.store.create(&decision, &grant, entry, also).await
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
        if self.1 == Lie::KeepsFuses {
            commit.also.retain(|also| !matches!(also, Also::PutOut(_)));
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
impl Estate for Liar {
    async fn roles(&self) -> PortResult<Roles> {
        let found = self.0.estate.roles().await?;
        Ok(if self.1 == Lie::ListsNoRoles { Roles::default() } else { found })
    }

    async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        self.0.estate.standing(principal_arn).await
    }
}

#[async_trait]
impl Rotator for Liar {
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading> {
        let found = self.0.secrets.read_version(secret, token).await?;
        let says = self.1 == Lie::SaysRotated;
        Ok(if says { VersionReading { stage: VersionStage::Current, ..found } } else { found })
    }

    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()> {
        if self.1 == Lie::SaysRotated { Ok(()) } else { self.0.secrets.rotate(secret, token).await }
    }
}

#[async_trait]
impl Principals for Liar {
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal> {
        self.0.principals.principal(principal_arn).await
    }

    async fn read(&self, place: &Place) -> PortResult<PlaceReading> {
        let found = self.0.principals.read(place).await?;
        let standing = if self.1 == Lie::SeesNothingStanding { None } else { found.standing };
        Ok(PlaceReading { standing, ..found })
    }
}

#[async_trait]
impl Deprovisioner for Liar {
    async fn remove(&self, place: &Place) -> PortResult<()> {
        if self.1 == Lie::RemovesNothing { Ok(()) } else { self.0.principals.remove(place).await }
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        self.0.principals.effective(principal_arn, probes, now).await
    }
}

/// Every control.
#[must_use]
pub fn controls() -> Vec<Control> {
    const REAP: Op = Op::Reap { other: false };
    let ask = |who, what| Op::Ask { who, what };
    let vended = || vec![REAP, ask("bot", "deploy"), Op::Vend { nth: 0 }];
    let then = |mut ops: Vec<Op>, more: &[Op]| {
        ops.extend_from_slice(more);
        ops
    };
    let inline = || vec![REAP, ask("bot", "batch"), Op::Issue];
    let managed = || vec![REAP, ask("bot", "sync"), Op::Issue];
    let liar = |name, turns_red, ops, seams: fn(Fakes) -> Seams| Control {
        name,
        turns_red,
        ops,
        like: Model { seams, ..Model::default() },
        plant: |_| {},
    };
    let model = |name, turns_red, ops, like| Control { name, turns_red, ops, like, plant: |_| {} };
    let plant = |name, turns_red, ops, plant| Control { name, turns_red, ops, like: Model::default(), plant };
    vec![
        liar("a vend is not recorded", Claim::RecordedFirst, vended(), |fakes| lying(fakes, Lie::ForgetsVends)),
        liar("nothing is seen standing", Claim::ProofConfirmed, then(inline(), &[Op::Ticks { n: 4 }]), |fakes| {
            lying(fakes, Lie::SeesNothingStanding)
        }),
        model(
            "AWS enforces a minute late",
            Claim::ProofConfirmed,
            then(inline(), &[Op::Ticks { n: 3 }, Op::Release { nth: 0 }, Op::Ticks { n: 3 }]),
            Model { enforcement_lag_s: 60, ..Model::default() },
        ),
        plant(
            "a call lands long after its time-out",
            Claim::StaysEnded,
            then(inline(), &[Op::Release { nth: 0 }, Op::Ticks { n: 4 }]),
            |world| world.faults.plan_next("attach", Fault::LandsLate(70)),
        ),
        liar("a removal does nothing", Claim::NothingStuck, inline(), |fakes| lying(fakes, Lie::RemovesNothing)),
        liar("a detaching does nothing", Claim::OverWithinTicks, managed(), |fakes| lying(fakes, Lie::RemovesNothing)),
        liar(
            "no stop is seen",
            Claim::OverWithinTicks,
            then(vended(), &[Op::Release { nth: 0 }, Op::Ticks { n: 12 }]),
            |fakes| lying(fakes, Lie::SeesNoBlock),
        ),
        liar("evidence is altered", Claim::EvidenceVerifies, vended(), |fakes| lying(fakes, Lie::AltersEvidence)),
        model(
            "the functions' clocks are ten minutes ahead",
            Claim::OverAtItsLimit,
            vended(),
            Model { ahead_ms: [600_000; 5], ..Model::default() },
        ),
        liar("a credential is kept", Claim::NoCredentialStored, vended(), |fakes| lying(fakes, Lie::KeepsCredential)),
        liar(
            "nobody is asked",
            Claim::AllowedByDecision,
            vec![REAP, ask("agent", "deploy"), Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::AllowsAll),
        ),
        liar(
            "the heart always beats",
            Claim::NotWithoutHeart,
            vec![ask("bot", "deploy"), Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::AlwaysBeats),
        ),
        liar(
            "a block is not seen",
            Claim::NotUnderBlock,
            vec![
                REAP,
                ask("bot", "deploy"),
                Op::Kill { nth: 0, scope: Scope::All },
                Op::Wait { seconds: 40 },
                Op::Vend { nth: 0 },
            ],
            |fakes| lying(fakes, Lie::SeesNoBlock),
        ),
        liar(
            "a deadline moves",
            Claim::OneActivation,
            then(vended(), &[Op::Ticks { n: 1 }, Op::Vend { nth: 0 }]),
            |fakes| lying(fakes, Lie::MovesDeadline),
        ),
        plant("somebody's access is taken away", Claim::HolderKeeps, then(managed(), &[Op::Ticks { n: 2 }]), |world| {
            let (principals, place) = (Arc::clone(&world.principals), world.managed());
            world.faults.meanwhile(70, move || principals.tamper(&place, None));
        }),
        liar(
            "any table will do",
            Claim::NotUnderBlock,
            vec![REAP, ask("bot", "deploy"), Op::BackUp, Op::Restore, Op::Wait { seconds: 40 }, Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::ConfirmsAny),
        ),
        liar("no role is swept", Claim::NothingStuck, then(managed(), &[Op::Empty]), |fakes| {
            lying(fakes, Lie::ListsNoRoles)
        }),
        liar(
            "what nobody rotated counts as rotated",
            Claim::RotatedAfterItsEnd,
            then(vended(), &[Op::Ticks { n: 40 }]),
            |fakes| lying(fakes, Lie::SaysRotated),
        ),
        liar("fuses are not put out", Claim::OnTheList, inline(), |fakes| lying(fakes, Lie::KeepsFuses)),
    ]
}
