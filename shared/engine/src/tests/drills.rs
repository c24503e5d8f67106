//! The expiry drill passes when access ends, fails when it does not, and stops all issuing while it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::canonical::Digest;
use brevet_domain::drill::{Drill, Drilled, Fault as Failure, Rules, RunStage};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::time::{Term, Timestamp};

use super::break_glass::{prepare_with, rescue};
use super::world::{ISSUANCE_POLICY, SKEW_S, World, ask_for, entitlement, id_of};
use crate::drill::{DrillPlan, DrillReport, Driller, Ports};
use crate::fake::{Fault, Faults, ManualClock, MemoryCanary, MemoryStore, SeqIds, run};
use crate::port::{DrillReader, GrantReader};
use crate::reap::{Drills, Reaper};
use crate::refusal::RefusalKind;

const TERM_S: u32 = 300;
const PERIOD_S: u32 = 900;
const MAX_AGE_S: u32 = 3_600;
const MINUTE_S: u32 = 60;
/// Ticks of the longest drill run.
const RUN: u32 = 12;

/// The driller, its ports and its canary.
struct Bench {
    faults: Arc<Faults>,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    canary: Arc<MemoryCanary>,
    ids: Arc<SeqIds>,
    driller: Driller,
}

impl Bench {
    fn new() -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_348_800)));
        Self::over(faults.clone(), clock, Arc::new(MemoryStore::new(faults)))
    }

    /// A bench over a store that a [`World`] shares.
    fn over(faults: Arc<Faults>, clock: Arc<ManualClock>, store: Arc<MemoryStore>) -> Self {
        let canary = Arc::new(MemoryCanary::new(clock.clone(), faults.clone()));
        let ids = Arc::new(SeqIds::new());
        let driller = driller((&store, &canary), &clock, &ids);
        Self { faults, clock, store, canary, ids, driller }
    }

    /// Replaces the driller, as a new process would.
    fn restart(&mut self) {
        self.driller = driller((&self.store, &self.canary), &self.clock, &self.ids);
    }

    /// Ticks `times` times and returns the last report. `None` if that tick crashed.
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
        self.chain(drilled).iter().map(|record| record.stage.name()).collect()
    }

    /// Asserts that each record links to the one before, and that each passed run saw denied, allowed, denied.
    fn assert_recorded(&self, context: &str) {
        for drilled in Drilled::ALL {
            let mut prev = Digest::ZERO;
            for (seq, record) in (1..).zip(self.chain(drilled)) {
                assert_eq!((record.seq, record.prev), (seq, prev), "{context}: {drilled}");
                prev = Digest::of(&record).unwrap();
                if let RunStage::Passed { before, deadline, during, after, .. } = &record.stage {
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
    let plan = DrillPlan {
        entitlements: BTreeMap::from(Drilled::ALL.map(named)),
        term: Term::from_seconds(i64::from(TERM_S)).unwrap(),
        rules: Rules { term_s: TERM_S, period_s: PERIOD_S, skew_s: SKEW_S, lasts_s: 0 },
        overdue_s: ISSUANCE_POLICY.overdue_s,
        max_age_s: MAX_AGE_S,
    };
    Driller::new(ports, plan)
}

const STAGES: [&str; 6] = ["begun", "barred", "asked", "live", "used", "passed"];

#[test]
fn drill_passes_once_a_period_for_each_delivery_and_records_every_stage() {
    let bench = Bench::new();
    let first = bench.tick(1).unwrap();
    assert_eq!((first.n_unproved, first.n_problems), (3, 0));
    let report = bench.tick(RUN).unwrap();
    assert_eq!((report.n_unproved, report.n_problems), (0, 0));
    assert_eq!(report.stages, Drilled::ALL.map(|drilled| (drilled, "passed")).into());
    for drilled in Drilled::ALL {
        assert_eq!(bench.stages(drilled), STAGES, "{drilled}");
    }
    bench.assert_recorded("a run");
    bench.tick(2 * PERIOD_S / MINUTE_S);
    assert_eq!(bench.canary.n_grants(), 9);
}

#[test]
fn drill_fails_until_access_ends() {
    for drilled in Drilled::ALL {
        let bench = Bench::new();
        bench.canary.outlives(drilled, None);
        bench.tick(RUN);
        let failed = bench.chain(drilled).into_iter().find(|record| record.failing_since.is_some()).unwrap();
        assert!(
            matches!(failed.stage, RunStage::Failed { fault: Failure::AllowedAfter, .. }),
            "{drilled}: {:?}",
            failed.stage
        );
        // Access left on a principal is also seen before the next grant.
        let report = bench.tick(3).unwrap();
        assert_eq!(report.n_unproved, 1, "{drilled}");
        if drilled != Drilled::Session {
            let again = bench.chain(drilled).pop().unwrap().stage;
            assert!(matches!(again, RunStage::Failed { fault: Failure::AllowedBefore, .. }), "{again:?}");
        }
        bench.canary.outlives(drilled, Some(0));
        let report = bench.tick(2 * RUN).unwrap();
        assert_eq!(report.n_unproved, 0, "{drilled}");
        bench.assert_recorded("red and green");
    }
}

#[test]
fn drill_tolerates_late_access_only_for_managed_and_until_the_reaper_is_due() {
    for drilled in Drilled::ALL {
        for (lasts_s, passes) in
            [(ISSUANCE_POLICY.overdue_s / 2, drilled == Drilled::Managed), (ISSUANCE_POLICY.overdue_s * 2, false)]
        {
            let bench = Bench::new();
            bench.canary.outlives(drilled, Some(lasts_s));
            bench.tick(RUN);
            assert_eq!(bench.stages(drilled).contains(&"failed"), !passes, "{drilled}, {lasts_s} s");
        }
    }
}

#[test]
fn drill_without_credentials_fetches_new_ones_or_abandons_the_run_without_failing() {
    // The process restarts at every tick before the deadline, then after it.
    let mut bench = Bench::new();
    bench.tick(1);
    for _ in 0..4 {
        bench.restart();
        bench.tick(1);
    }
    assert_eq!(bench.stages(Drilled::Session)[..6], ["begun", "barred", "asked", "live", "used", "live"]);
    bench.tick(2);
    assert_eq!(bench.stages(Drilled::Session).last(), Some(&"passed"));
    let mut bench = Bench::new();
    bench.tick(5);
    bench.clock.advance(MINUTE_S);
    bench.restart();
    bench.tick(1);
    let stages = bench.stages(Drilled::Session);
    assert!(stages.contains(&"lost") && !stages.contains(&"failed"), "{stages:?}");
    bench.tick(RUN);
    assert_eq!(bench.stages(Drilled::Session).last(), Some(&"passed"));
    bench.assert_recorded("restarted");
}

#[test]
fn drill_neither_fails_nor_passes_unseen_under_any_single_fault() {
    let clean = Bench::new();
    clean.tick(RUN);
    let n_calls = clean.faults.n_calls();
    let mut fired = 0_usize;
    for number in 1..=n_calls {
        for fault in Fault::ALL {
            let context = format!("call {number} with {fault:?}");
            let bench = Bench::new();
            bench.faults.plan(number, fault);
            bench.tick(RUN + 2);
            bench.assert_recorded(&context);
            for drilled in Drilled::ALL {
                let stages = bench.stages(drilled);
                assert_eq!(stages.last(), Some(&"passed"), "{context}: {drilled}: {stages:?}");
                assert!(!stages.contains(&"failed"), "{context}: {drilled}: {stages:?}");
            }
            let hit = bench.faults.fired();
            if let Some(first) = hit.first() {
                assert_eq!((first.number, first.fault), (number, fault), "{context}: another fault fired");
                fired = fired.saturating_add(1);
                // A retry of a lost call asks for the same grant.
                assert_eq!(bench.canary.n_grants(), 3, "{context}");
            }
        }
    }
    // Six kinds of fault apply to every call. If fewer fired, the runs would prove nothing.
    assert!(fired >= usize::try_from(n_calls.saturating_mul(6)).unwrap(), "only {fired} fired at {n_calls} calls");
    println!("drill: {n_calls} port calls, {fired} single-fault runs");
}

/// A world with the entitlement `canary-session`, and a reaper that requires its drill to pass.
fn drilled_world() -> (World, Reaper, Bench) {
    let world = World::new();
    let canary = Entitlement { id: "canary-session".parse().unwrap(), canary: true, ..entitlement() };
    prepare_with(&world, canary);
    let drills = Drills { reader: world.store.clone(), required: vec![Drilled::Session], max_age_s: MAX_AGE_S };
    let reaper = world.reaper_with(drills);
    let bench = Bench::over(world.faults.clone(), world.clock.clone(), world.store.clone());
    (world, reaper, bench)
}

fn reaper_health(world: &World) -> ReaperHealth {
    run(world.store.reaper_health()).unwrap().unwrap().unwrap()
}

fn code_of(world: &World, caller: &str, entitlement: &str, key: &str) -> String {
    let id = id_of(world.submit_ask(&format!("{caller} ask run-1"), key, ask_for(entitlement)));
    match world.vend(&format!("{caller} credentials run-1"), id).unwrap() {
        Ok(_) => "issued".to_owned(),
        Err(refusal) => {
            assert_eq!((refusal.kind, refusal.retry_after_s), (RefusalKind::Stopped, Some(60)), "{refusal:?}");
            refusal.code.into_owned()
        }
    }
}

#[test]
fn unproved_drill_stops_all_but_canaries_and_issuing_resumes_by_itself() {
    let (world, reaper, bench) = drilled_world();
    let pass = || run(reaper.pass()).unwrap().unwrap();
    let both = |key: &str| -> (String, String) {
        let canary = code_of(&world, "bot", "canary-session", &format!("canary-{key}"));
        (code_of(&world, "bot", "deploy", key), canary)
    };
    let codes = |ordinary: &str, canary: &str| (ordinary.to_owned(), canary.to_owned());
    // The drill has never passed.
    let report = pass();
    assert_eq!((report.good, report.n_unproved, report.is_stopped), (true, 1, true));
    let since = reaper_health(&world).drills[0].since;
    assert_eq!(both("never"), codes("drill_failed", "issued"));
    world.clock.advance(30);
    pass();
    assert_eq!(reaper_health(&world).drills[0].since, since, "a repeated finding keeps its first instant");
    bench.tick(RUN);
    let report = pass();
    assert_eq!((report.n_unproved, report.is_stopped), (0, false));
    assert_eq!(both("passed"), codes("issued", "issued"));
    // The drill fails.
    bench.canary.outlives(Drilled::Session, None);
    bench.tick(PERIOD_S / MINUTE_S + RUN);
    pass();
    assert_eq!(both("failed"), codes("drill_failed", "issued"));
    // The drill passes again.
    bench.canary.outlives(Drilled::Session, Some(0));
    bench.tick(2 * RUN);
    pass();
    assert_eq!(both("again"), codes("issued", "issued"));
    // The drill is overdue.
    world.clock.advance(MAX_AGE_S);
    pass();
    assert_eq!(both("late"), codes("drill_failed", "issued"));
    // A silent reaper stops canaries too.
    world.clock.advance(ISSUANCE_POLICY.max_age_s + 1);
    assert_eq!(both("silent"), codes("heartbeat_missing", "heartbeat_missing"));
}

#[test]
fn failed_drill_stops_break_glass_unless_the_entitlement_permits_it() {
    for (while_overdue, expected) in [(false, "drill_failed"), (true, "issued")] {
        let (world, reaper, _) = drilled_world();
        prepare_with(&world, rescue("lea", while_overdue));
        run(reaper.pass()).unwrap().unwrap();
        assert_eq!(code_of(&world, "omar", "rescue", "key"), expected);
    }
}

#[test]
fn pass_fails_when_a_required_drill_is_unreadable_and_reads_no_other_drill() {
    let (world, reaper, _) = drilled_world();
    world.faults.plan_next("last_drill", Fault::Refused);
    assert!(run(reaper.pass()).unwrap().is_err());
    assert_eq!(run(world.store.reaper_health()).unwrap().unwrap(), None);
    world.tick().unwrap().unwrap();
    assert_eq!(world.faults.calls().iter().filter(|call| **call == "last_drill").count(), 1);
    assert_eq!(run(world.store.last_drill(Drilled::Session)).unwrap().unwrap(), None);
}
