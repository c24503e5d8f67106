//! Schedules grant once per window, never outside one and never more than declared, whatever events arrive.

use std::sync::Arc;

use brevet_domain::canonical::Digest;
use brevet_domain::grant::{DeniedBy, EndCause, State};
use brevet_domain::id::{GrantId, ScheduleId};
use brevet_domain::identity::ProofSummary;
use brevet_domain::request::Request;
use brevet_domain::schedule::Schedule;
use brevet_domain::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::world::{TERM_S, World, ask, proof, refused};
use crate::evaluate::decide::{ScheduleOutcome, SchedulePass};
use crate::fake::{Fault, run};
use crate::port::{Clock, RequestStore};
use crate::refusal::{Refusal, RefusalKind};

/// Seconds that each window of these tests is open.
const WINDOW_S: u32 = 300;

/// A schedule of `identity` that opens every hour on the hour, with the world's term.
pub(super) fn hourly(id: &str, identity: &str, entitlement: &str) -> Schedule {
    serde_json::from_value(json!({
        "id": id, "owner": "dana", "description": "every hour", "identity": identity, "cron": "0 * * * *",
        "ask": { "entitlement": entitlement, "parameters": { "version": "v1" }, "term_s": TERM_S },
        "window_s": WINDOW_S,
    }))
    .unwrap()
}

impl World {
    pub(super) fn declare(&self, schedule: Schedule) {
        self.rules.lock().unwrap().schedules.insert(schedule.id.clone(), schedule);
    }

    /// A world with one schedule whose window opens in one second.
    fn before_a_window(schedule: Schedule) -> Self {
        let world = Self::new();
        world.tick();
        world.declare(schedule);
        world.next_hour();
        world.clock.set(world.clock.now().minus(1));
        world
    }

    /// Advances the clock to the start of the next hour.
    pub(super) fn next_hour(&self) {
        let hour = self.clock.now().as_seconds().div_euclid(3_600).saturating_add(1);
        self.clock.set(Timestamp::from_seconds(hour.saturating_mul(3_600)));
    }

    pub(super) fn run_schedules(&self) -> Option<Result<SchedulePass, Refusal>> {
        run(self.decider.decide_open_windows(&*self.clock, 8))
    }

    fn run_schedule(&self, id: &str) -> Option<Result<ScheduleOutcome, Refusal>> {
        let id: ScheduleId = id.parse().unwrap();
        run(self.decider.decide_schedule(&id, self.clock.now()))
    }

    fn ids(&self) -> Vec<GrantId> {
        self.store.snapshot().grants().map(|grant| grant.id).collect()
    }
}

/// Asserts that every scheduled grant stays within its declaration.
fn assert_within_declaration(world: &World, schedule: &Schedule, context: &str) {
    let snapshot = world.store.snapshot();
    let mut windows = std::collections::BTreeSet::new();
    for grant in snapshot.grants() {
        let decision = snapshot.decisions().find(|decision| decision.id == grant.id).unwrap();
        let terms = &decision.terms;
        let ProofSummary::Schedule { schedule: name, declared, opens_at, closes_at } = &terms.proof else {
            panic!("{context}: the proof is not a schedule: {:?}", terms.proof)
        };
        assert_eq!((name, *declared), (&schedule.id, Digest::of(schedule).unwrap()), "{context}");
        assert!(windows.insert(*opens_at), "{context}: two grants for the window of {opens_at}");
        assert_eq!(opens_at.as_seconds() % 3_600, 0, "{context}: {opens_at} is not an instant of the schedule");
        assert_eq!(*closes_at, opens_at.plus(schedule.window_s), "{context}");
        let at = terms.decided_at;
        assert!(*opens_at <= at && at < *closes_at, "{context}: decided at {at}, outside {opens_at} to {closes_at}");
        assert!(at.plus(terms.start_within_s) <= *closes_at, "{context}: the grant may start after its window");
        assert_eq!(grant.term, schedule.ask.term_s, "{context}: the term differs from the declaration");
        assert_eq!((&grant.identity, &grant.task), (&schedule.identity, &None), "{context}");
        // Anyone with the declaration can recompute and check the decision.
        let window = schedule.window_at(at).unwrap();
        let request = schedule.request(window, grant.id);
        assert_eq!(
            terms.request_digest,
            Digest::of(&request).unwrap(),
            "{context}: the request differs from the declaration"
        );
        assert_eq!(grant.id, schedule.grant_id(window, &world.deployment), "{context}");
        if let State::Active { deadline, .. } = &grant.state {
            assert!(*deadline <= closes_at.plus(TERM_S), "{context}: the grant lasts longer than declared");
        }
    }
}

#[test]
fn window_is_granted_once_however_often_it_is_requested() {
    let schedule = hourly("night", "bot", "batch");
    let world = World::before_a_window(schedule.clone());
    assert_eq!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Closed, "an early event grants nothing");
    assert_eq!(world.run_schedules().unwrap().unwrap(), SchedulePass { n_schedules: 1, ..SchedulePass::default() });
    world.clock.advance(1);
    let ScheduleOutcome::Decided { grant: id, allowed: true } = world.run_schedule("night").unwrap().unwrap() else {
        panic!("not granted")
    };
    for _ in 0..10 {
        world.clock.advance(20);
        assert_eq!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Standing { grant: id });
        let pass = SchedulePass { n_schedules: 1, n_open: 1, ..SchedulePass::default() };
        assert_eq!(world.run_schedules().unwrap().unwrap(), pass);
    }
    assert_eq!(world.ids(), [id]);
    world.clock.advance(100);
    assert_eq!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Closed, "a late event grants nothing");
    assert_within_declaration(&world, &schedule, "one window");
    world.clock.advance(3_300);
    assert!(matches!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Decided { allowed: true, .. }));
    assert_eq!(world.ids().len(), 2, "the next window is another grant");
    assert_within_declaration(&world, &schedule, "two windows");
    world.assert_all_ends("two windows");
}

#[test]
fn scheduled_attachment_is_made_in_its_window_and_ends_as_declared() {
    let schedule = hourly("night", "bot", "batch");
    let world = World::before_a_window(schedule.clone());
    world.clock.advance(1);
    assert_eq!(world.run_schedules().unwrap().unwrap().n_granted, 1);
    let id = world.ids()[0];
    world.tick();
    world.activate();
    assert!(world.can_act(id), "{:?}", world.grant(id).state);
    assert_within_declaration(&world, &schedule, "active");
    world.tick_for(TERM_S + 60);
    let State::Ended { cause, .. } = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
    assert_eq!(cause, EndCause::Deadline);
    world.assert_all_ends("a scheduled attachment");
}

#[test]
fn grant_decided_late_must_start_within_its_window() {
    let schedule = hourly("night", "bot", "deploy");
    let world = World::before_a_window(schedule.clone());
    // The entitlement alone would allow a start within ten minutes.
    world.clock.advance(1 + 290);
    assert_eq!(world.run_schedules().unwrap().unwrap().n_granted, 1);
    let id = world.ids()[0];
    let State::Approved { start_by, .. } = world.grant(id).state else { panic!("not approved") };
    assert_eq!(start_by.as_seconds() % 3_600, i64::from(WINDOW_S));
    world.clock.advance(10);
    world.tick();
    let (_, code) = refused(world.vend("bot credentials", id));
    assert_eq!(code, "grant_over");
    world.assert_all_ends("granted late");
}

#[test]
fn scheduled_session_is_vended_to_its_holder_without_a_task() {
    let world = World::before_a_window(hourly("night", "bot", "deploy"));
    world.clock.advance(1);
    world.run_schedules().unwrap().unwrap();
    world.tick();
    let id = world.ids()[0];
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "other_task");
    assert_eq!(refused(world.vend("agent credentials", id)).1, "grant_not_found");
    world.vend("bot credentials", id).unwrap().unwrap();
    world.assert_all_ends("a scheduled session");
}

#[test]
fn denied_window_is_recorded_and_stays_denied() {
    for (identity, denied, reason) in [
        ("bot", Some("it is a holiday"), "it is a holiday"),
        ("agent", None, "policy requires approval, and a schedule cannot wait for people"),
        ("omar", None, "no policy allows it"),
    ] {
        let world = World::before_a_window(hourly("night", identity, "batch"));
        world.clock.advance(1);
        world.rules.lock().unwrap().denied = denied.map(str::to_owned);
        let pass = SchedulePass { n_schedules: 1, n_open: 1, n_denied: 1, ..SchedulePass::default() };
        assert_eq!(world.run_schedules().unwrap().unwrap(), pass, "{identity}");
        let id = world.ids()[0];
        let State::Denied { by, reason: stored } = world.grant(id).state else { panic!("not denied") };
        assert_eq!((by, stored.as_str()), (DeniedBy::Policy, reason));
        let evidence = world.store.snapshot().evidence_of(id);
        assert_eq!(evidence[0].body.detail["proof"]["schedule"], "night", "{evidence:?}");
        // The window stays decided, even if policy allows it later.
        world.rules.lock().unwrap().denied = None;
        assert_eq!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Standing { grant: id });
        world.assert_all_ends(identity);
    }
}

#[test]
fn block_denies_a_window() {
    use brevet_domain::block::{Block, BlockScope};

    let world = World::before_a_window(hourly("night", "bot", "batch"));
    world.clock.advance(1);
    let scope = BlockScope::Identity("bot".parse().unwrap());
    let (by, at) = ("omar".parse().unwrap(), world.clock.now());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at });
    assert_eq!(world.run_schedules().unwrap().unwrap().n_denied, 1);
}

#[test]
fn failing_schedule_delays_no_other_and_is_retried() {
    let world = World::before_a_window(hourly("night", "bot", "batch"));
    world.declare(hourly("ghost", "nobody", "batch"));
    world.clock.advance(1);
    let first = world.run_schedules().unwrap().unwrap();
    assert_eq!((first.n_open, first.n_granted, first.n_failed), (2, 1, 1));
    world.declare(hourly("ghost", "bot", "sync"));
    let second = world.run_schedules().unwrap().unwrap();
    assert_eq!((second.n_open, second.n_granted, second.n_failed), (2, 1, 0));
    let (kind, code) = refused(world.run_schedule("no-such"));
    assert_eq!((kind, code.as_str()), (RefusalKind::Invalid, "schedule_unknown"));
}

#[test]
fn schedule_pass_takes_the_soonest_closing_window_first_and_reports_the_rest() {
    let world = World::before_a_window(hourly("aa-later", "bot", "batch"));
    world.declare(Schedule { window_s: 120, ..hourly("zz-sooner", "bot", "sync") });
    world.clock.advance(1);
    // The first decision uses up the whole budget.
    let clock = Arc::clone(&world.clock);
    world.faults.meanwhile(world.faults.n_calls() + 1, move || clock.advance(9));
    let pass = world.run_schedules().unwrap().unwrap();
    assert_eq!((pass.n_open, pass.n_granted, pass.n_left), (2, 1, 1), "{pass:?}");
    let granted = world.grant(world.ids()[0]).entitlement;
    assert_eq!(granted.as_str(), "sync");
}

/// A compromised intake can store requests under any id and invoke the evaluator with any event.
#[test]
fn compromised_intake_that_takes_a_windows_id_gets_only_its_own_request() {
    let schedule = hourly("night", "bot", "batch");
    let world = World::before_a_window(schedule.clone());
    world.clock.advance(1);
    let window = schedule.window_at(world.clock.now()).unwrap();
    let id = schedule.grant_id(window, &world.deployment);
    let now = world.clock.now();
    let request = Request { id, ask: ask(), asked_at: now, decide_by: now.plus(60) };
    run(world.store.put_request(&request)).unwrap().unwrap();
    // The forged request is decided first: it is not the request of the schedule.
    run(world.decider.decide(id, &proof("bot ask run-1"), now)).unwrap().unwrap();
    assert_eq!(world.grant(id).entitlement.as_str(), "deploy");
    let (kind, code) = refused(world.run_schedule("night"));
    assert_eq!((kind, code.as_str()), (RefusalKind::Conflict, "window_taken"));
    assert_eq!(world.run_schedules().unwrap().unwrap().n_failed, 1, "the pass reports a failure");
    assert_eq!(world.ids(), [id]);
}

#[test]
fn forged_request_under_a_windows_id_does_not_change_the_scheduled_grant() {
    let schedule = hourly("night", "bot", "batch");
    let world = World::before_a_window(schedule.clone());
    world.clock.advance(1);
    let now = world.clock.now();
    let id = schedule.grant_id(schedule.window_at(now).unwrap(), &world.deployment);
    let ask = serde_json::from_value(json!({"entitlement": "sync", "parameters": {"version": "v9"}, "term_s": 3_600}));
    let request = Request { id, ask: ask.unwrap(), asked_at: now, decide_by: now.plus(60) };
    run(world.store.put_request(&request)).unwrap().unwrap();
    assert!(matches!(world.run_schedule("night").unwrap().unwrap(), ScheduleOutcome::Decided { allowed: true, .. }));
    assert_within_declaration(&world, &schedule, "a forged request");
    assert_eq!(world.grant(id).entitlement.as_str(), "batch");
}

#[test]
fn concurrent_evaluators_grant_a_window_once() {
    // The second evaluator makes its whole pass right before each port call of the first.
    let mut number = 1;
    loop {
        let world = Arc::new(World::before_a_window(hourly("night", "bot", "batch")));
        world.clock.advance(1);
        let (start, other) = (world.faults.n_calls(), Arc::clone(&world));
        world.faults.meanwhile(start + number, move || {
            other.run_schedules();
        });
        let pass = world.run_schedules().unwrap().unwrap();
        let raced = world.faults.n_calls() >= start + number;
        assert_eq!((world.ids().len(), pass.n_failed), (1, 0), "call {number}");
        world.assert_invariants(&format!("a second evaluator before call {number}"));
        if !raced {
            assert!(number > 3, "the second evaluator never ran during the first pass");
            return;
        }
        number += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Events in any order and number, faults at any call, and any steps of time.
    #[test]
    fn window_grants_only_what_it_declares_under_random_events(
        steps in proptest::collection::vec((0..4_u8, 0..1_500_u32, 0..12_u64, 0..8_usize), 1..40),
    ) {
        let schedule = hourly("night", "bot", "batch");
        let world = World::before_a_window(schedule.clone());
        for (n, (event, seconds, call, fault)) in steps.into_iter().enumerate() {
            world.clock.advance(seconds);
            if let Some(fault) = Fault::ALL.get(fault) {
                world.faults.plan(world.faults.n_calls().saturating_add(call), *fault);
            }
            match event {
                0 => drop(world.run_schedules()),
                1 => drop(world.run_schedule("night")),
                2 => drop(world.activate()),
                _ => drop(world.tick()),
            }
            world.faults.clear();
            assert_within_declaration(&world, &schedule, &format!("step {n}"));
            world.assert_invariants(&format!("step {n}"));
        }
        // Every open window is decided by a pass without faults.
        world.next_hour();
        let before = world.ids().len();
        prop_assert_eq!(world.run_schedules().unwrap().unwrap().n_failed, 0);
        prop_assert_eq!(world.ids().len(), before.saturating_add(1));
        assert_within_declaration(&world, &schedule, "at last");
        world.assert_all_ends("random events");
    }
}
