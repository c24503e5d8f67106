//! The world: every use case of the engine over one model of AWS. Each function has its own clock.

mod drilling;
mod seams;
mod standby;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use brevet_engine::catalogue::Catalogue;
use brevet_engine::drill::Driller;
use brevet_engine::evaluate::acknowledge::Acknowledging;
use brevet_engine::evaluate::decide::Decider;
use brevet_engine::evaluate::revoke::KillSwitch;
use brevet_engine::fake::{
    Direct, Faults, ManualClock, MemoryAccountListing, MemoryCanary, MemoryPrincipals, MemoryRoles, MemorySecrets,
    MemoryStandbyTicks, MemoryStore, MemorySts, RecordedUses, SeqIds, SkewedClock, Snapshot, TwoHands, Watched,
    poll_once,
};
use brevet_engine::intake::Intake;
use brevet_engine::issue::attachment::Activator;
use brevet_engine::issue::credentials::Issuer;
use brevet_engine::port::{Clock, ProofVerifier};
use brevet_engine::reap::{self, Attachments, Drills, KillSwitchPorts, Reaper, Sweep};

use crate::catalogue::{self, APPROVERS, BATCH, Leaver, SECRET};
use crate::ledger::{Ledger, Stop};
use crate::policy::{ClassPolicy, Rules, TextProofs, locked};

pub use seams::{Fakes, Seams};
pub use standby::StandbySettings;

/// When each world begins: on the hour.
pub const STARTS_AT_S: i64 = 1_795_348_800;
/// The largest difference between two clocks, in seconds.
pub const SKEW_S: u32 = 12;
/// How long an absence must last, in seconds.
pub const QUIET_S: u32 = 10;
/// The longest that a call may take, in seconds.
pub const CALL_S: u32 = 8;
/// The time between ticks of the schedule, in seconds.
pub const TICK_S: u32 = 15;
/// The largest age of the last successful pass, in seconds.
pub const HEARTBEAT_MAX_S: u32 = 60;
/// The longest time to end a grant before it is overdue, in seconds.
pub const OVERDUE_S: u32 = 120;
pub const BOUNDS: Bounds = Bounds { skew_s: SKEW_S, quiet_s: QUIET_S, call_s: CALL_S };
/// The conditions under which the functions issue.
pub const ISSUANCE_POLICY: IssuancePolicy = IssuancePolicy {
    max_age_s: HEARTBEAT_MAX_S,
    overdue_s: OVERDUE_S,
    max_overdue: 5,
    while_overdue: false,
    is_canary: false,
};
/// AWS's largest enforcement lag, in seconds.
pub const ENFORCEMENT_LAG_S: u32 = 4;

/// Work in progress. It is polled until it is done or has crashed.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// It waits for the next poll.
    Waiting,
    /// It crashed at a planned fault, and must not be polled again.
    Crashed,
}

/// A function with its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Accepts requests.
    Intake,
    /// Decides.
    Evaluate,
    /// Vends and attaches.
    Issue,
    /// Ends grants.
    Reap,
    /// Ends grants, in another process.
    OtherReap,
}

/// The settings of a model.
#[derive(Clone, Debug)]
pub struct Model {
    /// By how much each function's clock is ahead of AWS's, in milliseconds.
    pub ahead_ms: [i64; 5],
    /// The lag of the table's indexes, in seconds.
    pub index_lag_s: u32,
    /// AWS's largest enforcement lag, in seconds.
    pub enforcement_lag_s: u32,
    /// Replaces ports in a control run, which must make the observer fail.
    pub seams: fn(Fakes) -> Seams,
}

impl Default for Model {
    fn default() -> Self {
        Self { ahead_ms: [0; 5], index_lag_s: 0, enforcement_lag_s: ENFORCEMENT_LAG_S, seams: Seams::faithful }
    }
}

pub struct World {
    /// The fault plan.
    pub faults: Arc<Faults>,
    /// AWS's clock: the true one.
    pub clock: Arc<ManualClock>,
    /// The functions' clocks, in the order of [`Function`].
    pub clocks: [Arc<SkewedClock>; 5],
    pub store: Arc<MemoryStore>,
    pub sts: Arc<MemorySts>,
    pub roles: Arc<MemoryRoles>,
    pub principals: Arc<MemoryPrincipals>,
    pub secrets: Arc<MemorySecrets>,
    /// The names of this installation.
    pub deployment: Deployment,
    /// The catalogue in force.
    pub rules: Arc<Mutex<Rules>>,
    /// The knowledge of the outside world.
    pub ledger: Arc<Mutex<Ledger>>,
    pub intake: Arc<Intake>,
    pub decider: Arc<Decider>,
    pub kill_switch: Arc<KillSwitch>,
    pub acknowledging: Arc<Acknowledging>,
    /// The drill process. A crash replaces it, which loses its credentials.
    pub driller: Arc<Driller>,
    /// The ports of the drill.
    drill_ports: brevet_engine::drill::Ports,
    /// The answers to the drill's probes.
    pub canary: Arc<MemoryCanary>,
    pub issuer: Arc<Issuer>,
    pub activator: Arc<Activator>,
    /// The two reaper processes.
    pub reapers: [Arc<Reaper>; 2],
    /// The ports of the first reaper.
    reaper_ports: reap::Ports,
    /// A third reaper, which standby ticks call.
    pub standby: StandbySettings,
    pub model: Model,
    /// Calls whose answer is delayed. They continue later.
    pub parked: Vec<Work>,
    /// A backup of the table, and its instant.
    pub backup: Option<(Snapshot, Timestamp)>,
    /// The number of idempotency keys used.
    pub n_keys: usize,
    /// When the last pass began.
    pub last_pass_at: Timestamp,
    /// The number of fired faults that the ledger has taken into account.
    pub n_fired: usize,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.clock.now()).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl World {
    /// A new world like `model`.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(STARTS_AT_S)));
        let store = MemoryStore::new(Arc::clone(&faults));
        let store = match model.index_lag_s {
            0 => Arc::new(store),
            lag_s => Arc::new(store.lagging(Arc::clone(&clock), lag_s)),
        };
        let sts = Arc::new(MemorySts::new(Arc::clone(&clock), Arc::clone(&faults)));
        let roles = Arc::new(MemoryRoles::new(Arc::clone(&clock), Arc::clone(&faults)));
        let principals = Arc::new(MemoryPrincipals::new(Arc::clone(&clock), Arc::clone(&faults)));
        let secrets = Arc::new(MemorySecrets::new(Arc::clone(&clock), Arc::clone(&faults)));
        secrets.add(SECRET.0);
        let canary = Arc::new(MemoryCanary::new(Arc::clone(&clock), Arc::clone(&faults)));
        let deployment = Deployment {
            id: "dev".parse().expect("a name"),
            account: "000000000000".parse().expect("an account"),
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let session_roles =
            ["deploy", "glass"].map(|target| deployment.session_role_arn(&target.parse().expect("a name")));
        let roles_of = (Arc::clone(&roles), session_roles.into());
        let listing = MemoryAccountListing::new(Arc::clone(&principals), roles_of, Arc::clone(&faults));
        let fakes = Fakes {
            listing: Arc::new(listing),
            clock: clock.clone(),
            store: store.clone(),
            sts: sts.clone(),
            roles: roles.clone(),
            principals: principals.clone(),
            secrets: secrets.clone(),
            canary: canary.clone(),
            standby_ticks: Arc::new(MemoryStandbyTicks::new(standby::HELD_BACK_S, Arc::clone(&faults))),
        };
        let standby_ticks = Arc::clone(&fakes.standby_ticks);
        let seams = (model.seams)(fakes);
        let clocks = model.ahead_ms.map(|ahead_ms| Arc::new(SkewedClock::new(Arc::clone(&clock), ahead_ms)));
        let [intake_clock, evaluate_clock, issue_clock, reap_clock, other_clock] = clocks.clone();
        let ids = Arc::new(SeqIds::new());
        let (rules, text) = Rules::first();
        store.publish(text);
        let rules = Arc::new(Mutex::new(rules));
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let proofs: Arc<dyn ProofVerifier> = Arc::new(TextProofs(Arc::clone(&rules)));
        let policy = ClassPolicy {
            deployment: deployment.clone(),
            rules: Arc::clone(&rules),
            ledger: Arc::clone(&ledger),
            true_clock: Arc::clone(&clock),
        };
        let decider = Arc::new(Decider::new(
            Arc::clone(&proofs),
            Arc::new(policy),
            (seams.reader.clone(), store.clone(), seams.delegations.clone(), seams.reviews.clone()),
            Arc::new(RecordedUses::default()),
            (seams.store.clone(), ids.clone()),
            deployment.clone(),
            BOUNDS,
        ));
        let hands = (Arc::clone(&proofs), Arc::new(TwoHands(APPROVERS)));
        let kill_switch = KillSwitch::new(hands.0.clone(), hands.1.clone(), (store.clone(), store.clone()));
        let writing = (seams.store.clone(), ids.clone() as Arc<dyn brevet_engine::port::IdSource>);
        let acknowledging = Acknowledging::new(hands.0, hands.1, seams.reader.clone(), writing, OVERDUE_S);
        let drill_ports = drilling::ports(&store, &canary, seams.canary.clone(), intake_clock, &ids);
        let bundles = || Arc::new(Catalogue::new(store.clone(), 900, Arc::new(Watched::default())));
        let intake = Intake {
            proofs: Arc::clone(&proofs),
            catalogue: bundles(),
            requests: store.clone(),
            reader: seams.reader.clone(),
            evaluator: Arc::new(Direct(Arc::clone(&decider), evaluate_clock)),
            ids: ids.clone(),
            issuance_policy: ISSUANCE_POLICY,
        };
        let issuer = Issuer::new(
            proofs,
            (seams.reader.clone(), bundles(), seams.service.clone()),
            (seams.store.clone(), ids.clone()),
            sts.clone(),
            issue_clock.clone(),
            ISSUANCE_POLICY,
        );
        principals.add(BATCH, Some(&deployment.boundary_arn()));
        let activation = brevet_engine::issue::attachment::Ports {
            reader: seams.reader.clone(),
            catalogue: bundles(),
            service: seams.service.clone(),
            store: seams.store.clone(),
            due: store.clone(),
            principals: seams.principals.clone(),
            provisioner: principals.clone(),
            holders: store.clone(),
            clock: issue_clock,
            ids: ids.clone(),
        };
        let activator = Activator::new(activation, deployment.clone(), ISSUANCE_POLICY, 600);
        let sweep = Sweep { listing: seams.listing.clone(), findings: store.clone() };
        let ports = |clock: Arc<SkewedClock>| reap::Ports {
            reader: seams.reader.clone(),
            store: seams.store.clone(),
            due: store.clone(),
            deny: store.clone(),
            reviews: store.clone(),
            kill_switch: KillSwitchPorts { reader: store.clone(), progress: store.clone() },
            sweep: sweep.clone(),
            service: seams.service.clone(),
            reaper_health: store.clone(),
            drills: Drills::none(store.clone()),
            roles: seams.roles.clone(),
            attachments: Attachments {
                principals: seams.principals.clone(),
                deprovisioner: seams.deprovisioner.clone(),
                holders: store.clone(),
            },
            rotator: seams.rotator.clone(),
            catalogue: bundles(),
            clock,
            ids: ids.clone(),
        };
        let reaper_ports = ports(Arc::clone(&reap_clock));
        let reaper = |holder: &str, clock: Arc<SkewedClock>| {
            Arc::new(Reaper::new(ports(clock), deployment.clone(), holder.to_owned(), (BOUNDS, 600), ISSUANCE_POLICY))
        };
        let reapers = [reaper("one", reap_clock), reaper("two", other_clock)];
        let last_pass_at = clock.now();
        Self {
            faults,
            clock,
            clocks,
            store,
            sts,
            roles,
            principals,
            secrets,
            deployment,
            rules,
            ledger,
            intake: Arc::new(intake),
            decider,
            kill_switch: Arc::new(kill_switch),
            acknowledging: Arc::new(acknowledging),
            driller: Arc::new(drilling::driller(drill_ports.clone())),
            drill_ports,
            canary,
            issuer: Arc::new(issuer),
            activator: Arc::new(activator),
            reapers,
            reaper_ports,
            standby: StandbySettings { port: seams.standby_ticks, standby_ticks, reaper: None },
            model,
            parked: Vec::new(),
            backup: None,
            n_keys: 0,
            last_pass_at,
            n_fired: 0,
        }
    }

    /// Another reaper process with the first one's ports. Its passes take at most `budget_s` seconds.
    #[must_use]
    pub fn reaper_of(&self, holder: &str, budget_s: u32) -> Reaper {
        let (ports, deployment) = (self.reaper_ports.clone(), self.deployment.clone());
        Reaper::new(ports, deployment, holder.to_owned(), (BOUNDS, budget_s), ISSUANCE_POLICY)
    }

    /// The true time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time as one function sees it.
    #[must_use]
    pub fn now_of(&self, function: Function) -> Timestamp {
        self.clocks[function as usize].now()
    }

    /// Puts the catalogue without `leaver` in force, as the deploying role does.
    pub fn redeploy(&self, leaver: Option<Leaver>) {
        let (registered, entitlements, text) = catalogue::without(leaver);
        let schedules = catalogue::schedules();
        *locked(&self.rules) = Rules { bundle: text.digest, entitlements, registered, schedules };
        self.store.publish(text);
        let mut ledger = locked(&self.ledger);
        ledger.stops.retain(|(stop, _)| !matches!(stop, Stop::Left(_)));
        if let Some(leaver) = leaver {
            ledger.stop(Stop::Left(leaver), self.clock.now());
        }
    }

    /// Polls `work` once. It runs to its end, or, step by step, makes one port call.
    pub fn poll(&self, work: &mut Work) -> Fate {
        let n_crashed = self.faults.n_crashed();
        match poll_once(work.as_mut()) {
            Poll::Ready(()) => Fate::Done,
            Poll::Pending if self.faults.n_crashed() > n_crashed => Fate::Crashed,
            Poll::Pending => Fate::Waiting,
        }
    }

    /// Starts `work`, and parks it if its answer is delayed.
    pub fn start(&mut self, mut work: Work) -> Fate {
        let fate = self.poll(&mut work);
        if fate == Fate::Waiting {
            self.parked.push(work);
        }
        fate
    }

    /// Makes a call and waits for its answer. `None` if it crashed or its answer is delayed.
    pub fn call<T: Send + 'static>(&mut self, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        self.start(Box::pin(async move {
            let answer = call.await;
            *locked(&slot) = Some(answer);
        }));
        locked(&answer).take()
    }
}
