//! A test world: all use cases over one set of fakes. Its observer asks the fakes of AWS, never Brevet.

mod catalogue;
mod rules;

use std::sync::{Arc, Mutex};

use brevet_domain::bundle::Schedules;
use brevet_domain::canonical::{Digest, canonical};
use brevet_domain::duties::Duties;
use brevet_domain::evidence;
use brevet_domain::grant::{Grant, Proof, State};
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::request::Ask;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;

use crate::catalogue::Catalogue;
use crate::evaluate::acknowledge::Acknowledging;
use crate::evaluate::decide::{Ballot, Decider};
use crate::evaluate::revoke::KillSwitch;
use crate::fake::{
    Direct, Faults, ManualClock, MemoryAccountListing, MemoryPrincipals, MemoryRoles, MemorySecrets, MemoryStore,
    MemorySts, RecordedUses, Rotated, SeqIds, TwoHands, Watched, run,
};
use crate::intake::Intake;
use crate::issue::attachment::{ActivateReport, Activator};
use crate::issue::credentials::{IssuedCredentials, Issuer};
use crate::port::{AttachmentTarget, Clock, GrantStore, IdSource, PortResult, ProofVerifier};
use crate::reap::{Attachments, Drills, KillSwitchPorts, PassReport, Ports, Reaper, Sweep};
use crate::records::GrantRecords;
use crate::refusal::{Refusal, RefusalKind};

pub(super) use self::catalogue::{
    BATCH, ask, ask_for, entitlement, entitlements, people, proof, publish, publish_with,
};
pub(super) use self::rules::Rules;
use self::rules::{ClassPolicy, TextProofs};

pub(super) const SKEW_S: u32 = 2;
pub(super) const CALL_S: u32 = 8;
pub(super) const TERM_S: u32 = 300;
pub(super) const ISSUANCE_POLICY: IssuancePolicy =
    IssuancePolicy { max_age_s: 180, overdue_s: 180, max_overdue: 2, while_overdue: false, is_canary: false };
/// Seconds between two ticks of the world's schedule.
pub(super) const TICK_S: u32 = 15;

pub(super) struct World {
    pub(super) faults: Arc<Faults>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) sts: Arc<MemorySts>,
    pub(super) roles: Arc<MemoryRoles>,
    pub(super) deployment: Deployment,
    pub(super) proofs: Arc<dyn ProofVerifier>,
    pub(super) rules: Arc<Mutex<Rules>>,
    pub(super) recorded_uses: Arc<RecordedUses>,
    pub(super) intake: Intake,
    pub(super) decider: Arc<Decider>,
    pub(super) kill_switch: KillSwitch,
    pub(super) acknowledging: Acknowledging,
    pub(super) issuer: Issuer,
    pub(super) principals: Arc<MemoryPrincipals>,
    pub(super) secrets: Arc<MemorySecrets>,
    pub(super) activator: Activator,
    pub(super) other_activator: Activator,
    pub(super) reaper: Reaper,
    activate_ports: crate::issue::attachment::Ports,
    reap_ports: Ports,
    bounds: Bounds,
    pub(super) other_reaper: Reaper,
}

impl World {
    pub(super) fn new() -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000_000)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&faults)));
        let sts = Arc::new(MemorySts::new(Arc::clone(&clock), Arc::clone(&faults)));
        let roles = Arc::new(MemoryRoles::new(Arc::clone(&clock), Arc::clone(&faults)));
        let principals = Arc::new(MemoryPrincipals::new(Arc::clone(&clock), Arc::clone(&faults)));
        let secrets = Arc::new(MemorySecrets::new(Arc::clone(&clock), Arc::clone(&faults)));
        let ids = Arc::new(SeqIds::new());
        let deployment = Deployment {
            id: "dev".parse().unwrap(),
            account: "000000000000".parse().unwrap(),
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let bounds = Bounds { skew_s: SKEW_S, quiet_s: 10, call_s: CALL_S };
        let people = people();
        let rules = Arc::new(Mutex::new(Rules {
            bundle: publish(&store, &people),
            entitlements: entitlements(),
            registered: people.clone(),
            schedules: Schedules::new(),
            approvers: vec!["omar", "lea"],
            count: 1,
            humans_with_approval: false,
            steps: None,
            rotate: Vec::new(),
            max_renewals: 1,
            duties: Duties::default(),
            denied: None,
        }));
        let proofs: Arc<dyn ProofVerifier> = Arc::new(TextProofs(people));
        let recorded_uses = Arc::new(RecordedUses::default());
        let decider = Arc::new(Decider::new(
            Arc::clone(&proofs),
            Arc::new(ClassPolicy(deployment.clone(), Arc::clone(&rules))),
            (store.clone(), store.clone(), store.clone(), store.clone()),
            recorded_uses.clone(),
            (store.clone(), ids.clone()),
            deployment.clone(),
            bounds,
        ));
        let kill_switch =
            KillSwitch::new(Arc::clone(&proofs), Arc::new(TwoHands(["omar", "lea"])), (store.clone(), store.clone()));
        let writing: (Arc<dyn GrantStore>, Arc<dyn IdSource>) = (store.clone(), ids.clone());
        let acknowledging = Acknowledging::new(
            Arc::clone(&proofs),
            Arc::new(TwoHands(["omar", "lea"])),
            store.clone(),
            writing,
            ISSUANCE_POLICY.overdue_s,
        );
        let catalogue = || Arc::new(Catalogue::new(store.clone(), 900, Arc::new(Watched::default())));
        let intake = Intake {
            proofs: Arc::clone(&proofs),
            catalogue: catalogue(),
            requests: store.clone(),
            reader: store.clone(),
            evaluator: Arc::new(Direct(Arc::clone(&decider), Arc::clone(&clock))),
            ids: ids.clone(),
            issuance_policy: ISSUANCE_POLICY,
        };
        let issuer = Issuer::new(
            Arc::clone(&proofs),
            (store.clone(), catalogue(), store.clone()),
            (store.clone(), ids.clone()),
            sts.clone(),
            clock.clone(),
            ISSUANCE_POLICY,
        );
        principals.add(BATCH, Some(&deployment.boundary_arn()));
        let activate_ports = crate::issue::attachment::Ports {
            reader: store.clone(),
            catalogue: catalogue(),
            service: store.clone(),
            store: store.clone(),
            due: store.clone(),
            principals: principals.clone(),
            provisioner: principals.clone(),
            holders: store.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let activator = || {
            let ports = crate::issue::attachment::Ports { catalogue: catalogue(), ..activate_ports.clone() };
            Activator::new(ports, deployment.clone(), ISSUANCE_POLICY, 600)
        };
        let (activator, other_activator) = (activator(), activator());
        let attachments =
            Attachments { principals: principals.clone(), deprovisioner: principals.clone(), holders: store.clone() };
        let listing = MemoryAccountListing::new(
            Arc::clone(&principals),
            (Arc::clone(&roles), ["deploy"].map(|name| deployment.session_role_arn(&name.parse().unwrap())).into()),
            Arc::clone(&faults),
        );
        let sweep = Sweep { listing: Arc::new(listing), findings: store.clone() };
        let reap_ports = Ports {
            reader: store.clone(),
            store: store.clone(),
            due: store.clone(),
            deny: store.clone(),
            reviews: store.clone(),
            kill_switch: KillSwitchPorts { reader: store.clone(), progress: store.clone() },
            sweep: sweep.clone(),
            service: store.clone(),
            reaper_health: store.clone(),
            drills: Drills::none(store.clone()),
            roles: roles.clone(),
            attachments: attachments.clone(),
            rotator: secrets.clone(),
            catalogue: catalogue(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let reaper = |holder: &str| {
            Reaper::new(reap_ports.clone(), deployment.clone(), holder.to_owned(), (bounds, 40), ISSUANCE_POLICY)
        };
        let (reaper, other_reaper) = (reaper("one"), reaper("two"));
        Self {
            faults,
            clock,
            store,
            sts,
            roles,
            deployment,
            proofs,
            rules,
            recorded_uses,
            intake,
            decider,
            kill_switch,
            acknowledging,
            issuer,
            principals,
            secrets,
            activator,
            other_activator,
            reaper,
            activate_ports,
            reap_ports,
            bounds,
            other_reaper,
        }
    }

    /// A reaper over the world's ports that requires `drills` to pass.
    pub(super) fn reaper_with(&self, drills: Drills) -> Reaper {
        let ports = Ports { drills, ..self.reap_ports.clone() };
        Reaper::new(ports, self.deployment.clone(), "drilled".to_owned(), (self.bounds, 40), ISSUANCE_POLICY)
    }

    /// A reaper whose passes have a budget of `budget_s` seconds.
    pub(super) fn reaper_for(&self, budget_s: u32) -> Reaper {
        let ports = self.reap_ports.clone();
        Reaper::new(ports, self.deployment.clone(), "hurried".to_owned(), (self.bounds, budget_s), ISSUANCE_POLICY)
    }

    /// An activator whose passes have a budget of `budget_s` seconds.
    pub(super) fn activator_for(&self, budget_s: u32) -> Activator {
        Activator::new(self.activate_ports.clone(), self.deployment.clone(), ISSUANCE_POLICY, budget_s)
    }

    /// Submits the default request. `None` if the function crashed.
    pub(super) fn submit(&self, caller: &str, key: &str) -> Option<Result<GrantRecords, Refusal>> {
        run(self.intake.submit(&proof(caller), key, ask(), self.clock.now()))
    }

    /// Submits `ask` instead of the default request.
    pub(super) fn submit_ask(&self, caller: &str, key: &str, ask: Ask) -> Option<Result<GrantRecords, Refusal>> {
        run(self.intake.submit(&proof(caller), key, ask, self.clock.now()))
    }

    pub(super) fn vend(&self, caller: &str, id: GrantId) -> Option<Result<IssuedCredentials, Refusal>> {
        run(self.issuer.vend(&proof(caller), id))
    }

    pub(super) fn vote(&self, caller: &str, id: GrantId, approve: bool) -> Option<Result<GrantRecords, Refusal>> {
        let digest = self.grant(id).decision_digest;
        run(self.decider.vote(&proof(caller), id, Ballot { approve, digest }, self.clock.now()))
    }

    pub(super) fn release(&self, caller: &str, id: GrantId) -> Option<Result<GrantRecords, Refusal>> {
        run(self.intake.release(&proof(caller), id, self.clock.now()))
    }

    pub(super) fn tick(&self) -> Option<PortResult<PassReport>> {
        run(self.reaper.pass())
    }

    pub(super) fn activate(&self) -> Option<ActivateReport> {
        run(self.activator.pass())
    }

    /// Runs the schedule for `seconds`: each step is one tick, then [`TICK_S`] pass.
    pub(super) fn tick_for(&self, seconds: u32) {
        for _ in 0..seconds.div_ceil(TICK_S) {
            self.activate();
            self.tick();
            self.clock.advance(TICK_S);
        }
        self.tick();
    }

    pub(super) fn grant(&self, id: GrantId) -> Grant {
        self.store.peek(|held| held.grants().find(|grant| grant.id == id).cloned()).unwrap()
    }

    /// The grant's attachment target. `None` for a session.
    pub(super) fn target(&self, id: GrantId) -> Option<AttachmentTarget> {
        AttachmentTarget::of(&self.grant(id))
    }

    /// Whether the model of AWS would still let this grant act.
    pub(super) fn can_act(&self, id: GrantId) -> bool {
        if self.target(id).is_some_and(|target| self.principals.allows(&target)) {
            return true;
        }
        let name = self.deployment.session_name(id);
        let live = self.sts.live(&self.roles, &self.deployment.deny_policy_name());
        live.iter().any(|session| session.plan.session_name == name)
    }

    /// Asserts what must hold at any time, whatever has failed.
    pub(super) fn assert_invariants(&self, context: &str) {
        let snapshot = self.store.snapshot();
        for grant in snapshot.grants() {
            let id = grant.id;
            let chain = evidence::verify(id, grant.evidence, &snapshot.evidence_of(id));
            assert_eq!(chain, Ok(()), "{context}: invariant 4: evidence of {id}");
            assert_eq!(grant.version, grant.evidence.seq, "{context}: invariant 4: one entry per change");
            let last = snapshot.evidence_of(id).pop().unwrap().body.grant_digest;
            assert_eq!(grant.digest().unwrap(), last, "{context}: the last entry binds the grant");
            if let State::Ended { proof, .. } = &grant.state {
                let shared = |other: &Grant| {
                    !other.state.is_terminal() && AttachmentTarget::of(other) == AttachmentTarget::of(grant)
                };
                let held_on = self.target(id).is_some() && snapshot.grants().any(shared);
                let is_over = held_on || !self.can_act(id);
                assert!(is_over, "{context}: invariant 2: {id} ended by {proof:?}, yet AWS lets it act");
            }
            let rotates = grant.pending_rotations().next().is_some();
            assert_eq!(
                grant.due_at().is_none(),
                grant.state.is_terminal() && !rotates,
                "{context}: {id} is due exactly while it is live or has secrets to rotate"
            );
            let kept = grant.awaits_review() || rotates || !grant.state.is_terminal();
            assert_eq!(
                grant.drop_at().is_none(),
                kept,
                "{context}: {id} has a TTL only once it is terminal, rotated and reviewed"
            );
            for rotation in &grant.rotations {
                let n = self.rotated_since_the_end(grant, &rotation.secret);
                assert!(
                    n >= usize::from(rotation.done),
                    "{context}: {id} has {} rotations, AWS has {n}",
                    rotation.done
                );
            }
        }
        for write in self.principals.landed().into_iter().filter(|write| write.put.is_some()) {
            let digest = Digest::of_bytes(write.put.unwrap().as_bytes()).to_string();
            let mut grants =
                snapshot.grants().filter(|grant| AttachmentTarget::of(grant).as_ref() == Some(&write.target));
            let recorded = |grant: &Grant| canonical(&snapshot.evidence_of(grant.id)).unwrap().contains(&digest);
            assert!(grants.any(recorded), "{context}: invariant 1: no grant recorded the write to {:?}", write.target);
        }
        for id in snapshot.backstops() {
            assert!(
                !self.grant(id).state.is_terminal(),
                "{context}: {id} has ended, but its TTL backstop is still stored"
            );
        }
        for record in snapshot.holders() {
            let (principal_arn, policy_arn) = (record.principal_arn.clone(), record.policy_arn.clone());
            let stands = self.principals.standing(&AttachmentTarget::Managed { principal_arn, policy_arn }).is_some();
            assert!(!stands || !record.holders.is_empty(), "{context}: the policy is attached, but has no holder");
            let live = |id: &GrantId| !self.grant(*id).state.is_terminal();
            assert!(record.holders.iter().all(live), "{context}: {record:?} names a holder that has ended");
        }
        for session in self.sts.vended() {
            let name = &session.plan.session_name;
            let grant = snapshot.grants().find(|grant| self.deployment.session_name(grant.id) == *name);
            let grant = grant.unwrap_or_else(|| panic!("{context}: invariant 1: no grant recorded {name}"));
            let text = canonical(&snapshot.evidence_of(grant.id)).unwrap();
            let digest = session.plan.policy_digest.to_string();
            assert!(text.contains(&digest), "{context}: invariant 1: the vend of {name} was not recorded");
        }
    }

    /// Runs the schedule until everything must have ended, then asserts that it has.
    pub(super) fn assert_all_ends(&self, context: &str) {
        self.faults.clear();
        // The longest possible life: start-by, then the term, then a credential.
        for _ in 0..200 {
            self.activate();
            self.tick();
            let is_over = |grant: &Grant| grant.state.is_terminal() && grant.due_at().is_none();
            if self.store.peek(|held| held.grants().all(is_over) && held.denies().count() == 0) {
                break;
            }
            self.clock.advance(TICK_S);
        }
        self.assert_invariants(context);
        let snapshot = self.store.snapshot();
        let stored = format!("{snapshot:?}");
        let has_credential = ["secret of", "token of"].iter().any(|word| stored.contains(word));
        assert!(!has_credential, "{context}: invariant 6: a credential is stored");
        for grant in snapshot.grants() {
            assert!(grant.state.is_terminal(), "{context}: {} is stuck in {:?}", grant.id, grant.state);
            assert!(!self.can_act(grant.id), "{context}: {} can still act", grant.id);
            assert_eq!(grant.pending_rotations().count(), 0, "{context}: {} has secrets to rotate", grant.id);
            let left = AttachmentTarget::of(grant).and_then(|target| self.principals.standing(&target));
            assert_eq!(left, None, "{context}: {} left an attachment behind", grant.id);
        }
        assert!(
            snapshot.holders().all(|record| record.holders.is_empty()),
            "{context}: a managed attachment still has holders"
        );
        assert_eq!(snapshot.denies().count(), 0, "{context}: early-end denies are left over");
        let role = self.deployment.session_role_arn(&"deploy".parse().unwrap());
        let reserved = self.roles.standing(&role, &self.deployment.deny_policy_name());
        assert_eq!(reserved, None, "{context}: the reserved deny is left over");
    }

    /// Counts the rotations of `secret` in AWS that began after `grant` had ended.
    pub(super) fn rotated_since_the_end(&self, grant: &Grant, secret: &str) -> usize {
        let State::Ended { verified_at, .. } = &grant.state else { return 0 };
        let counts = |done: &&Rotated| done.secret == secret && done.began_at >= *verified_at;
        self.secrets.done().iter().filter(counts).count()
    }

    pub(super) fn proof_of(&self, id: GrantId) -> Proof {
        let state = self.grant(id).state;
        let State::Ended { proof, .. } = state else { panic!("not ended: {state:?}") };
        proof
    }
}

pub(super) fn id_of(answer: Option<Result<GrantRecords, Refusal>>) -> GrantId {
    answer.unwrap().unwrap().grant.unwrap().id
}

/// Kind and code of a refusal.
pub(super) fn refused<T: std::fmt::Debug>(answer: Option<Result<T, Refusal>>) -> (RefusalKind, String) {
    let refusal = answer.unwrap().unwrap_err();
    (refusal.kind, refusal.code.into_owned())
}

/// A world with a healthy reaper and an approved grant of `bot`.
pub(super) fn approved() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let id = id_of(world.submit("bot ask run-1", "key"));
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    (world, id)
}

/// Like [`approved`], after a first vend.
pub(super) fn active() -> (World, GrantId) {
    let (world, id) = approved();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    (world, id)
}
