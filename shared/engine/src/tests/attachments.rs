//! Attachments: how they are made, how they end, and how the end is proved.

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::entitlement::Holder;
use brevet_domain::grant::{
    Delivery, EffectiveAccess, EndCause, EndedBy, Grant, LapseCause, Proof, State, WATCH_MANAGED_S, WATCH_S,
};
use brevet_domain::id::GrantId;
use brevet_domain::plan::PlanTemplate;
use brevet_domain::request::Ask;
use brevet_domain::time::Term;

use super::world::{BATCH, CALL_S, SKEW_S, TERM_S, TICK_S, World, ask_for, id_of, proof};
use crate::fake::{Fault, run};
use crate::port::{AttachmentTarget, Clock};

/// Seconds from the record of a call until it can no longer land.
pub(super) const FENCE_S: u32 = CALL_S + CALL_S + SKEW_S;

fn submit(world: &World, key: &str) -> Option<GrantId> {
    submit_for(world, key, "batch")
}

pub(super) fn submit_for(world: &World, key: &str, entitlement: &str) -> Option<GrantId> {
    for _ in 0..3 {
        let answer = run(world.intake.submit(&proof("bot ask run-1"), key, ask_for(entitlement), world.clock.now()));
        if let Some(Ok(report)) = answer
            && let Some(grant) = report.grant
        {
            return Some(grant.id);
        }
        world.clock.advance(1);
    }
    None
}

fn approved() -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let id = submit(&world, "key").unwrap();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    (world, id)
}

fn active() -> (World, GrantId) {
    let (world, id) = approved();
    world.activate();
    assert!(matches!(world.grant(id).state, State::Active { .. }), "{:?}", world.grant(id).state);
    (world, id)
}

pub(super) fn release(world: &World, id: GrantId) {
    for _ in 0..3 {
        if let Some(Ok(_)) = world.release("bot ask run-1", id) {
            return;
        }
    }
}

pub(super) fn state(world: &World, id: GrantId) -> &'static str {
    world.grant(id).state.name()
}

#[test]
fn inline_attachment_ends_at_its_deadline_and_is_read_absent_twice() {
    let (world, id) = active();
    assert!(world.can_act(id));
    world.clock.advance(TERM_S);
    assert!(!world.can_act(id), "invariant 5: the policy's own time limit ends it with every function down");
    assert!(world.principals.standing(&world.target(id).unwrap()).is_some());
    world.tick_for(60);
    let State::Ended { cause, proof, ended_by, effective, .. } = world.grant(id).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Deadline, EndedBy::TimeLimit));
    assert_eq!(effective, Some(EffectiveAccess::NotAllowed { but_by: Vec::new() }));
    let Proof::Observed { first, second } = proof else { panic!("{proof:?}") };
    assert!(second.at >= first.at.plus(10) && first.request_id != second.request_id);
    world.assert_all_ends("deadline");
}

#[test]
fn release_removes_the_policy_and_the_proof_reuses_no_delete_answer() {
    let (world, id) = active();
    world.clock.advance(FENCE_S);
    release(&world, id);
    assert!(world.can_act(id), "a release only marks; the reaper removes");
    world.tick();
    assert!(!world.can_act(id));
    let calls = world.faults.calls();
    let removed = calls.iter().rposition(|call| *call == "remove").unwrap();
    assert!(calls[removed..].contains(&"read"), "the answer to a removal is not a proof");
    assert_eq!(state(&world, id), "Revoking", "one absence is not a proof");
    world.tick_for(60);
    let State::Ended { cause, ended_by, .. } = world.grant(id).state else { panic!("not ended") };
    assert_eq!((cause, ended_by), (EndCause::Released, EndedBy::Removal));
}

#[test]
fn stalled_put_that_lands_after_a_release_is_removed_and_proved_gone() {
    let (world, id) = approved();
    // The call lands as late as it can.
    world.faults.plan_next("attach", Fault::LandsLate(FENCE_S - 1));
    world.activate();
    assert_eq!((world.faults.fired().len(), state(&world, id)), (1, "Activating"));
    release(&world, id);
    world.tick();
    let State::Revoking(revoking) = world.grant(id).state else { panic!("not revoking") };
    assert!(
        revoking.first_absence.is_some() && !world.can_act(id),
        "the put has not landed yet, so the policy is absent"
    );
    world.clock.advance(FENCE_S - 1);
    assert!(world.can_act(id), "the put landed after the first absence");
    world.tick();
    world.clock.advance(TICK_S);
    world.tick();
    assert!(!world.can_act(id), "the policy was read and removed");
    world.assert_all_ends("stalled put");
    let Proof::Observed { first, .. } = world.proof_of(id) else { panic!("not observed") };
    let landed = world.principals.landed().into_iter().find(|write| write.put.is_some()).unwrap();
    assert!(first.at > landed.at, "an absence read before the put landed must not count");
}

#[test]
fn throttled_put_is_retried() {
    let (world, id) = approved();
    for _ in 0..3 {
        world.faults.plan_next("attach", Fault::Throttled);
        world.activate();
        assert!(matches!(world.grant(id).state, State::Activating { retry_at: Some(_), .. }));
        world.clock.advance(TICK_S);
        world.tick();
    }
    assert_eq!(world.faults.fired().len(), 3);
    world.activate();
    assert_eq!(state(&world, id), "Active");
    assert!(world.can_act(id));
    world.assert_all_ends("throttled");
}

#[test]
fn refused_put_ends_the_grant_with_a_proof() {
    let (world, id) = approved();
    world.faults.plan_next("attach", Fault::Refused);
    world.activate();
    let State::Revoking(revoking) = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
    assert_eq!(revoking.cause, EndCause::ActivationFailed);
    world.assert_all_ends("refused");
    assert!(matches!(world.proof_of(id), Proof::Observed { .. }));
}

#[test]
fn unknown_attempt_is_not_repeated_past_its_fence() {
    let (world, id) = approved();
    world.faults.plan_next("attach", Fault::RequestLost);
    world.activate();
    world.clock.advance(FENCE_S - 1);
    world.activate();
    assert_eq!(state(&world, id), "Activating", "an absence read before the fence must not count");
    world.clock.advance(1);
    world.activate();
    let State::Revoking(revoking) = world.grant(id).state else { panic!("not revoking") };
    assert_eq!(revoking.cause, EndCause::ActivationFailed);
    world.assert_all_ends("unknown");
}

#[test]
fn lost_put_answer_is_settled_by_reading() {
    let (world, id) = approved();
    world.faults.plan_next("attach", Fault::AnswerLost);
    world.activate();
    assert_eq!((world.faults.fired().len(), state(&world, id)), (1, "Active"));
}

#[test]
fn crash_right_after_the_put_leaves_nothing_behind() {
    let (world, id) = approved();
    world.faults.plan_next("attach", Fault::CrashAfter);
    assert!(world.activate().is_none());
    assert_eq!(state(&world, id), "Activating");
    assert!(world.can_act(id));
    world.clock.advance(FENCE_S);
    world.activate();
    assert_eq!(state(&world, id), "Active", "the policy is read as present");
    world.assert_all_ends("crash after the put");
}

#[test]
fn reaper_ends_an_activating_grant_when_issue_is_down() {
    let (world, id) = approved();
    world.faults.plan_next("attach", Fault::CrashAfter);
    world.activate();
    for _ in 0..60 {
        world.tick();
        world.clock.advance(TICK_S);
    }
    assert_eq!(state(&world, id), "Ended");
    world.assert_invariants("issue is dead");
}

#[test]
fn kill_between_record_and_call_stops_the_put() {
    // The block is placed right before each call of the pass in turn. It either stops the put or comes after it.
    for number in 1..=40 {
        let (world, id) = approved();
        let (by, at) = ("dana".parse().unwrap(), world.clock.now());
        let block = Block { scope: BlockScope::All, cause: EndCause::Killed, by, at };
        let store = Arc::clone(&world.store);
        let start = world.faults.n_calls();
        world.faults.meanwhile(start + number, move || store.block(block));
        world.activate();
        let calls = world.faults.calls().split_off(usize::try_from(start).unwrap());
        let put = calls.iter().position(|call| *call == "attach");
        let second_reading = calls.iter().rposition(|call| *call == "blocks").unwrap_or(usize::MAX);
        if usize::try_from(number).unwrap() <= second_reading.saturating_add(1) && second_reading != usize::MAX {
            assert_eq!(put, None, "call {number}: the kill came before the second reading of blocks");
        }
        world.assert_all_ends(&format!("a kill before call {number}"));
        assert!(world.grant(id).state.is_terminal());
    }
}

#[test]
fn altered_or_removed_attachment_ends_as_drift() {
    let altered = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    for (entitlement, watch_s, put) in
        [("batch", WATCH_S, Some(altered)), ("batch", WATCH_S, None), ("sync", WATCH_MANAGED_S, None)]
    {
        let world = World::new();
        world.tick();
        let ask = Ask { term_s: Term::from_seconds(900).unwrap(), ..ask_for(entitlement) };
        let id = id_of(run(world.intake.submit(&proof("bot ask run-1"), "key", ask, world.clock.now())));
        world.activate();
        let target = world.target(id).unwrap();
        for seconds in [watch_s - 1, 1] {
            world.clock.advance(seconds);
            world.tick();
            assert_eq!(state(&world, id), "Active", "the policy is unchanged so far");
        }
        world.principals.tamper(&target, put);
        world.clock.advance(watch_s);
        world.tick();
        assert_eq!(world.principals.standing(&target), None);
        world.clock.advance(TICK_S);
        world.tick();
        let State::Ended { cause, .. } = world.grant(id).state else { panic!("not ended") };
        assert_eq!(cause, EndCause::Drift);
    }
}

pub(super) type Spoil<'a> = &'a dyn Fn(&World, GrantId);

/// Rewrites the grant and its decision consistently, so that `holder` alone holds the principal.
pub(super) fn set_single_holder(world: &World, id: GrantId, holder: &str) {
    let mut decision = world.store.peek(|held| held.decisions().find(|decision| decision.id == id).cloned()).unwrap();
    let stored = match &mut decision.terms.template {
        Some(PlanTemplate::Inline(inline)) => &mut inline.holder,
        Some(PlanTemplate::Managed(managed)) => &mut managed.holder,
        other => panic!("no attachment: {other:?}"),
    };
    *stored = Holder::Single(holder.parse().unwrap());
    let grant = world.grant(id);
    world.store.overwrite(Grant { decision_digest: decision.digest().unwrap(), ..grant });
    world.store.overwrite_decision(decision);
}

#[test]
fn attachment_is_made_on_a_principal_held_by_the_grants_identity_alone() {
    for entitlement in ["batch", "sync"] {
        let world = World::new();
        world.tick();
        let id = submit_for(&world, "key", entitlement).unwrap();
        set_single_holder(&world, id, "bot");
        world.activate();
        assert_eq!(state(&world, id), "Active", "{entitlement}");
    }
}

#[test]
fn attachment_is_refused_when_the_preflight_fails() {
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}"#;
    let long =
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Sid":"{}"}}]}}"#, "x".repeat(10_000));
    let inline =
        |name: &str| AttachmentTarget::Inline { principal_arn: BATCH.to_owned(), policy_name: name.to_owned() };
    let spoil: [(&str, Spoil); 6] = [
        ("another single holder", &|world, id| set_single_holder(world, id, "ci")),
        ("no boundary", &|world, _| world.principals.add(BATCH, None)),
        ("another boundary", &|world, _| world.principals.add(BATCH, Some("arn:aws:iam::aws:policy/ReadOnlyAccess"))),
        ("an inline Deny", &|world, _| world.principals.tamper(&inline("own"), Some(deny))),
        ("no room", &|world, _| world.principals.tamper(&inline("own"), Some(&long))),
        ("a policy of the same name", &|world, id| {
            world.principals.tamper(&world.target(id).unwrap(), Some(r#"{"Statement":[{"Effect":"Allow"}]}"#));
        }),
    ];
    for (flaw, spoil) in spoil {
        let (world, id) = approved();
        spoil(&world, id);
        world.activate();
        assert!(!world.faults.calls().contains(&"attach"), "{flaw}");
        let State::Lapsed { cause, .. } = world.grant(id).state else { panic!("{flaw}: {:?}", world.grant(id).state) };
        assert_eq!(cause, LapseCause::PreflightFailed, "{flaw}");
        assert_eq!(world.store.snapshot().evidence_of(id).last().unwrap().body.event, "PreflightRefused");
    }
}

#[test]
fn attachment_is_not_made_without_a_heartbeat() {
    let world = World::new();
    let id = submit(&world, "key").unwrap();
    world.activate();
    assert_eq!((state(&world, id), world.principals.landed().len()), ("Approved", 0));
}

#[test]
fn rewound_grant_is_not_attached_again() {
    let (world, id) = approved();
    let rewound = world.grant(id);
    world.activate();
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    world.store.overwrite(rewound);
    let n_landed = world.principals.landed().len();
    world.activate();
    assert_eq!(world.principals.landed().len(), n_landed, "invariant 14: one decision, one activation");
}

#[test]
fn residual_access_is_reported_and_left_untouched() {
    let (world, id) = active();
    let own = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}"#;
    let target = AttachmentTarget::Inline { principal_arn: BATCH.to_owned(), policy_name: "standing".to_owned() };
    world.principals.tamper(&target, Some(own));
    world.clock.advance(TERM_S);
    world.tick_for(60);
    let State::Ended { effective, .. } = world.grant(id).state else { panic!("not ended") };
    assert_eq!(effective, Some(EffectiveAccess::Residual { policies: vec!["standing".to_owned()] }));
    assert_eq!(
        world.principals.standing(&target).as_deref(),
        Some(own),
        "a policy that Brevet did not put is never touched"
    );
}

#[test]
fn effective_access_is_undetermined_while_probes_are_untried() {
    let (world, id) = active();
    let mut grant = world.grant(id);
    let Delivery::Inline { n_untried, .. } = &mut grant.delivery else { panic!("{:?}", grant.delivery) };
    *n_untried = 2;
    world.store.overwrite(grant);
    world.clock.advance(TERM_S);
    world.tick_for(60);
    let State::Ended { effective, .. } = world.grant(id).state else { panic!("not ended") };
    let Some(EffectiveAccess::Undetermined { why }) = effective else { panic!("{effective:?}") };
    assert!(why.contains("2 were not tested"), "{why}");
}

#[test]
fn failing_removal_backs_off_and_is_retried_for_ever() {
    let (world, id) = active();
    world.clock.advance(FENCE_S);
    release(&world, id);
    let mut waits = Vec::new();
    for _ in 0..16 {
        world.faults.plan_next("remove", Fault::Refused);
        let now = world.clock.now();
        world.tick();
        let State::Revoking(revoking) = world.grant(id).state else { panic!("left without a proof") };
        waits.push(revoking.next_at.seconds_since(now));
        world.clock.set(revoking.next_at);
    }
    assert_eq!(world.faults.fired().len(), 16);
    assert!(waits[..11].iter().all(|wait| *wait <= 30), "retries are frequent in the first minutes: {waits:?}");
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[0] < 20, "{waits:?}");
    assert!((60..=90).contains(waits.last().unwrap()), "{waits:?}");
    world.assert_all_ends("refused removal");
}

/// A grant is requested and attached. Then its deadline passes, or it is released.
fn story(world: &World, is_released: bool) {
    world.tick();
    let Some(id) = submit(world, "key") else { return };
    world.activate();
    world.clock.advance(TICK_S);
    world.activate();
    world.tick();
    world.clock.advance(FENCE_S);
    world.activate();
    if is_released {
        release(world, id);
    } else {
        world.clock.advance(TERM_S);
    }
    world.tick_for(5 * TICK_S);
}

#[test]
fn inline_attachment_ends_under_any_single_fault() {
    for (name, is_released) in [("inline to its deadline", false), ("inline released", true)] {
        let clean = World::new();
        story(&clean, is_released);
        let n_calls = clean.faults.n_calls();
        clean.assert_all_ends(name);
        let mut fired = 0_usize;
        for number in 1..=n_calls {
            for fault in Fault::ALL {
                let context = format!("{name}: call {number} with {fault:?}");
                let world = World::new();
                world.faults.plan(number, fault);
                story(&world, is_released);
                world.assert_invariants(&context);
                let n_fired = world.faults.fired().len();
                world.assert_all_ends(&context);
                if n_fired > 0 {
                    let first = world.faults.fired().into_iter().next().unwrap();
                    assert_eq!((first.number, first.fault), (number, fault), "{context}: another fault fired");
                    fired += 1;
                }
            }
        }
        // Six kinds of fault apply to every call.
        assert!(fired >= 6 * usize::try_from(n_calls).unwrap(), "{name}: only {fired} faults fired at {n_calls} calls");
        println!("{name}: {n_calls} port calls, {fired} single-fault runs");
    }
}

/// Runs `other` in full right before each port call of `first` in turn.
pub(super) fn race(name: &str, start: fn() -> (World, GrantId), first: fn(&World), other: fn(&World)) {
    race_and(name, start, [first, other], |_, _| ());
}

/// Like [`race`], and `check` asserts the outcome of each run.
fn race_and(name: &str, start: fn() -> (World, GrantId), [first, other]: [fn(&World); 2], check: fn(&World, &str)) {
    for number in 1_u64.. {
        let (world, id) = start();
        let world = Arc::new(world);
        let (calls, beside) = (world.faults.n_calls(), Arc::clone(&world));
        world.faults.meanwhile(calls.saturating_add(number), move || other(&beside));
        first(&world);
        let raced = world.faults.n_calls() >= calls.saturating_add(number);
        let context = format!("{name}: before call {number}");
        world.assert_all_ends(&context);
        assert!(matches!(world.grant(id).state, State::Ended { .. }), "{context}");
        check(&world, &context);
        if !raced {
            assert!(number > 10, "{name}: the other run never came in between");
            return;
        }
    }
}

/// Asserts that only one of two concurrent passes makes each call.
fn assert_put_and_removed_once(world: &World, context: &str) {
    let (put, removed): (Vec<_>, Vec<_>) = world.principals.landed().into_iter().partition(|write| write.put.is_some());
    assert_eq!((put.len(), removed.len()), (1, 1), "{context}");
}

#[test]
fn concurrent_reapers_end_an_attachment_once() {
    let start = || {
        let (world, id) = active();
        release(&world, id);
        (world, id)
    };
    let first = |world: &World| drop(world.tick());
    let other = |world: &World| drop(run(world.other_reaper.pass()));
    race_and("two reapers", start, [first, other], assert_put_and_removed_once);
}

#[test]
fn concurrent_issuers_attach_once() {
    let first = |world: &World| assert!(world.activate().is_some());
    let other = |world: &World| assert!(run(world.other_activator.pass()).is_some());
    race_and("two issuers", approved, [first, other], assert_put_and_removed_once);
}
