//! Issuing stops when ending fails: on the principal of an overdue grant, and everywhere if too many are overdue.

use std::sync::Arc;

use brevet_domain::grant::{Event, State};
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::{Late, ReaperHealth, Stop};
use brevet_domain::request::Ask;
use brevet_domain::revocation::Reason;
use brevet_domain::time::Term;

use super::attachments::{FENCE_S, release, state, submit_for};
use super::break_glass::{prepare_with, rescue};
use super::world::{BATCH, ISSUANCE_POLICY, TICK_S, World, active, ask_for, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, GrantReader, ReaperHealthStore};
use crate::refusal::{Refusal, RefusalKind};

/// `n` released grants, all on the batch role.
fn released(world: &World, n: usize) -> Vec<GrantId> {
    let ids: Vec<_> = (0..n).map(|n| submit_for(world, &format!("stuck-{n}"), "batch").unwrap()).collect();
    world.activate();
    world.clock.advance(FENCE_S);
    for id in &ids {
        assert_eq!(state(world, *id), "Active");
        release(world, *id);
    }
    ids
}

/// Runs the schedule for `seconds` while every removal is refused.
fn tick_refusing(world: &World, seconds: u32) {
    for _ in 0..seconds.div_ceil(TICK_S) {
        tick_once_refusing(world);
        world.clock.advance(TICK_S);
    }
    tick_once_refusing(world);
}

fn tick_once_refusing(world: &World) {
    for call in ["remove", "put_deny"] {
        (0..10).for_each(|_| world.faults.plan_next(call, Fault::Refused));
    }
    assert!(world.tick().unwrap().unwrap().good, "a refused removal must not make the pass bad");
    world.faults.clear();
}

/// `n` overdue grants of `bot` on the batch role.
fn overdue(n: usize) -> (World, Vec<GrantId>) {
    let world = World::new();
    world.tick();
    let ids = released(&world, n);
    tick_refusing(&world, ISSUANCE_POLICY.overdue_s + 2 * TICK_S);
    (world, ids)
}

fn reaper_health(world: &World) -> ReaperHealth {
    run(world.store.reaper_health()).unwrap().unwrap().unwrap()
}

fn overdue_grants(world: &World) -> Vec<GrantId> {
    let late = reaper_health(world).late;
    late.overdue(world.clock.now(), ISSUANCE_POLICY.overdue_s).map(|late| late.grant).collect()
}

fn refusal<T: std::fmt::Debug>(answer: Option<Result<T, Refusal>>) -> Refusal {
    answer.unwrap().unwrap_err()
}

/// The code that refuses a vend of a new session grant. `None` if the vend succeeds.
fn stopped(world: &World, key: &str) -> Option<String> {
    let id = id_of(world.submit("bot ask run-1", key));
    world.vend("bot credentials run-1", id).unwrap().err().map(|refusal| refusal.code.into_owned())
}

fn acknowledge(world: &World, caller: &str, id: GrantId) -> Option<Result<brevet_domain::grant::Grant, Refusal>> {
    let reason = Reason::try_from("IAM is down; the provider knows".to_owned()).unwrap();
    run(world.acknowledging.acknowledge(&proof(caller), id, &reason, world.clock.now()))
}

#[test]
fn invariant_12_overdue_session_stops_issuing_on_its_own_role_only() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let own = id_of(world.submit("bot ask run-1", "own"));
    let other = id_of(world.submit("ci ask run-1", "other"));
    tick_refusing(&world, ISSUANCE_POLICY.overdue_s + TICK_S);
    for (caller, id) in [("bot credentials run-1", own), ("ci credentials run-1", other)] {
        let (kind, code) = refused(world.vend(caller, id));
        assert_eq!((kind, code.as_str()), (RefusalKind::Stopped, "principal_overdue"));
    }
    // The refusal names the overdue grant to its holder only.
    let own_refusal = refusal(world.vend("bot credentials run-1", own));
    assert!(own_refusal.detail.contains(&format!("your grant `{id}`")), "{own_refusal}");
    assert_eq!((own_refusal.grant, own_refusal.retry_after_s), (Some(own), Some(60)));
    let since = world.grant(id).over_since().unwrap().plus(ISSUANCE_POLICY.overdue_s);
    assert!(own_refusal.detail.contains(&format!("since {since}")), "{own_refusal}");
    let other_refusal = refusal(world.vend("ci credentials run-1", other));
    assert!(
        !other_refusal.detail.contains(&id.to_string()) && !other_refusal.detail.contains("bot"),
        "{other_refusal}"
    );
    // Issuing continues on other principals.
    let batch = submit_for(&world, "elsewhere", "batch").unwrap();
    world.activate();
    assert_eq!(state(&world, batch), "Active");
    // Issuing resumes on this one by itself, once the end is proved.
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    assert!(world.vend("bot credentials run-1", own).unwrap().is_ok());
    assert!(world.vend("ci credentials run-1", other).unwrap().is_ok());
    world.assert_all_ends("an overdue session");
}

#[test]
fn heartbeat_names_an_overdue_grant_while_an_attempt_has_put_it_off() {
    let world = World::new();
    world.tick();
    let id = released(&world, 1)[0];
    let mut n_put_off = 0;
    for n in 0..80_u32 {
        let now = world.clock.now();
        let is_due = world.grant(id).due_at().is_some_and(|at| at <= now);
        (0..10).for_each(|_| world.faults.plan_next("remove", Fault::Refused));
        // The two reapers alternate: each continues from what the other one stored.
        let reaper = if n % 2 == 0 { &world.reaper } else { &world.other_reaper };
        assert!(run(reaper.pass()).unwrap().unwrap().good);
        world.faults.clear();
        let is_overdue = world.grant(id).overdue_s(now) > u64::from(ISSUANCE_POLICY.overdue_s);
        assert_eq!(overdue_grants(&world), if is_overdue { vec![id] } else { vec![] }, "pass {n}");
        n_put_off += u32::from(is_overdue && !is_due);
        world.clock.advance(TICK_S);
    }
    assert!(n_put_off > 10, "no pass ran while the grant was put off, so the test shows nothing");
    world.tick_for(200);
    assert_eq!((state(&world, id), reaper_health(&world).late), ("Ended", Late::default()));
}

/// Each pass writes the deny of a role with live early ends. With quick ticks, that alone puts their grants off for
/// ever.
#[test]
fn heartbeat_names_an_overdue_session_that_every_pass_puts_off() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let mut n_due = 0;
    for _ in 0..=ISSUANCE_POLICY.overdue_s.div_ceil(2) {
        world.faults.plan_next("put_deny", Fault::Refused);
        n_due += u32::from(world.tick().unwrap().unwrap().n_due > 0);
        world.faults.clear();
        world.clock.advance(2);
    }
    assert!(n_due < 5, "the grant was due {n_due} times, so the test shows nothing");
    assert_eq!((state(&world, id), overdue_grants(&world)), ("Revoking", vec![id]));
    world.assert_all_ends("put off by each pass");
}

#[test]
fn issuing_stops_while_too_many_grants_are_overdue() {
    let (world, ids) = overdue(3);
    let report = world.tick().unwrap().unwrap();
    assert_eq!(stopped(&world, "session").as_deref(), Some("too_many_overdue"));
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert!(matches!(health.stop, Some(Stop::TooManyOverdue { n: 3, .. })), "{health:?}");
    assert_eq!((health.n_overdue, health.n_unacknowledged), (3, 3));
    assert_eq!((report.n_overdue, report.n_unacknowledged, report.is_stopped), (3, 3, true));
    // Issuing resumes by itself.
    world.tick_for(200);
    assert!(ids.iter().all(|id| state(&world, *id) == "Ended"));
    assert_eq!(stopped(&world, "session again"), None);
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert_eq!((health.stop, health.n_overdue), (None, 0));
    world.assert_all_ends("three overdue");
}

#[test]
fn acknowledged_overdue_grant_stops_only_its_own_principal() {
    let (world, ids) = overdue(3);
    let acknowledged = acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
    assert!(
        matches!(&acknowledged.state, State::Revoking(r) if r.acknowledged.as_ref().unwrap().by.as_str() == "omar")
    );
    assert_eq!(
        stopped(&world, "before").as_deref(),
        Some("too_many_overdue"),
        "an acknowledgement counts from the next good pass on"
    );
    tick_once_refusing(&world);
    assert_eq!(stopped(&world, "after"), None);
    let batch = submit_for(&world, "batch again", "batch").unwrap();
    world.activate();
    assert_eq!(state(&world, batch), "Approved", "its own principal stays stopped");
    let health = run(world.intake.health(world.clock.now())).unwrap().unwrap();
    assert_eq!((health.n_overdue, health.n_unacknowledged), (3, 2));
    let entry = world.store.snapshot().evidence_of(ids[0]).into_iter().find(|e| e.body.event == "OverdueAcknowledged");
    let detail = entry.unwrap().body.detail;
    assert_eq!(detail["with"]["reason"], "IAM is down; the provider knows");
    assert_eq!((detail["by"].as_str(), detail["with"]["determining"][0].as_str()), (Some("omar"), Some("two-hands")));
    world.assert_all_ends("acknowledged");
}

#[test]
fn acknowledgement_is_accepted_once_and_only_from_permitted_uninvolved_humans() {
    let (world, ids) = overdue(1);
    let id = ids[0];
    let before = world.grant(id);
    for (caller, kind, code) in [
        ("omar ask", RefusalKind::Unauthenticated, "token_audience"),
        ("bot approve", RefusalKind::Forbidden, "acknowledger_not_human"),
        ("dana approve", RefusalKind::Forbidden, "own_grant"),
    ] {
        let (found, found_code) = refused(acknowledge(&world, caller, id));
        assert_eq!((found, found_code.as_str()), (kind, code), "{caller}");
    }
    let (live, ids_of_ci) = (submit_for(&world, "live", "batch").unwrap(), id_of(world.submit("ci ask run-1", "ci")));
    assert_eq!(
        refused(acknowledge(&world, "dana approve", ids_of_ci)).1,
        "grant_not_found",
        "it is neither dana's nor her identity's"
    );
    assert_eq!(refused(acknowledge(&world, "lea approve", live)).1, "not_overdue");
    assert_eq!(world.grant(id), before);
    let first = acknowledge(&world, "omar approve", id).unwrap().unwrap();
    assert_eq!(
        acknowledge(&world, "lea approve", id).unwrap().unwrap(),
        first,
        "a second acknowledgement changes nothing"
    );
    assert_eq!(world.grant(id).version, before.version + 1);
    world.assert_all_ends("acknowledged once");
}

/// Invariant 11 for acknowledgements: nobody may acknowledge a grant of their own or of an identity that they sponsor.
#[test]
fn invariant_11_sponsor_cannot_acknowledge_an_overdue_grant_of_their_identity() {
    let world = World::new();
    world.tick();
    let ask = ask_for("batch");
    let id = id_of(world.submit_ask("ci ask run-1", "of omar", ask));
    world.activate();
    world.clock.advance(FENCE_S);
    world.release("ci ask run-1", id).unwrap().unwrap();
    tick_refusing(&world, ISSUANCE_POLICY.overdue_s + TICK_S);
    assert_eq!(refused(acknowledge(&world, "omar approve", id)).1, "own_grant");
    let event = Event::OverdueAcknowledged { by: "omar".parse().unwrap() };
    assert!(world.grant(id).apply(&event, world.clock.now()).is_err());
    assert!(acknowledge(&world, "lea approve", id).unwrap().is_ok());
}

#[test]
fn acknowledgement_is_all_or_nothing_under_any_single_fault_and_can_be_retried() {
    let calls = {
        let (world, ids) = overdue(1);
        let start = world.faults.n_calls();
        acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
        let start = usize::try_from(start).unwrap();
        world.faults.calls().split_off(start)
    };
    assert_eq!(calls, ["grant", "commit"]);
    let mut n_fired = 0;
    for fault in Fault::ALL {
        for number in 1..=2 {
            let (world, ids) = overdue(1);
            world.faults.plan(world.faults.n_calls() + number, fault);
            let answer = acknowledge(&world, "omar approve", ids[0]);
            let fired = world.faults.fired().len();
            n_fired += fired;
            let context = format!("{fault:?} at {}", calls[usize::try_from(number - 1).unwrap()]);
            let is_done = |world: &World| matches!(&world.grant(ids[0]).state, State::Revoking(revoking) if revoking.acknowledged.is_some());
            if let Some(Ok(_)) = &answer {
                assert!(is_done(&world), "{context}");
            }
            world.faults.clear();
            acknowledge(&world, "omar approve", ids[0]).unwrap().unwrap();
            assert!(is_done(&world), "{context}");
            let evidence = world.store.snapshot().evidence_of(ids[0]);
            assert_eq!(evidence.iter().filter(|e| e.body.event == "OverdueAcknowledged").count(), 1, "{context}");
            world.assert_invariants(&context);
        }
    }
    assert!(n_fired >= 12, "{n_fired} faults fired");
}

#[test]
fn overdue_grants_stop_break_glass_unless_the_entitlement_permits_it() {
    for while_overdue in [false, true] {
        let (world, _) = overdue(3);
        prepare_with(&world, rescue("lea", while_overdue));
        tick_once_refusing(&world);
        let id =
            id_of(run(world.intake.submit(&proof("omar ask run-1"), "glass", ask_for("rescue"), world.clock.now())));
        let answer = world.vend("omar credentials run-1", id).unwrap();
        assert_eq!(answer.is_ok(), while_overdue, "{answer:?}");
        let rehearsal = run(world.decider.rehearse(
            &proof("omar ask run-1"),
            ask_for("rescue"),
            ISSUANCE_POLICY,
            world.clock.now(),
        ));
        assert_eq!(
            rehearsal.unwrap().unwrap().issuance_gate == brevet_domain::reaper_health::IssuanceGate::Open,
            while_overdue
        );
        assert_eq!(stopped(&world, "ordinary").as_deref(), Some("too_many_overdue"));
    }
}

#[test]
fn dry_run_reports_an_overdue_grant_on_its_principal() {
    let (world, ids) = overdue(1);
    let issuance_gate = |entitlement| {
        let now = world.clock.now();
        run(world.decider.rehearse(&proof("bot ask run-1"), ask_for(entitlement), ISSUANCE_POLICY, now))
            .unwrap()
            .unwrap()
            .issuance_gate
    };
    let gate = issuance_gate("sync");
    let brevet_domain::reaper_health::IssuanceGate::Closed(Stop::PrincipalOverdue { grant, .. }) = gate else {
        panic!("{gate:?}")
    };
    assert_eq!((grant, issuance_gate("deploy")), (ids[0], brevet_domain::reaper_health::IssuanceGate::Open));
    assert_eq!(world.target(ids[0]).map(|_| BATCH), Some(BATCH));
}

#[test]
fn unreadable_reaper_health_stops_issuing_and_is_not_overwritten() {
    let (world, id) = super::world::approved();
    let before = reaper_health(&world);
    world.faults.plan_next("reaper_health", Fault::NotSent);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).0, RefusalKind::Unavailable);
    world.faults.plan_next("reaper_health", Fault::NotSent);
    assert!(world.tick().unwrap().is_err(), "an unread health record must not be overwritten");
    assert_eq!((world.faults.fired().len(), reaper_health(&world)), (2, before.clone()));
    world.tick().unwrap().unwrap();
    assert_eq!(reaper_health(&world).heartbeats, before.heartbeats + 1);
}

#[test]
fn unreadable_grant_stays_overdue() {
    let (world, ids) = overdue(1);
    let mut n_fired = 0;
    for _ in 0..8 {
        world.clock.advance(TICK_S);
        (0..3).for_each(|_| world.faults.plan_next("grant", Fault::NotSent));
        (0..3).for_each(|_| world.faults.plan_next("remove", Fault::Refused));
        let report = world.tick().unwrap().unwrap();
        n_fired += world.faults.fired().iter().filter(|fired| fired.call == "grant").count();
        world.faults.clear();
        assert!(report.good);
        assert_eq!(overdue_grants(&world), ids);
        let late = reaper_health(&world).late.grants;
        assert_eq!(late[0].since, world.grant(ids[0]).over_since().unwrap());
    }
    assert!(n_fired >= 8, "{n_fired}");
}

#[test]
fn unprocessed_release_mark_counts_as_overdue() {
    let (world, id) = active();
    world.release("bot ask run-1", id).unwrap().unwrap();
    let other = id_of(world.submit("bot ask run-1", "other"));
    for _ in 0..=ISSUANCE_POLICY.overdue_s.div_ceil(TICK_S) {
        (0..5).for_each(|_| world.faults.plan_next("commit", Fault::Refused));
        assert!(world.tick().unwrap().unwrap().good);
        world.faults.clear();
        world.clock.advance(TICK_S);
    }
    assert_eq!((state(&world, id), overdue_grants(&world)), ("Active", vec![id]));
    assert_eq!(refused(world.vend("bot credentials run-1", other)).1, "principal_overdue");
    world.assert_all_ends("a mark");
}

#[test]
fn live_attachment_is_not_overdue_when_it_cannot_be_watched() {
    let world = World::new();
    world.tick();
    let ask = Ask { term_s: Term::from_seconds(1_800).unwrap(), ..ask_for("batch") };
    let id = id_of(world.submit_ask("bot ask run-1", "long", ask));
    world.activate();
    let mut n_fired = 0;
    for _ in 0..40 {
        world.faults.plan_next("read", Fault::Refused);
        world.tick().unwrap().unwrap();
        n_fired += world.faults.fired().len();
        world.faults.clear();
        assert_eq!(reaper_health(&world).late, Late::default());
        world.clock.advance(TICK_S);
    }
    assert_eq!(state(&world, id), "Active");
    assert!(n_fired > 15, "{n_fired}");
    world.assert_all_ends("not watched");
}

#[test]
fn later_of_two_concurrent_passes_keeps_the_overdue_grants_of_the_first() {
    let (world, ids) = overdue(1);
    let world = Arc::new(world);
    let full = reaper_health(&world);
    assert_eq!(overdue_grants(&world), ids);
    assert!(world.grant(ids[0]).due_at().unwrap() > world.clock.now(), "the grant must not be due now");
    // This pass began before the first one stored its findings.
    let empty = ReaperHealth { heartbeats: full.heartbeats + 1, ..ReaperHealth::first(world.clock.now()) };
    run(world.store.record_heartbeat(&empty, None)).unwrap().unwrap();
    let calls = {
        let start = usize::try_from(world.faults.n_calls()).unwrap();
        run(world.store.record_heartbeat(&empty, None)).unwrap().unwrap();
        assert!(run(world.reaper.pass()).unwrap().unwrap().good);
        world.faults.calls().split_off(start + 1)
    };
    run(world.store.record_heartbeat(&empty, None)).unwrap().unwrap();
    let record_heartbeat =
        u64::try_from(calls.iter().position(|call| *call == "record_heartbeat").unwrap()).unwrap() + 1;
    let (other, found) = (world.store.clone(), ReaperHealth { heartbeats: empty.heartbeats + 1, ..full });
    let number = world.faults.n_calls() + record_heartbeat;
    world.faults.meanwhile(number, move || run(other.record_heartbeat(&found, None)).unwrap().unwrap());
    assert!(run(world.reaper.pass()).unwrap().unwrap().good);
    assert_eq!(overdue_grants(&world), ids);
    assert_eq!(reaper_health(&world).heartbeats, empty.heartbeats + 2);
}
