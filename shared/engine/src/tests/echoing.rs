//! The reaper's second clock: echoes call it where the schedule does not, whatever fails, and rest where it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use brevet_domain::id::GrantId;

use super::attaching::{state, submit_for};
use super::world::{TERM_S, World};
use crate::fake::{Fault, MemoryEchoes, run};
use crate::port::Clock;
use crate::reap::EchoingReaper;

/// As the template has them.
const HELD_BACK_S: u32 = 15;
const AFTER_S: u32 = 75;
const MINUTE_S: u32 = 60;
/// Echoes come every quarter of a minute, and the first one at which the last pass is 75 s old calls for another.
const APART_S: u32 = 75;

/// A world with a reaper that hears its echoes.
struct Yard {
    world: World,
    echoes: Arc<MemoryEchoes>,
    reaper: EchoingReaper,
    n_passes: usize,
}

impl Yard {
    fn new() -> Self {
        let world = World::new();
        let echoes = Arc::new(MemoryEchoes::new(HELD_BACK_S, Arc::clone(&world.faults)));
        let reaper = EchoingReaper::new(world.reaper_for(40), echoes.clone(), world.clock.clone(), AFTER_S);
        Self { world, echoes, reaper, n_passes: 0 }
    }

    /// Another process goes on.
    fn restart(&mut self) {
        let (reaper, clock) = (self.world.reaper_for(40), self.world.clock.clone());
        self.reaper = EchoingReaper::new(reaper, self.echoes.clone(), clock, AFTER_S);
    }

    /// A managed policy is attached after a tick of the schedule.
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

    /// The stream gives back what is due; again and again, where that fails.
    fn hear(&mut self) {
        let n = self.echoes.n_back(self.world.clock.now());
        if n == 0 {
            return;
        }
        match run(self.reaper.echoed()) {
            Some(Ok(heard)) => {
                self.n_passes = self.n_passes.saturating_add(usize::from(heard.is_pass));
                self.echoes.heard(n);
            }
            Some(Err(_)) => {}
            None => self.restart(),
        }
    }

    /// Whether an echo that comes back now does.
    fn calls_for_a_pass(&self) -> bool {
        run(self.reaper.echoed()).unwrap().unwrap().is_pass
    }

    /// Time goes by, with no schedule.
    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.world.clock.advance(1);
            self.hear();
        }
    }

    fn found_by(&self, id: GrantId) -> BTreeSet<String> {
        let entries = self.world.store.snapshot().evidence_of(id);
        let of_reap = entries.iter().filter(|entry| entry.body.by == "reap");
        of_reap.map(|entry| entry.body.detail["with"]["found_by"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn what_no_schedule_ends_an_echo_does_in_time() {
    let mut yard = Yard::new();
    let id = yard.active();
    yard.wait(TERM_S - 1);
    assert!(yard.world.can_act(id), "nothing ends it before its deadline");
    yard.wait(1 + APART_S);
    assert!(!yard.world.can_act(id));
    yard.wait(2 * APART_S);
    assert_eq!(state(&yard.world, id), "Ended");
    assert_eq!(yard.found_by(id), BTreeSet::from(["echo".to_owned()]));
}

#[test]
fn without_echoes_it_lasts_as_long_as_the_schedule_stands_still() {
    let mut yard = Yard::new();
    let id = yard.active();
    yard.world.clock.advance(TERM_S + 3_600);
    assert!(yard.world.can_act(id));
}

#[test]
fn while_the_schedule_comes_an_echo_calls_for_no_pass() {
    let mut yard = Yard::new();
    for _ in 0..20 {
        yard.tick();
        yard.wait(MINUTE_S);
    }
    assert_eq!(yard.n_passes, 20);
    // And from then on each is as far from the one before as an echo is late.
    yard.wait(10 * APART_S);
    assert_eq!(yard.n_passes, 30);
}

#[test]
fn what_is_known_to_be_due_waits_for_the_next_echo_and_not_for_the_next_tick() {
    let mut yard = Yard::new();
    let id = yard.active();
    yard.wait(TERM_S - 5);
    // The tick sees it live; and the next one is a minute away.
    yard.tick();
    let n_passes = yard.n_passes;
    yard.wait(5 + 3 * HELD_BACK_S);
    assert_eq!((state(&yard.world, id), yard.n_passes), ("Ended", n_passes), "its absence was seen twice in between");
}

#[test]
fn an_echo_goes_on_whatever_becomes_of_it() {
    for fault in Fault::ALL {
        let mut yard = Yard::new();
        yard.tick();
        yard.world.faults.plan_next("leave_echo", fault);
        yard.wait(APART_S + 5);
        if matches!(fault, Fault::Conflict | Fault::LandsLate(_) | Fault::StaleRead) {
            assert_eq!(yard.world.faults.fired(), [], "{fault:?}: no write of one item has it");
            continue;
        }
        assert_eq!(yard.world.faults.fired().len(), 1, "{fault:?}");
        let before = yard.n_passes;
        yard.wait(5 * APART_S);
        assert!(yard.n_passes >= before + 5, "{fault:?}: {} after {before}", yard.n_passes);
    }
}

#[test]
fn an_echo_that_could_not_be_left_fails_its_event() {
    let mut yard = Yard::new();
    yard.tick();
    yard.world.clock.advance(AFTER_S);
    yard.world.faults.plan_next("leave_echo", Fault::Refused);
    assert!(run(yard.reaper.echoed()).unwrap().is_err(), "or it would have been the last");
    assert_eq!(yard.world.faults.fired().len(), 1);
    // The pass was made all the same: nothing waits for an echo.
    assert!(!yard.calls_for_a_pass());
}

#[test]
fn a_tick_that_leaves_no_echo_is_made_all_the_same() {
    let yard = Yard::new();
    yard.world.faults.plan_next("leave_echo", Fault::Throttled);
    assert!(run(yard.reaper.scheduled()).unwrap().unwrap().good);
    assert_eq!(yard.world.faults.fired().len(), 1);
}

#[test]
fn a_process_that_knows_of_no_pass_makes_one_and_so_does_one_whose_clock_was_put_back() {
    let mut yard = Yard::new();
    yard.tick();
    assert!(!yard.calls_for_a_pass());
    yard.restart();
    assert!(yard.calls_for_a_pass());
    assert!(!yard.calls_for_a_pass());
    let now = yard.world.clock.now();
    yard.world.clock.set(now.minus(3_600));
    assert!(yard.calls_for_a_pass());
}
