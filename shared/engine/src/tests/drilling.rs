//! The expiry drill: it passes where access ends, turns red where it does not, and stops all issuing meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::canonical::Digest;
use brevet_domain::drill::{Drill, Drilled, Fault as Failure, Rules, Stage};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::heart::Heart;
use brevet_domain::time::{Term, Timestamp};

use super::break_glass::{prepare_with, rescue};
use super::world::{SKEW_S, TOLERANCE, World, ask_for, entitlement, id_of};
use crate::drill::{Course, DrillReport, Driller, Ports};
use crate::fake::{Fault, Faults, ManualClock, MemoryCanary, MemoryStore, SeqIds, run};
use crate::port::{DrillReader, GrantReader};
use crate::reap::{Drills, Reaper};
use crate::refusal::RefusalKind;

const TERM_S: u32 = 300;
const PERIOD_S: u32 = 900;
const MAX_AGE_S: u32 = 3_600;
const MINUTE_S: u32 = 60;
/// A run of the one that takes longest, in ticks.
const RUN: u32 = 12;

/// The drill, and what it sees.
struct Yard {
    faults: Arc<Faults>,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    canary: Arc<MemoryCanary>,
    ids: Arc<SeqIds>,
    driller: Driller,
}

impl Yard {
    fn new() -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_348_800)));
        Self::over(faults.clone(), clock, Arc::new(MemoryStore::new(faults)))
    }

    /// The same over a store that others use too.
    fn over(faults: Arc<Faults>, clock: Arc<ManualClock>, store: Arc<MemoryStore>) -> Self {
        let canary = Arc::new(MemoryCanary::new(clock.clone(), faults.clone()));
        let ids = Arc::new(SeqIds::new());
        let driller = driller((&store, &canary), &clock, &ids);
        Self { faults, clock, store, canary, ids, driller }
    }

    /// Another process goes on.
    fn restart(&mut self) {
        self.driller = driller((&self.store, &self.canary), &self.clock, &self.ids);
    }

    /// Ticks so many times; what the last one reports, if none died.
    fn tick(&self, times: u32) -> Option<DrillReport> {
        let mut last = None;
        for _ in 0..times {
            last = run(self.driller.tick());
            self.clock.advance(MINUTE_S);
        }
        last
    }

    fn chain(&self, drilled: Drilled) -> Vec<Drill> {
        self.store.snapshot().drills(drilled).cloned().collect()
    }

    fn stages(&self, drilled: Drilled) -> Vec<&'static str> {
        self.chain(drilled).iter().map(|one| one.stage.name()).collect()
    }

    /// Each record follows on the one before, and no run passed that was not seen to be denied, allowed and denied.
    fn assert_told(&self, context: &str) {
        for drilled in Drilled::ALL {
            let mut prev = Digest::ZERO;
            for (seq, record) in (1..).zip(self.chain(drilled)) {
                assert_eq!((record.seq, record.prev), (seq, prev), "{context}: {drilled}");
                prev = Digest::of(&record).unwrap();
                if let Stage::Passed { before, deadline, during, after, .. } = &record.stage {
                    let at = [before.at, during.at, *deadline, after.at];
                    assert!(at.is_sorted() && during.at < *deadline && *deadline < after.at, "{context}: {record:?}");
                }
                let text = serde_json::to_string(&record).unwrap();
                assert!(!text.contains("secret") && !text.contains("token"), "{context}: invariant 6: {text}");
            }
        }
    }
}

fn driller(
    (store, canary): (&Arc<MemoryStore>, &Arc<MemoryCanary>),
    clock: &Arc<ManualClock>,
    ids: &Arc<SeqIds>,
) -> Driller {
    let ports = Ports {
        store: store.clone(),
        grants: canary.clone(),
        canary: canary.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
    };
    let named = |drilled: Drilled| (drilled, format!("canary-{drilled}").parse().unwrap());
    let course = Course {
        entitlements: BTreeMap::from(Drilled::ALL.map(named)),
        term: Term::from_seconds(i64::from(TERM_S)).unwrap(),
        rules: Rules { term_s: TERM_S, period_s: PERIOD_S, skew_s: SKEW_S, lasts_s: 0 },
        overdue_s: TOLERANCE.overdue_s,
        max_age_s: MAX_AGE_S,
    };
    Driller::new(ports, course)
}

const WAY: [&str; 6] = ["begun", "barred", "asked", "live", "used", "passed"];

#[test]
fn each_delivery_passes_once_a_period_and_its_records_tell_the_whole_way() {
    let yard = Yard::new();
    let first = yard.tick(1).unwrap();
    assert_eq!((first.n_unproved, first.n_problems), (3, 0));
    let report = yard.tick(RUN).unwrap();
    assert_eq!((report.n_unproved, report.n_problems), (0, 0));
    assert_eq!(report.stages, Drilled::ALL.map(|drilled| (drilled, "passed")).into());
    for drilled in Drilled::ALL {
        assert_eq!(yard.stages(drilled), WAY, "{drilled}");
    }
    yard.assert_told("a run");
    yard.tick(2 * PERIOD_S / MINUTE_S);
    assert_eq!(yard.canary.n_grants(), 9);
}

#[test]
fn where_access_does_not_end_it_fails_until_it_does() {
    for drilled in Drilled::ALL {
        let yard = Yard::new();
        yard.canary.outlives(drilled, None);
        yard.tick(RUN);
        let failed = yard.chain(drilled).into_iter().find(|one| one.failing_since.is_some()).unwrap();
        assert!(
            matches!(failed.stage, Stage::Failed { fault: Failure::AllowedAfter, .. }),
            "{drilled}: {:?}",
            failed.stage
        );
        // What stands on a principal is seen before the next grant, too.
        let report = yard.tick(3).unwrap();
        assert_eq!(report.n_unproved, 1, "{drilled}");
        if drilled != Drilled::Session {
            let again = yard.chain(drilled).pop().unwrap().stage;
            assert!(matches!(again, Stage::Failed { fault: Failure::AllowedBefore, .. }), "{again:?}");
        }
        yard.canary.outlives(drilled, Some(0));
        let report = yard.tick(2 * RUN).unwrap();
        assert_eq!(report.n_unproved, 0, "{drilled}");
        yard.assert_told("red and green");
    }
}

#[test]
fn a_managed_policy_may_last_until_the_reaper_must_have_come_and_nothing_else_may() {
    for drilled in Drilled::ALL {
        for (lasts_s, passes) in
            [(TOLERANCE.overdue_s / 2, drilled == Drilled::Managed), (TOLERANCE.overdue_s * 2, false)]
        {
            let yard = Yard::new();
            yard.canary.outlives(drilled, Some(lasts_s));
            yard.tick(RUN);
            assert_eq!(yard.stages(drilled).contains(&"failed"), !passes, "{drilled}, {lasts_s} s");
        }
    }
}

#[test]
fn a_process_that_has_lost_credentials_fetches_others_or_gives_the_run_up_and_neither_is_a_failure() {
    // Before the deadline, at every tick; then after it.
    let mut yard = Yard::new();
    yard.tick(1);
    for _ in 0..4 {
        yard.restart();
        yard.tick(1);
    }
    assert_eq!(yard.stages(Drilled::Session)[..6], ["begun", "barred", "asked", "live", "used", "live"]);
    yard.tick(2);
    assert_eq!(yard.stages(Drilled::Session).last(), Some(&"passed"));
    let mut yard = Yard::new();
    yard.tick(5);
    yard.clock.advance(MINUTE_S);
    yard.restart();
    yard.tick(1);
    let stages = yard.stages(Drilled::Session);
    assert!(stages.contains(&"lost") && !stages.contains(&"failed"), "{stages:?}");
    yard.tick(RUN);
    assert_eq!(yard.stages(Drilled::Session).last(), Some(&"passed"));
    yard.assert_told("restarted");
}

#[test]
fn no_single_fault_makes_a_drill_fail_or_pass_without_having_seen_it() {
    let clean = Yard::new();
    clean.tick(RUN);
    let n_calls = clean.faults.n_calls();
    let mut fired = 0_usize;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("call {number} with {fault:?}");
            let yard = Yard::new();
            yard.faults.plan(number, fault);
            yard.tick(RUN + 2);
            yard.assert_told(&context);
            for drilled in Drilled::ALL {
                let stages = yard.stages(drilled);
                assert_eq!(stages.last(), Some(&"passed"), "{context}: {drilled}: {stages:?}");
                assert!(!stages.contains(&"failed"), "{context}: {drilled}: {stages:?}");
            }
            let hit = yard.faults.fired();
            if let Some(first) = hit.first() {
                assert_eq!((first.number, first.fault), (number, fault), "{context}: another fault fired");
                fired = fired.saturating_add(1);
                // A retry of what may have been done asks for the same grant.
                assert_eq!(yard.canary.n_grants(), 3, "{context}");
            }
        }
    }
    // Six kinds can befall every call: had fewer fired, the runs would prove nothing.
    assert!(fired >= usize::try_from(n_calls.saturating_mul(6)).unwrap(), "only {fired} fired at {n_calls} calls");
    println!("drill: {n_calls} port calls, {fired} single-fault runs");
}

/// A world in which `canary-session` may be asked for, with a reaper that wants its drill to pass.
fn drilled_world() -> (World, Reaper, Yard) {
    let world = World::new();
    let canary = Entitlement { id: "canary-session".parse().unwrap(), canary: true, ..entitlement() };
    prepare_with(&world, canary);
    let drills = Drills { reader: world.store.clone(), wanted: vec![Drilled::Session], max_age_s: MAX_AGE_S };
    let reaper = world.reaper_with(drills);
    let yard = Yard::over(world.faults.clone(), world.clock.clone(), world.store.clone());
    (world, reaper, yard)
}

fn heart(world: &World) -> Heart {
    run(world.store.heart()).unwrap().unwrap().unwrap()
}

fn code_of(world: &World, who: &str, what: &str, key: &str) -> String {
    let id = id_of(world.submit_ask(&format!("{who} ask run-1"), key, ask_for(what)));
    match world.vend(&format!("{who} credentials run-1"), id).unwrap() {
        Ok(_) => "issued".to_owned(),
        Err(refusal) => {
            assert_eq!((refusal.kind, refusal.retry_after_s), (RefusalKind::Stopped, Some(60)), "{refusal:?}");
            refusal.code.into_owned()
        }
    }
}

#[test]
fn while_a_drill_shows_nothing_nothing_but_canaries_is_issued_and_all_goes_on_by_itself() {
    let (world, reaper, yard) = drilled_world();
    let pass = || run(reaper.pass()).unwrap().unwrap();
    let both = |key: &str| -> (String, String) {
        let canary = code_of(&world, "bot", "canary-session", &format!("canary-{key}"));
        (code_of(&world, "bot", "deploy", key), canary)
    };
    let told = |ordinary: &str, canary: &str| (ordinary.to_owned(), canary.to_owned());
    // It never passed.
    let report = pass();
    assert_eq!((report.good, report.n_unproved, report.is_stopped), (true, 1, true));
    let since = heart(&world).drills[0].since;
    assert_eq!(both("never"), told("drill_failed", "issued"));
    world.clock.advance(30);
    pass();
    assert_eq!(heart(&world).drills[0].since, since, "what was told keeps its instant");
    yard.tick(RUN);
    let report = pass();
    assert_eq!((report.n_unproved, report.is_stopped), (0, false));
    assert_eq!(both("passed"), told("issued", "issued"));
    // It fails.
    yard.canary.outlives(Drilled::Session, None);
    yard.tick(PERIOD_S / MINUTE_S + RUN);
    pass();
    assert_eq!(both("failed"), told("drill_failed", "issued"));
    // It passes again.
    yard.canary.outlives(Drilled::Session, Some(0));
    yard.tick(2 * RUN);
    pass();
    assert_eq!(both("again"), told("issued", "issued"));
    // It is not made any more.
    world.clock.advance(MAX_AGE_S);
    pass();
    assert_eq!(both("late"), told("drill_failed", "issued"));
    // The reaper's own silence stops canaries too.
    world.clock.advance(TOLERANCE.max_age_s + 1);
    assert_eq!(both("silent"), told("heart_stopped", "heart_stopped"));
}

#[test]
fn break_glass_is_stopped_by_a_drill_unless_it_says_otherwise() {
    for (while_overdue, expected) in [(false, "drill_failed"), (true, "issued")] {
        let (world, reaper, _) = drilled_world();
        prepare_with(&world, rescue("lea", while_overdue));
        run(reaper.pass()).unwrap().unwrap();
        assert_eq!(code_of(&world, "omar", "rescue", "key"), expected);
    }
}

#[test]
fn a_pass_that_cannot_read_a_drill_does_not_count_and_where_nothing_is_wanted_none_is_read() {
    let (world, reaper, _) = drilled_world();
    world.faults.plan_next("last_drill", Fault::Refused);
    assert!(run(reaper.pass()).unwrap().is_err());
    assert_eq!(run(world.store.heart()).unwrap().unwrap(), None);
    world.tick().unwrap().unwrap();
    assert_eq!(world.faults.calls().iter().filter(|call| **call == "last_drill").count(), 1);
    assert_eq!(run(world.store.last_drill(Drilled::Session)).unwrap().unwrap(), None);
}
