//! The observer: asks the model of AWS who could act, and checks every invariant of the design against it.
//!
//! The observer reads Brevet's claims (that a grant ended, that something was recorded) and checks them against what
//! AWS shows. It never takes AWS's state from Brevet.

mod began;
mod claim;
mod drills;
mod finale;
mod proof;

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::canonical::Digest;
use brevet_domain::evidence::Entry;
use brevet_domain::finding;
use brevet_domain::grant::{Delivery, Grant, State};
use brevet_domain::id::{EvidenceId, GrantId, ScheduleId};
use brevet_domain::time::Timestamp;
use brevet_engine::fake::Session;
use brevet_engine::port::AttachmentTarget;

use crate::catalogue::BATCH;
use crate::ledger::Ledger;
use crate::policy::locked;
use crate::world::{CALL_S, SKEW_S, TICK_S, World};

pub use claim::Claim;
use proof::confirm;

/// How long access that only the reaper can end may last after it was due, while the schedule is undisturbed: two
/// minutes, and the skew.
pub const GRACE_S: u32 = 120 + SKEW_S;

/// A claim that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub claim: Claim,
    /// What AWS showed instead.
    pub what: String,
}

#[derive(Debug, Default)]
pub struct Observer {
    /// The failed claims, without duplicates.
    pub findings: Vec<Finding>,
    /// The properties that were not asserted because the engine does not promise them, with counts.
    pub not_asserted: BTreeMap<&'static str, u64>,
    /// The number of checks of each claim.
    pub held: BTreeMap<Claim, u64>,
    ended: BTreeMap<GrantId, Timestamp>,
    /// When each session was last seen to act.
    acted_at: BTreeMap<GrantId, Timestamp>,
    /// The grants that began in each window of each schedule.
    windows: BTreeMap<(ScheduleId, Timestamp), BTreeSet<GrantId>>,
    n_sessions: usize,
    n_writes: usize,
    n_denies: usize,
}

/// A restore loses the evidence of later calls.
pub const RESTORED_RECORD: &str = "after a restore, that calls since the backup are still recorded";
/// A restored, unconfirmed table does not know the grants that a stop should end.
pub const RESTORED_STOP: &str = "until a restored table is confirmed, that a stop ends grants that the table has lost";
/// A restored table does not know the reads of lost grants. The operator rotates those secrets.
pub const RESTORED_READ: &str = "after a restore, that secrets read by lost grants are rotated";

impl Observer {
    /// Checks the world in its present state.
    pub fn observe(&mut self, world: &World) {
        // A copy: the checks lock the ledger too.
        let ledger = locked(&world.ledger).clone();
        self.new_sessions(world, &ledger);
        self.new_writes(world, &ledger);
        self.check_acting(world, &ledger);
        self.check_holders(world, &ledger);
        self.ends(world);
    }

    /// A holder of an active grant can act by it, unless somebody edited IAM or restored the table.
    fn check_holders(&mut self, world: &World, ledger: &Ledger) {
        if ledger.tampered_at.is_some() || ledger.restored.is_some() {
            return self.skip("that a holder keeps access after somebody edits IAM or restores the table");
        }
        let now = world.now();
        let holds = |grant: &&Grant| {
            matches!(&grant.state, State::Active { deadline, .. } if now.plus(SKEW_S) < *deadline)
                && !matches!(grant.delivery, Delivery::Session { .. })
        };
        let held: Vec<_> = world.store.peek(|table| table.grants().filter(holds).map(|grant| grant.id).collect());
        for id in held {
            let stands = world.target(id).is_some_and(|target| world.principals.allows(&target));
            self.hold(Claim::HolderKeeps, stands, || format!("{id} is active, and AWS does not allow its access"));
        }
        let acting: BTreeSet<GrantId> = live(world).into_iter().map(|(id, _)| id).collect();
        let is_active = |id: GrantId| world.grant(id).is_some_and(|grant| matches!(grant.state, State::Active { .. }));
        for session in world.sts.vended() {
            let Some(id) = grant_of(&session.plan.session_name) else { continue };
            let first = world
                .sts
                .vended()
                .iter()
                .filter(|one| grant_of(&one.plan.session_name) == Some(id))
                .map(|one| one.vended_at)
                .min();
            let until = bound(ledger, id, first).minus(2 * SKEW_S + 2 * CALL_S).min(session.expires_at);
            if now < until && is_active(id) {
                self.hold(Claim::HolderKeeps, acting.contains(&id), || {
                    format!("{id} is active, and its session is denied")
                });
            }
        }
    }

    fn hold(&mut self, claim: Claim, holds: bool, what: impl FnOnce() -> String) {
        *self.held.entry(claim).or_default() += 1;
        if holds {
            return;
        }
        let finding = Finding { claim, what: what() };
        let of_claim = self.findings.iter().filter(|found| found.claim == claim);
        if of_claim.count() < 3 && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn skip(&mut self, what: &'static str) {
        *self.not_asserted.entry(what).or_default() += 1;
    }

    /// Checks the sessions that STS vended since the last call.
    fn new_sessions(&mut self, world: &World, ledger: &Ledger) {
        let vended = world.sts.vended();
        for session in &vended[self.n_sessions.min(vended.len())..] {
            let Some(id) = grant_of(&session.plan.session_name) else { continue };
            self.began(world, ledger, id, session.vended_at);
            self.recorded(world, id, session.number, "VendRecorded", &session.plan.policy_digest.to_string());
            let first = vended.iter().find(|one| one.plan.session_name == session.plan.session_name);
            let same = first.is_some_and(|first| first.plan.policy == session.plan.policy);
            self.hold(Claim::OneActivation, same, || format!("{id} was vended with two deadlines"));
        }
        self.n_sessions = vended.len();
    }

    /// Checks the writes on principals and roles since the last call.
    fn new_writes(&mut self, world: &World, ledger: &Ledger) {
        let writes = world.principals.landed();
        for write in writes.iter().skip(self.n_writes) {
            let Some(number) = write.number else { continue };
            match (&write.target, &write.put) {
                (AttachmentTarget::Inline { policy_name, .. }, Some(document)) => {
                    let Some(id) = grant_of(policy_name) else { continue };
                    self.began(world, ledger, id, write.at);
                    self.not_while_overdue(world, ledger, &write.target, write.at);
                    let digest = Digest::of_bytes(document.as_bytes()).to_string();
                    self.recorded(world, id, number, "ActivationRecorded", &digest);
                    let first = writes.iter().find(|one| one.target == write.target && one.number.is_some());
                    let same = first.is_some_and(|first| first.put == write.put);
                    self.hold(Claim::OneActivation, same, || format!("{id} was put with two deadlines"));
                }
                (AttachmentTarget::Managed { policy_arn, .. }, Some(_)) => {
                    // AWS does not show whose call it was: some grant that may hold the policy must have recorded it.
                    let digest = Digest::of_bytes(policy_arn.as_bytes()).to_string();
                    let by = self.anybody_recorded(world, number, "ActivationRecorded", &digest);
                    self.hold_recorded(ledger, by, || "the managed policy was attached unrecorded".to_owned());
                    self.reaper_health(ledger, write.at);
                    self.not_while_overdue(world, ledger, &write.target, write.at);
                }
                (AttachmentTarget::Inline { policy_name, .. }, None) => {
                    let by = self.anybody_recorded(world, number, "RemovalRecorded", policy_name);
                    self.hold_recorded(ledger, by, || format!("{policy_name} was removed unrecorded"));
                }
                (AttachmentTarget::Managed { policy_arn, .. }, None) => {
                    let by = self.anybody_recorded(world, number, "RemovalRecorded", policy_arn);
                    self.hold_recorded(ledger, by, || format!("{policy_arn} was detached unrecorded"));
                }
            }
        }
        self.n_writes = writes.len();
        let denies = world.roles.landed();
        for write in denies.iter().skip(self.n_denies) {
            let Some(number) = write.number else { continue };
            let is_recorded = self.anybody_recorded(world, number, "RemovalRecorded", &write.role_arn);
            self.hold_recorded(ledger, is_recorded, || "a reserved deny was written unrecorded".to_owned());
        }
        self.n_denies = denies.len();
    }

    /// A restore loses what was recorded before it.
    fn hold_recorded(&mut self, ledger: &Ledger, recorded: bool, what: impl FnOnce() -> String) {
        match ledger.restored {
            Some(_) if !recorded => self.skip(RESTORED_RECORD),
            _ => self.hold(Claim::RecordedFirst, recorded, what),
        }
    }

    /// Whether the grant's evidence recorded the event before the call was made.
    fn recorded(&mut self, world: &World, id: GrantId, number: u64, event: &str, detail: &str) {
        let entries = world.store.peek(|held| entry_ids(&held.evidence_of(id), event, detail));
        let before = entries.iter().any(|entry| world.store.written_at(*entry).is_some_and(|at| at < number));
        let ledger = locked(&world.ledger).clone();
        self.hold_recorded(&ledger, before, || format!("call {number} for {id} was made before `{event}` was stored"));
    }

    fn anybody_recorded(&self, world: &World, number: u64, event: &str, detail: &str) -> bool {
        let ids: Vec<_> = world.store.peek(|held| held.grants().map(|grant| grant.id).collect());
        let of = |id: &GrantId| world.store.peek(|held| entry_ids(&held.evidence_of(*id), event, detail));
        let swept = world.store.peek(|held| swept(held.findings(), detail));
        ids.iter().flat_map(of).chain(swept).any(|entry| world.store.written_at(entry).is_some_and(|at| at < number))
    }

    /// Checks every grant that can act now, and whether it still may.
    fn check_acting(&mut self, world: &World, ledger: &Ledger) {
        for (id, session) in live(world) {
            self.acted_at.insert(id, world.now());
            let first = world
                .sts
                .vended()
                .iter()
                .filter(|one| grant_of(&one.plan.session_name) == Some(id))
                .map(|one| one.vended_at)
                .min();
            let bound = bound(ledger, id, first);
            self.in_time(world, ledger, id, bound, true);
            self.stays_ended(world, ledger, id);
            let known = session.plan.tags.get("brevet:grant").is_some_and(|tag| *tag == id.to_string());
            self.hold(Claim::AllowedByDecision, known, || {
                format!("the tags of the session of {id} name another grant")
            });
        }
        let inline = world.principals.whole(BATCH).map(|principal| principal.inline).unwrap_or_default();
        for id in inline.keys().filter_map(|name| grant_of(name)) {
            let Some(target) = world.target(id) else { continue };
            if world.principals.may_allow(&target, world.model.enforcement_lag_s) {
                let writes = world.principals.landed();
                let put = writes
                    .iter()
                    .filter(|write| write.target == target && write.number.is_some() && write.put.is_some());
                let bound = bound(ledger, id, put.map(|write| write.at).min());
                let edited = writes.iter().any(|write| write.target == target && write.number.is_none());
                self.in_time(world, ledger, id, bound, !edited);
                self.stays_ended(world, ledger, id);
            }
        }
        if world.principals.may_allow(&world.managed(), world.model.enforcement_lag_s) {
            self.managed_in_time(world, ledger);
        }
    }

    /// Checks a grant that can act. A time limit in its policy holds whatever fails; after a stop, the reaper needs
    /// time.
    fn in_time(&mut self, world: &World, ledger: &Ledger, id: GrantId, bound: Timestamp, has_limit: bool) {
        let now = world.now();
        if has_limit {
            self.hold(Claim::OverAtItsLimit, now < bound, || format!("{id} acts at {now}, after {bound}"));
        }
        // A stop applies to recorded grants. Until a restored table is confirmed, a lost grant ends at its limit.
        let is_lost = ledger.unconfirmed_since.is_some() && world.grant(id).is_none();
        if is_lost {
            self.skip(RESTORED_STOP);
        }
        let stopped = ledger.stopped_at(id).filter(|_| !is_lost);
        let due = stopped.map_or(bound, |stopped| stopped.min(bound));
        let at_the_latest = due.max(could_end_since(world, ledger)).plus(GRACE_S);
        self.hold(Claim::OverWithinTicks, now <= at_the_latest, || format!("{id} acts at {now}, due at {due}"));
    }

    fn managed_in_time(&mut self, world: &World, ledger: &Ledger) {
        let now = world.now();
        let holders = ledger.asked.iter().filter(|(_, asked)| asked.entitlement == "sync");
        // Approval, start and term together bound how long a holder has it.
        let longest = |id: GrantId, at: Timestamp, term_s: u32| {
            let bound = at.plus(120 + 120 + term_s + SKEW_S);
            ledger.stopped_at(id).map_or(bound, |stopped| stopped.min(bound))
        };
        let holders = holders.filter(|(id, _)| ledger.may_be_allowed(*id));
        let last = holders.map(|(id, asked)| longest(*id, asked.at, asked.term_s())).max();
        let puts = world.principals.landed();
        let target = world.managed();
        let put = puts.iter().filter(|write| write.target == target && write.put.is_some()).map(|write| write.at).max();
        let put = put.map(|at| at.plus(crate::catalogue::term_s("sync") + SKEW_S));
        let Some(due) = last.into_iter().chain(put).min() else {
            return self
                .hold(Claim::AllowedByDecision, false, || "a managed policy is attached without a request".to_owned());
        };
        let late_from = due.max(could_end_since(world, ledger)).plus(GRACE_S);
        self.hold(Claim::OverWithinTicks, now <= late_from, || {
            format!("the managed policy is still attached at {now}, due at {due}")
        });
    }

    fn stays_ended(&mut self, world: &World, ledger: &Ledger, id: GrantId) {
        let Some(ended_at) = self.ended.get(&id).copied() else { return };
        let edited = ledger.tampered_at.is_some_and(|at| world.now() <= at.plus(GRACE_S));
        if edited {
            return self.skip("that ended access stays ended while somebody edits IAM");
        }
        self.hold(Claim::StaysEnded, false, || format!("{id} ended at {ended_at}, and acts at {}", world.now()));
    }

    /// Checks every end that was recorded since the last call.
    fn ends(&mut self, world: &World) {
        let now = world.now();
        let is_new = |grant: &&Grant| matches!(grant.state, State::Ended { .. }) && !self.ended.contains_key(&grant.id);
        let ended: Vec<Grant> = world.store.peek(|held| held.grants().filter(is_new).cloned().collect());
        if ended.is_empty() {
            return;
        }
        let acting: BTreeSet<GrantId> = live(world).into_iter().map(|(id, _)| id).collect();
        for grant in ended {
            self.ended.insert(grant.id, now);
            let State::Ended { proof, .. } = &grant.state else { continue };
            let wrong = confirm(world, &grant, proof, acting.contains(&grant.id));
            self.hold(Claim::ProofConfirmed, wrong.is_none(), || {
                format!("{} ended by {proof:?}, but {}", grant.id, wrong.unwrap_or_default())
            });
        }
    }
}

/// Since when the schedule has been undisturbed; now, if it has stopped.
fn undisturbed_since(world: &World, ledger: &Ledger) -> Timestamp {
    let now = world.now();
    let stands_still = now.seconds_since(world.last_pass_at) > u64::from(TICK_S);
    if stands_still { now } else { ledger.undisturbed_since.unwrap_or(Timestamp::EPOCH) }
}

/// Since when the schedule could end grants: undisturbed, and AWS accepted removals.
fn could_end_since(world: &World, ledger: &Ledger) -> Timestamp {
    undisturbed_since(world, ledger).max(ledger.refused_at.unwrap_or(Timestamp::EPOCH))
}

/// The ids of the entries for `event` that contain `detail`.
fn entry_ids(entries: &[Entry], event: &str, detail: &str) -> Vec<EvidenceId> {
    let tells = |entry: &&Entry| entry.body.event == event && entry.body.detail.to_string().contains(detail);
    entries.iter().filter(tells).map(|entry| entry.body.id).collect()
}

/// The ids of the sweep's findings before each removal or rewrite of the target that `detail` names.
fn swept(findings: &[finding::Finding], detail: &str) -> Vec<EvidenceId> {
    let names = |target: &AttachmentTarget| format!("{target:?}").contains(detail);
    let tells = |one: &&finding::Finding| one.action != finding::FindingAction::GoneObserved && names(&one.target);
    findings.iter().filter(tells).map(|one| one.id).collect()
}

/// The grant in the name of a session or policy of this installation.
fn grant_of(name: &str) -> Option<GrantId> {
    let ulid = name.strip_prefix("dev.").or_else(|| name.strip_prefix("brevet-dev-"))?;
    format!("grt_{ulid}").parse().ok()
}

/// The sessions that AWS may still allow to act.
fn live(world: &World) -> Vec<(GrantId, Session)> {
    let live = world.sts.maybe_live(&world.roles, &world.deployment.deny_policy_name(), world.model.enforcement_lag_s);
    live.into_iter().filter_map(|session| Some((grant_of(&session.plan.session_name)?, session))).collect()
}

/// The latest end of access that AWS first showed at `first`: the term plus the skew of the clock that it was computed
/// by, but never later than the delegation that it rests on.
fn bound(ledger: &Ledger, id: GrantId, first: Option<Timestamp>) -> Timestamp {
    let term_s = ledger.of(id).map_or(0, crate::ledger::Asked::term_s);
    let own = first.unwrap_or(Timestamp::EPOCH).plus(term_s + SKEW_S);
    ledger.given_until(id).map_or(own, |until| until.min(own))
}
