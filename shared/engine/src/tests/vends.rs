//! Vends that issue refuses or does not send.

use brevet_domain::grant::State;

use super::world::{CALL_S, active, approved, refused};
use crate::port::Clock;
use crate::refusal::RefusalKind;

#[test]
fn slow_second_reading_stops_a_vend_that_would_land_after_its_fence() {
    let (world, id) = active();
    let start = world.faults.n_calls();
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    let calls: Vec<_> = world.faults.calls().into_iter().skip(usize::try_from(start).unwrap()).collect();
    let commit = calls.iter().position(|call| *call == "commit").unwrap();
    let reaper_health = commit + 1 + calls.iter().skip(commit + 1).position(|call| *call == "reaper_health").unwrap();
    let n_vended = world.sts.vended().len();
    let clock = std::sync::Arc::clone(&world.clock);
    let number = world.faults.n_calls() + u64::try_from(reaper_health).unwrap() + 1;
    world.faults.meanwhile(number, move || clock.advance(CALL_S + 1));
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "too_slow");
    assert_eq!(world.sts.vended().len(), n_vended, "issue called AWS after the fence");
}

#[test]
fn vend_answers_not_started_when_its_clock_is_behind_the_evaluators() {
    let (world, id) = approved();
    let now = world.clock.now();
    world.clock.set(now.minus(1));
    let (kind, code) = refused(world.vend("bot credentials run-1", id));
    assert_eq!((kind, code.as_str()), (RefusalKind::Conflict, "not_started"));
    world.clock.set(now);
    assert!(world.vend("bot credentials run-1", id).unwrap().is_ok());
}

#[test]
fn vend_is_refused_above_the_maximum_number_of_vends() {
    let (world, id) = active();
    let mut grant = world.grant(id);
    let State::Active { vends, .. } = &mut grant.state else { panic!() };
    vends.count = 1_000;
    world.store.overwrite(grant);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "too_many_vends");
}
