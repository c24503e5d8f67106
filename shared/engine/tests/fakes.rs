//! The fault plan injects what it promises. A fake that only pretended to fail would let every simulation pass.

#![expect(clippy::unwrap_used, reason = "this is test code")]

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{DueRole, EndCause};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{Fault, Faults, Fired, ManualClock, MemoryRoles, MemoryStore, SeqIds, run};
use brevet_engine::port::{
    DueList, GrantReader, IdSource, Mark, PortError, PortResult, ReaperHealthStore, RequestStore, SessionRoles,
    shard_of,
};

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

/// Records a heartbeat with `fault`. Returns the answer, whether the heartbeat was stored, and the faults that fired.
fn record_heartbeat(fault: Fault) -> (Option<PortResult<()>>, bool, Vec<Fired>) {
    let faults = Arc::new(Faults::at(2, fault));
    let store = MemoryStore::new(faults.clone());
    assert_eq!(run(store.reaper_health()).unwrap().unwrap(), None);
    let answer = run(store.record_heartbeat(&ReaperHealth::first(at(0)), None));
    let is_stored = run(store.reaper_health()).unwrap().unwrap().is_some();
    assert_eq!(faults.calls(), ["reaper_health", "record_heartbeat", "reaper_health"]);
    (answer, is_stored, faults.fired())
}

#[test]
fn fault_has_its_effect_and_is_recorded_as_fired() {
    for fault in [Fault::NotSent, Fault::Throttled, Fault::Contended] {
        let (answer, is_stored, fired) = record_heartbeat(fault);
        assert!(matches!(answer, Some(Err(PortError::NotDone { .. }))), "{fault:?}: {answer:?}");
        assert!(!is_stored);
        assert_eq!(fired, [Fired { number: 2, call: "record_heartbeat", fault }]);
    }
    let (answer, is_stored, fired) = record_heartbeat(Fault::Refused);
    assert!(matches!(answer, Some(Err(PortError::Refused { .. }))), "{answer:?}");
    assert_eq!((is_stored, fired.len()), (false, 1));
    for (fault, is_done) in [(Fault::AnswerLost, true), (Fault::RequestLost, false)] {
        let (answer, is_stored, fired) = record_heartbeat(fault);
        assert!(matches!(answer, Some(Err(PortError::Unknown { .. }))), "{fault:?}: {answer:?}");
        assert_eq!((is_stored, fired.len()), (is_done, 1), "{fault:?}");
    }
    let (answer, is_stored, fired) = record_heartbeat(Fault::CrashAfter);
    assert!(answer.is_none(), "a crashed caller gets no answer");
    assert_eq!((is_stored, fired.len()), (true, 1));
}

#[test]
fn fault_that_a_call_cannot_have_does_not_fire() {
    for fault in [Fault::LandsLate(5), Fault::StaleRead] {
        let (answer, is_stored, fired) = record_heartbeat(fault);
        assert!(matches!(answer, Some(Ok(()))), "{fault:?}: {answer:?}");
        assert_eq!((is_stored, fired.len()), (true, 0), "{fault:?}");
    }
}

#[test]
fn late_landing_write_overwrites_a_later_call() {
    let faults = Arc::new(Faults::none());
    let clock = Arc::new(ManualClock::at(at(0)));
    let roles = MemoryRoles::new(clock.clone(), faults.clone());
    faults.plan_next("put_deny", Fault::LandsLate(5));
    let late = run(roles.put_deny("role", "policy", "late")).unwrap();
    assert!(matches!(late, Err(PortError::Unknown { .. })), "{late:?}");
    run(roles.put_deny("role", "policy", "later")).unwrap().unwrap();
    clock.advance(4);
    assert_eq!(run(roles.read_deny("role", "policy")).unwrap().unwrap().document.as_deref(), Some("later"));
    clock.advance(1);
    assert_eq!(run(roles.read_deny("role", "policy")).unwrap().unwrap().document.as_deref(), Some("late"));
    let landed: Vec<_> = roles.landed().into_iter().map(|write| (write.at, write.document.unwrap())).collect();
    assert_eq!(landed, [(at(0), "later".to_owned()), (at(5), "late".to_owned())]);
}

#[test]
fn meanwhile_action_runs_before_its_call() {
    let faults = Arc::new(Faults::none());
    let store = Arc::new(MemoryStore::new(faults.clone()));
    let other = store.clone();
    faults.meanwhile(1, move || {
        run(other.record_heartbeat(&ReaperHealth::first(at(7)), None)).unwrap().unwrap();
    });
    let reaper_health = run(store.reaper_health()).unwrap().unwrap();
    assert_eq!(reaper_health, Some(ReaperHealth::first(at(7))));
    assert_eq!(faults.calls(), ["reaper_health", "record_heartbeat"]);
}

#[test]
fn index_read_can_lag_by_one_write_and_a_consistent_read_cannot() {
    let faults = Arc::new(Faults::none());
    let store = MemoryStore::new(faults.clone());
    faults.plan_next("reaper_health", Fault::StaleRead);
    run(store.record_heartbeat(&ReaperHealth::first(at(0)), None)).unwrap().unwrap();
    assert!(run(store.reaper_health()).unwrap().unwrap().is_some());
    assert_eq!(faults.fired(), []);
    let id = SeqIds::new().grant_id(at(0));
    let block =
        Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: "olga".parse().unwrap(), at: at(0) };
    run(store.put_mark(&Mark { id, block })).unwrap().unwrap();
    faults.plan_next("due", Fault::StaleRead);
    let n_due = || run(store.due(DueRole::Reap, shard_of(id), at(0), None, 10)).unwrap().unwrap().lines.len();
    assert_eq!((n_due(), n_due()), (0, 1));
    assert_eq!(faults.fired().len(), 1);
}
