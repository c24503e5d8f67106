//! The reaper's second clock: standby ticks start a pass when the schedule does not, under any fault, and otherwise
//! rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::id::GrantId;

use super::attachments::{state, submit_for};
use super::world::{TERM_S, World};
use crate::fake::{Fault, MemoryStandbyTicks, run};
use crate::port::Clock;
use crate::reap::ReaperWithStandby;

/// The values of the deployment template.
const HELD_BACK_S: u32 = 15;
const AFTER_S: u32 = 75;
const MINUTE_S: u32 = 60;
/// A standby tick comes every 15 s. The first one at which the last pass is 75 s old starts another pass.
const APART_S: u32 = 75;

/// A world and a reaper with standby ticks.
struct Bench {
    world: World,
    standby_ticks: Arc<MemoryStandbyTicks>,
    reaper: ReaperWithStandby,
    n_passes: usize,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let standby_ticks = Arc::new(MemoryStandbyTicks::new(HELD_BACK_S, Arc::clone(&world.faults)));
        let reaper = ReaperWithStandby::new(world.reaper_for(40), standby_ticks.clone(), world.clock.clone(), AFTER_S);
        Self { world, standby_ticks, reaper, n_passes: 0 }
    }

    /// Replaces the reaper, as a new process would.
    fn restart(&mut self) {
        let (reaper, clock) = (self.world.reaper_for(40), self.world.clock.clone());
        self.reaper = ReaperWithStandby::new(reaper, self.standby_ticks.clone(), clock, AFTER_S);
    }

    /// Attaches a managed policy after a tick of the schedule.
    fn active(&mut self) -> GrantId {
        self.tick();
        let id = submit_for(&self.world, "key", "sync").unwrap();
        self.world.activate();
        assert_eq!(state(&self.world, id), "Active");
        id
    }

    fn tick(&mut self) {
        let passed = run(self.reaper.scheduled()).is_some_and(|answer| answer.is_ok());
        self.n_passes = self.n_passes.saturating_add(usize::from(passed));
    }

    /// Delivers the standby ticks that are due, and redelivers them after a failure.
    fn deliver(&mut self) {
        let n = self.standby_ticks.n_due(self.world.clock.now());
        if n == 0 {
            return;
        }
        match run(self.reaper.standby_ticked()) {
            Some(Ok(tick)) => {
                self.n_passes = self.n_passes.saturating_add(usize::from(tick.is_pass));
                self.standby_ticks.acknowledge(n);
            }
            Some(Err(_)) => {}
            None => self.restart(),
        }
    }

    /// Whether a standby tick that arrives now starts a pass.
    fn starts_a_pass(&self) -> bool {
        run(self.reaper.standby_ticked()).unwrap().unwrap().is_pass
    }

    /// Lets `seconds` pass without the schedule.
    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.world.clock.advance(1);
            self.deliver();
        }
    }

    fn found_by(&self, id: GrantId) -> BTreeSet<String> {
        let entries = self.world.store.snapshot().evidence_of(id);
        let of_reap = entries.iter().filter(|entry| entry.body.by == "reap");
        of_reap.map(|entry| entry.body.detail["with"]["found_by"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn standby_tick_ends_a_grant_in_time_without_the_schedule() {
    let mut bench = Bench::new();
    let id = bench.active();
    bench.wait(TERM_S - 1);
    assert!(bench.world.can_act(id), "the grant stays active until its deadline");
    bench.wait(1 + APART_S);
    assert!(!bench.world.can_act(id));
    bench.wait(2 * APART_S);
    assert_eq!(state(&bench.world, id), "Ended");
    assert_eq!(bench.found_by(id), BTreeSet::from(["standby_tick".to_owned()]));
}

#[test]
fn managed_grant_outlasts_its_deadline_without_schedule_and_standby_ticks() {
    let mut bench = Bench::new();
    let id = bench.active();
    bench.world.clock.advance(TERM_S + 3_600);
    assert!(bench.world.can_act(id));
}

#[test]
fn standby_tick_starts_no_pass_while_the_schedule_runs() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.tick();
        bench.wait(MINUTE_S);
    }
    assert_eq!(bench.n_passes, 20);
    // Without the schedule, the passes are one standby delay apart.
    bench.wait(10 * APART_S);
    assert_eq!(bench.n_passes, 30);
}

#[test]
fn known_due_grant_ends_at_the_next_standby_tick() {
    let mut bench = Bench::new();
    let id = bench.active();
    bench.wait(TERM_S - 5);
    // This tick finds the grant active. The next one is a minute away.
    bench.tick();
    let n_passes = bench.n_passes;
    bench.wait(5 + 3 * HELD_BACK_S);
    assert_eq!((state(&bench.world, id), bench.n_passes), ("Ended", n_passes), "two absences were read in between");
}

#[test]
fn standby_ticks_continue_after_any_fault() {
    for fault in Fault::ALL {
        let mut bench = Bench::new();
        bench.tick();
        bench.world.faults.plan_next("put_standby_tick", fault);
        bench.wait(APART_S + 5);
        if matches!(fault, Fault::Conflict | Fault::LandsLate(_) | Fault::StaleRead) {
            assert_eq!(bench.world.faults.fired(), [], "{fault:?}: a write of one item cannot have this fault");
            continue;
        }
        assert_eq!(bench.world.faults.fired().len(), 1, "{fault:?}");
        let before = bench.n_passes;
        bench.wait(5 * APART_S);
        assert!(bench.n_passes >= before + 5, "{fault:?}: {} after {before}", bench.n_passes);
    }
}

#[test]
fn standby_tick_event_fails_when_the_next_tick_cannot_be_stored() {
    let mut bench = Bench::new();
    bench.tick();
    bench.world.clock.advance(AFTER_S);
    bench.world.faults.plan_next("put_standby_tick", Fault::Refused);
    assert!(
        run(bench.reaper.standby_ticked()).unwrap().is_err(),
        "without a redelivery it would be the last standby tick"
    );
    assert_eq!(bench.world.faults.fired().len(), 1);
    // The pass was still made: it does not wait for the standby tick.
    assert!(!bench.starts_a_pass());
}

#[test]
fn scheduled_pass_is_made_when_no_standby_tick_can_be_stored() {
    let bench = Bench::new();
    bench.world.faults.plan_next("put_standby_tick", Fault::Throttled);
    assert!(run(bench.reaper.scheduled()).unwrap().unwrap().good);
    assert_eq!(bench.world.faults.fired().len(), 1);
}

#[test]
fn standby_tick_starts_a_pass_in_a_new_process_and_after_a_clock_step_back() {
    let mut bench = Bench::new();
    bench.tick();
    assert!(!bench.starts_a_pass());
    bench.restart();
    assert!(bench.starts_a_pass());
    assert!(!bench.starts_a_pass());
    let now = bench.world.clock.now();
    bench.world.clock.set(now.minus(3_600));
    assert!(bench.starts_a_pass());
}
