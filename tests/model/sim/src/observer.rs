//! The observer: asks the model of AWS who could act, and holds every invariant of the design against it.
//!
//! Where Brevet makes a claim (that a grant ended, that something was recorded) the claim is read and held against what
//! AWS shows. What AWS shows is never taken from Brevet.

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
use brevet_engine::port::Place;

use crate::catalogue::BATCH;
use crate::ledger::Ledger;
use crate::policy::locked;
use crate::world::{CALL_S, SKEW_S, TICK_S, World};

pub use claim::Claim;
use proof::confirm;

/// How long after it was due access may last that only the reaper can end, while nothing disturbs the schedule: two
/// minutes, and the skew.
pub const GRACE_S: u32 = 120 + SKEW_S;

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub claim: Claim,
    /// What AWS showed instead.
    pub what: String,
}

/// Watches one world.
#[derive(Debug, Default)]
pub struct Observer {
    /// What did not hold, each thing once.
    pub findings: Vec<Finding>,
    /// What was not asserted since the engine does not promise it yet, and how often.
    pub not_asserted: BTreeMap<&'static str, u64>,
    /// How often each claim was held against something.
    pub held: BTreeMap<Claim, u64>,
    ended: BTreeMap<GrantId, Timestamp>,
    /// When each session was last seen to act.
    acted_at: BTreeMap<GrantId, Timestamp>,
    /// Which grants began for each window of each schedule.
    windows: BTreeMap<(ScheduleId, Timestamp), BTreeSet<GrantId>>,
    n_sessions: usize,
    n_writes: usize,
    n_denies: usize,
}

/// After a restore the evidence of what was done since is gone.
pub const RESTORED_RECORD: &str = "after a restore, that what was done since the backup is still on record";
/// Nor is what somebody stops that it has lost.
pub const RESTORED_STOP: &str = "until a restored table is confirmed, that a stop ends what the table has lost";
/// Nor is what somebody read by what it has lost: those secrets the operator rotates.
pub const RESTORED_READ: &str = "after a restore, that secrets are rotated that were read by what the table has lost";

impl Observer {
    /// Looks at the world as it is now.
    pub fn look(&mut self, world: &World) {
        // Its own copy: what it asks of the world looks things up there as well.
        let ledger = locked(&world.ledger).clone();
        self.new_sessions(world, &ledger);
        self.new_writes(world, &ledger);
        self.who_can_act(world, &ledger);
        self.holders_keep(world, &ledger);
        self.ends(world);
    }

    /// Whoever is said to hold something can act by it, unless somebody edited IAM or put the table back.
    fn holders_keep(&mut self, world: &World, ledger: &Ledger) {
        if ledger.tampered_at.is_some() || ledger.restored.is_some() {
            return self.skip("that a holder keeps access where somebody edits IAM or puts the table back");
        }
        let now = world.now();
        let holds = |grant: &&Grant| {
            matches!(&grant.state, State::Active { deadline, .. } if now.plus(SKEW_S) < *deadline)
                && !matches!(grant.delivery, Delivery::Session { .. })
        };
        let held: Vec<_> = world.store.peek(|table| table.grants().filter(holds).map(|grant| grant.id).collect());
        for id in held {
            let stands = world.place(id).is_some_and(|place| world.principals.allows(&place));
            self.hold(Claim::HolderKeeps, stands, || format!("{id} is held, and AWS lets nobody act by it"));
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
                    format!("{id} is held, and its session is denied")
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

    /// What STS vended since the last look.
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

    /// What reached principals and roles since the last look.
    fn new_writes(&mut self, world: &World, ledger: &Ledger) {
        let writes = world.principals.landed();
        for write in writes.iter().skip(self.n_writes) {
            let Some(number) = write.number else { continue };
            match (&write.place, &write.put) {
                (Place::Inline { policy_name, .. }, Some(document)) => {
                    let Some(id) = grant_of(policy_name) else { continue };
                    self.began(world, ledger, id, write.at);
                    self.not_while_overdue(world, ledger, &write.place, write.at);
                    let digest = Digest::of_bytes(document.as_bytes()).to_string();
                    self.recorded(world, id, number, "ActivationRecorded", &digest);
                    let first = writes.iter().find(|one| one.place == write.place && one.number.is_some());
                    let same = first.is_some_and(|first| first.put == write.put);
                    self.hold(Claim::OneActivation, same, || format!("{id} was put with two deadlines"));
                }
                (Place::Managed { policy_arn, .. }, Some(_)) => {
                    // Whose call it was AWS cannot tell: somebody must have recorded it who may have it.
                    let digest = Digest::of_bytes(policy_arn.as_bytes()).to_string();
                    let by = self.anybody_recorded(world, number, "ActivationRecorded", &digest);
                    self.hold_recorded(ledger, by, || "the managed policy was attached unrecorded".to_owned());
                    self.heart(ledger, write.at);
                    self.not_while_overdue(world, ledger, &write.place, write.at);
                }
                (Place::Inline { policy_name, .. }, None) => {
                    let by = self.anybody_recorded(world, number, "RemovalRecorded", policy_name);
                    self.hold_recorded(ledger, by, || format!("{policy_name} was removed unrecorded"));
                }
                (Place::Managed { policy_arn, .. }, None) => {
                    let by = self.anybody_recorded(world, number, "RemovalRecorded", policy_arn);
                    self.hold_recorded(ledger, by, || format!("{policy_arn} was detached unrecorded"));
                }
            }
        }
        self.n_writes = writes.len();
        let denies = world.roles.landed();
        for write in denies.iter().skip(self.n_denies) {
            let Some(number) = write.number else { continue };
            let told = self.anybody_recorded(world, number, "RemovalRecorded", &write.role_arn);
            self.hold_recorded(ledger, told, || "a reserved deny was written unrecorded".to_owned());
        }
        self.n_denies = denies.len();
    }

    /// What was recorded before a table was put back is on record no more.
    fn hold_recorded(&mut self, ledger: &Ledger, recorded: bool, what: impl FnOnce() -> String) {
        match ledger.restored {
            Some(_) if !recorded => self.skip(RESTORED_RECORD),
            _ => self.hold(Claim::RecordedFirst, recorded, what),
        }
    }

    /// Whether the grant's evidence told of it before the call was made.
    fn recorded(&mut self, world: &World, id: GrantId, number: u64, event: &str, detail: &str) {
        let entries = world.store.peek(|held| told(&held.evidence_of(id), event, detail));
        let before = entries.iter().any(|entry| world.store.written_at(*entry).is_some_and(|at| at < number));
        let ledger = locked(&world.ledger).clone();
        self.hold_recorded(&ledger, before, || format!("call {number} for {id} was made before `{event}` was stored"));
    }

    fn anybody_recorded(&self, world: &World, number: u64, event: &str, detail: &str) -> bool {
        let ids: Vec<_> = world.store.peek(|held| held.grants().map(|grant| grant.id).collect());
        let of = |id: &GrantId| world.store.peek(|held| told(&held.evidence_of(*id), event, detail));
        let swept = world.store.peek(|held| swept(held.findings(), detail));
        ids.iter().flat_map(of).chain(swept).any(|entry| world.store.written_at(entry).is_some_and(|at| at < number))
    }

    /// Who could act now, and whether they still may.
    fn who_can_act(&mut self, world: &World, ledger: &Ledger) {
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
            self.hold(Claim::AllowedByDecision, known, || format!("{id} is not what its session's tags say"));
        }
        let inline = world.principals.whole(BATCH).map(|principal| principal.inline).unwrap_or_default();
        for id in inline.keys().filter_map(|name| grant_of(name)) {
            let Some(place) = world.place(id) else { continue };
            if world.principals.may_allow(&place, world.model.enforcement_lag_s) {
                let writes = world.principals.landed();
                let put =
                    writes.iter().filter(|write| write.place == place && write.number.is_some() && write.put.is_some());
                let bound = bound(ledger, id, put.map(|write| write.at).min());
                let edited = writes.iter().any(|write| write.place == place && write.number.is_none());
                self.in_time(world, ledger, id, bound, !edited);
                self.stays_ended(world, ledger, id);
            }
        }
        if world.principals.may_allow(&world.managed(), world.model.enforcement_lag_s) {
            self.managed_in_time(world, ledger);
        }
    }

    /// One grant can act. Where its policy carries its limit, that holds whatever failed; for stops, the reaper needs time.
    fn in_time(&mut self, world: &World, ledger: &Ledger, id: GrantId, bound: Timestamp, has_limit: bool) {
        let now = world.now();
        if has_limit {
            self.hold(Claim::OverAtItsLimit, now < bound, || format!("{id} acts at {now}, after {bound}"));
        }
        // A stop is about what is on record: until a restored table is confirmed, what it has lost ends at its limit.
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
        // Approval, start and term: whoever holds it has it for no longer.
        let longest = |id: GrantId, at: Timestamp, term_s: u32| {
            let bound = at.plus(120 + 120 + term_s + SKEW_S);
            ledger.stopped_at(id).map_or(bound, |stopped| stopped.min(bound))
        };
        let holders = holders.filter(|(id, _)| ledger.may_be_allowed(*id));
        let last = holders.map(|(id, asked)| longest(*id, asked.at, asked.term_s())).max();
        let puts = world.principals.landed();
        let place = world.managed();
        let put = puts.iter().filter(|write| write.place == place && write.put.is_some()).map(|write| write.at).max();
        let put = put.map(|at| at.plus(crate::catalogue::term_s("sync") + SKEW_S));
        let Some(due) = last.into_iter().chain(put).min() else {
            return self
                .hold(Claim::AllowedByDecision, false, || "a managed policy stands that nobody asked for".to_owned());
        };
        let late_from = due.max(could_end_since(world, ledger)).plus(GRACE_S);
        self.hold(Claim::OverWithinTicks, now <= late_from, || {
            format!("the managed policy stands at {now}, due at {due}")
        });
    }

    fn stays_ended(&mut self, world: &World, ledger: &Ledger, id: GrantId) {
        let Some(ended_at) = self.ended.get(&id).copied() else { return };
        let edited = ledger.tampered_at.is_some_and(|at| world.now() <= at.plus(GRACE_S));
        if edited {
            return self.skip("that an end holds while somebody edits IAM");
        }
        self.hold(Claim::StaysEnded, false, || format!("{id} ended at {ended_at}, and acts at {}", world.now()));
    }

    /// Every end that was claimed since the last look.
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

/// Since when nothing disturbed the schedule; now, if it stands still.
fn undisturbed_since(world: &World, ledger: &Ledger) -> Timestamp {
    let now = world.now();
    let stands_still = now.seconds_since(world.last_pass_at) > u64::from(TICK_S);
    if stands_still { now } else { ledger.undisturbed_since.unwrap_or(Timestamp::EPOCH) }
}

/// Since when the schedule could end things: undisturbed, and AWS took what it was asked to remove.
fn could_end_since(world: &World, ledger: &Ledger) -> Timestamp {
    undisturbed_since(world, ledger).max(ledger.refused_at.unwrap_or(Timestamp::EPOCH))
}

/// The entries that tell of `event` and hold `detail`.
fn told(entries: &[Entry], event: &str, detail: &str) -> Vec<EvidenceId> {
    let tells = |entry: &&Entry| entry.body.event == event && entry.body.detail.to_string().contains(detail);
    entries.iter().filter(tells).map(|entry| entry.body.id).collect()
}

/// The findings of the sweep before each removal or rewriting of what `detail` names.
fn swept(findings: &[finding::Finding], detail: &str) -> Vec<EvidenceId> {
    let names = |place: &Place| format!("{place:?}").contains(detail);
    let tells = |one: &&finding::Finding| one.act != finding::Act::GoneObserved && names(&one.place);
    findings.iter().filter(tells).map(|one| one.id).collect()
}

/// The grant that a session or policy of this installation is named after.
fn grant_of(name: &str) -> Option<GrantId> {
    let ulid = name.strip_prefix("dev.").or_else(|| name.strip_prefix("brevet-dev-"))?;
    format!("grt_{ulid}").parse().ok()
}

/// The sessions that AWS may still let act.
fn live(world: &World) -> Vec<(GrantId, Session)> {
    let live = world.sts.maybe_live(&world.roles, &world.deployment.deny_policy_name(), world.model.enforcement_lag_s);
    live.into_iter().filter_map(|session| Some((grant_of(&session.plan.session_name)?, session))).collect()
}

/// When access that AWS first showed at `first` must be over at the latest: the term, and the skew of the clock that it
/// was reckoned by; never after what it rests on was delegated for.
fn bound(ledger: &Ledger, id: GrantId, first: Option<Timestamp>) -> Timestamp {
    let term_s = ledger.of(id).map_or(0, crate::ledger::Asked::term_s);
    let own = first.unwrap_or(Timestamp::EPOCH).plus(term_s + SKEW_S);
    ledger.given_until(id).map_or(own, |until| until.min(own))
}
