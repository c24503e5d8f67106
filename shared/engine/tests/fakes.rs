//! The fault plan does what it says: a fake that only pretended to fail would make every simulation pass.

#![expect(clippy::unwrap_used, reason = "this is test code")]

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{DueRole, EndCause};
use brevet_domain::heart::Heart;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::{Fault, Faults, Fired, ManualClock, MemoryRoles, MemoryStore, SeqIds, run};
use brevet_engine::port::{
    DueList, GrantReader, HeartStore, IdSource, Mark, PortError, PortResult, RequestStore, SessionRoles, shard_of,
};

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

/// Beats with `fault`; what it answered, and whether it beat.
fn beat(fault: Fault) -> (Option<PortResult<()>>, bool, Vec<Fired>) {
    let faults = Arc::new(Faults::at(2, fault));
    let store = MemoryStore::new(faults.clone());
    assert_eq!(run(store.heart()).unwrap().unwrap(), None);
    let answer = run(store.beat(&Heart::first(at(0)), None));
    let has_beaten = run(store.heart()).unwrap().unwrap().is_some();
    assert_eq!(faults.calls(), ["heart", "beat", "heart"]);
    (answer, has_beaten, faults.fired())
}

#[test]
fn each_fault_does_what_it_says_and_tells_that_it_fired() {
    for fault in [Fault::NotSent, Fault::Throttled, Fault::Contended] {
        let (answer, has_beaten, fired) = beat(fault);
        assert!(matches!(answer, Some(Err(PortError::NotDone { .. }))), "{fault:?}: {answer:?}");
        assert!(!has_beaten);
        assert_eq!(fired, [Fired { number: 2, call: "beat", fault }]);
    }
    let (answer, has_beaten, fired) = beat(Fault::Refused);
    assert!(matches!(answer, Some(Err(PortError::Refused { .. }))), "{answer:?}");
    assert_eq!((has_beaten, fired.len()), (false, 1));
    for (fault, is_done) in [(Fault::AnswerLost, true), (Fault::RequestLost, false)] {
        let (answer, has_beaten, fired) = beat(fault);
        assert!(matches!(answer, Some(Err(PortError::Unknown { .. }))), "{fault:?}: {answer:?}");
        assert_eq!((has_beaten, fired.len()), (is_done, 1), "{fault:?}");
    }
    let (answer, has_beaten, fired) = beat(Fault::CrashAfter);
    assert!(answer.is_none(), "nobody lives to hear the answer");
    assert_eq!((has_beaten, fired.len()), (true, 1));
}

#[test]
fn a_fault_that_a_call_cannot_have_does_not_fire() {
    for fault in [Fault::LandsLate(5), Fault::StaleRead] {
        let (answer, has_beaten, fired) = beat(fault);
        assert!(matches!(answer, Some(Ok(()))), "{fault:?}: {answer:?}");
        assert_eq!((has_beaten, fired.len()), (true, 0), "{fault:?}");
    }
}

#[test]
fn a_write_that_lands_late_stands_from_then_on_even_over_a_later_one() {
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
fn what_others_do_meanwhile_is_done_before_the_call() {
    let faults = Arc::new(Faults::none());
    let store = Arc::new(MemoryStore::new(faults.clone()));
    let other = store.clone();
    faults.meanwhile(1, move || {
        run(other.beat(&Heart::first(at(7)), None)).unwrap().unwrap();
    });
    let heart = run(store.heart()).unwrap().unwrap();
    assert_eq!(heart, Some(Heart::first(at(7))));
    assert_eq!(faults.calls(), ["heart", "beat"]);
}

#[test]
fn an_index_read_can_lag_by_one_write_and_a_consistent_read_cannot() {
    let faults = Arc::new(Faults::none());
    let store = MemoryStore::new(faults.clone());
    faults.plan_next("heart", Fault::StaleRead);
    run(store.beat(&Heart::first(at(0)), None)).unwrap().unwrap();
    assert!(run(store.heart()).unwrap().unwrap().is_some());
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
