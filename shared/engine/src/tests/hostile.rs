//! Attachments against false records, late calls and removals that keep failing.

use brevet_domain::grant::{Delivery, EffectiveAccess, Grant, LapseCause, Proof, State};
use brevet_domain::id::GrantId;

use super::attachments::{FENCE_S, release, state, submit_for};
use super::world::{BATCH, CALL_S, TERM_S, TICK_S, World};
use crate::fake::Fault;
use crate::port::{AttachmentTarget, Clock};

fn active(entitlement: &str) -> (World, GrantId) {
    let world = World::new();
    world.tick();
    let id = submit_for(&world, "key", entitlement).unwrap();
    world.activate();
    assert_eq!(state(&world, id), "Active");
    world.clock.advance(FENCE_S);
    (world, id)
}

/// Two grants of one managed policy, both past their fences.
fn overlapping() -> (World, GrantId, GrantId) {
    let (world, first) = active("sync");
    let second = submit_for(&world, "other key", "sync").unwrap();
    world.activate();
    assert_eq!(state(&world, second), "Active");
    world.clock.advance(FENCE_S);
    (world, first, second)
}

fn is_attached(world: &World, id: GrantId) -> bool {
    world.principals.standing(&world.target(id).unwrap()).is_some()
}

/// Ticks for `seconds` while every removal is refused. Returns `oldest_overdue_s` of the last pass.
fn refused_for(world: &World, seconds: u32) -> u64 {
    let mut overdue_s = 0;
    for _ in 0..seconds.div_ceil(TICK_S) {
        world.faults.plan_next("remove", Fault::Refused);
        overdue_s = world.tick().unwrap().unwrap().oldest_overdue_s;
        world.clock.advance(TICK_S);
    }
    world.faults.clear();
    overdue_s
}

#[test]
fn refused_removal_is_reported_as_overdue_while_it_is_put_off() {
    for entitlement in ["batch", "sync"] {
        let (world, id) = active(entitlement);
        release(&world, id);
        let mut worst_s = 0;
        for _ in 0..6 {
            worst_s = worst_s.max(refused_for(&world, 100));
        }
        assert_eq!(state(&world, id), "Revoking");
        assert!(worst_s > 400, "{entitlement}: the alarm would show {worst_s} s only");
        world.assert_all_ends(entitlement);
        assert_eq!(world.tick().unwrap().unwrap().oldest_overdue_s, 0);
    }
}

#[test]
fn ordinary_end_is_never_long_overdue() {
    for entitlement in ["batch", "sync", "deploy"] {
        let world = World::new();
        world.tick();
        let id = submit_for(&world, "key", entitlement).unwrap();
        world.activate();
        if entitlement == "deploy" {
            world.vend("bot credentials run-1", id).unwrap().unwrap();
        }
        world.tick_for(TERM_S - 1);
        while state(&world, id) != "Ended" {
            let overdue_s = world.tick().unwrap().unwrap().oldest_overdue_s;
            assert!(overdue_s <= u64::from(FENCE_S + 3 * TICK_S), "{entitlement}: {overdue_s}");
            world.clock.advance(TICK_S);
        }
    }
}

#[test]
fn effective_access_is_checked_again_once_other_holders_are_gone() {
    let (world, first, second) = overlapping();
    release(&world, first);
    // The check is stored. Then reading fails, and the other grant hands over and ends.
    world.faults.plan_next("read", Fault::Refused);
    world.tick();
    let State::Revoking(revoking) = world.grant(first).state else { panic!("not revoking") };
    assert_eq!(revoking.effective, Some(EffectiveAccess::NotAllowed { but_by: vec![second] }));
    release(&world, second);
    world.clock.set(revoking.next_at.minus(1));
    world.tick();
    assert!(matches!(world.proof_of(second), Proof::HandedOver { .. }));
    let own = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}"#;
    let target = AttachmentTarget::Inline { principal_arn: BATCH.to_owned(), policy_name: "standing".to_owned() };
    world.principals.tamper(&target, Some(own));
    world.tick_for(120);
    let State::Ended { proof, effective, .. } = world.grant(first).state else { panic!("not ended") };
    assert!(matches!(proof, Proof::Observed { .. }), "{proof:?}");
    assert_eq!(effective, Some(EffectiveAccess::Residual { policies: vec!["standing".to_owned()] }));
}

#[test]
fn managed_policy_is_not_handed_over_to_an_ended_holder() {
    let (world, first, second) = overlapping();
    // A forged holders record: it names a grant that has ended.
    let at = world.clock.now();
    let lapsed = State::Lapsed { cause: LapseCause::Start, at };
    world.store.overwrite(Grant { state: lapsed, ..world.grant(second) });
    release(&world, first);
    world.tick_for(120);
    let proof = world.proof_of(first);
    assert!(matches!(proof, Proof::Observed { .. }), "{proof:?}");
    assert!(!is_attached(&world, first), "no other grant would ever detach it");
    assert!(world.store.snapshot().holders().all(|record| record.holders.is_empty()));
}

#[test]
fn reaper_never_deletes_a_foreign_policy_that_a_record_names() {
    let (world, id) = active("batch");
    let own = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let (principal_arn, policy_name) = (BATCH.to_owned(), "own".to_owned());
    let target = AttachmentTarget::Inline { principal_arn: principal_arn.clone(), policy_name: policy_name.clone() };
    world.principals.tamper(&target, Some(own));
    let grant = world.grant(id);
    let real = world.target(id).unwrap();
    let delivery = Delivery::Inline { principal_arn, policy_name, probes: Vec::new(), n_untried: 0 };
    world.store.overwrite(Grant { delivery, ..grant });
    release(&world, id);
    world.tick_for(120);
    assert_eq!(world.principals.standing(&target).as_deref(), Some(own), "the principal's own policy is untouched");
    assert_eq!(world.principals.standing(&real), None, "the grant's own policy is removed");
}

#[test]
fn reaper_never_detaches_another_installations_policy_that_a_record_names() {
    let (world, id) = active("sync");
    let policy_arn = "arn:aws:iam::000000000000:policy/brevet/prod/managed/brevet-prod-sync".to_owned();
    let target = AttachmentTarget::Managed { principal_arn: BATCH.to_owned(), policy_arn: policy_arn.clone() };
    world.principals.tamper(&target, Some("attached"));
    let delivery = Delivery::Managed { principal_arn: BATCH.to_owned(), policy_arn, probes: Vec::new(), n_untried: 0 };
    world.store.overwrite(Grant { delivery, ..world.grant(id) });
    release(&world, id);
    world.tick_for(120);
    assert!(world.principals.standing(&target).is_some(), "it belongs to another installation");
    assert!(!world.grant(id).state.is_terminal(), "this grant must not end without a proof");
}

#[test]
fn delayed_reaper_does_not_detach_past_the_fence() {
    let reap = |pause: Option<u64>| {
        let (world, id) = active("sync");
        release(&world, id);
        let (start, clock) = (world.faults.n_calls(), world.clock.clone());
        if let Some(number) = pause {
            world.faults.meanwhile(start + number, move || clock.advance(CALL_S + 1));
        }
        world.tick();
        let calls = world.faults.calls().split_off(usize::try_from(start).unwrap());
        (world, id, calls)
    };
    let (_, _, calls) = reap(None);
    let removed = calls.iter().position(|call| *call == "remove").unwrap();
    // The reaper is delayed while it records the removal. From the fence on, another reaper may take over.
    let number = u64::try_from(removed).unwrap();
    let (world, id, calls) = reap(Some(number));
    assert_eq!(calls[removed - 1], "commit");
    assert!(!calls.contains(&"remove"), "{calls:?}");
    assert!(is_attached(&world, id));
    world.assert_all_ends("delayed");
}

/// Invariant 12: an overdue grant stops new grants on its own principal only.
#[test]
fn invariant_12_overdue_attachment_stops_new_grants_on_its_own_principal() {
    for (stuck, requested) in [("batch", "batch"), ("batch", "sync"), ("sync", "batch"), ("sync", "sync")] {
        let context = format!("{requested} beside an overdue {stuck}");
        let (world, first) = active(stuck);
        release(&world, first);
        refused_for(&world, 240);
        let second = submit_for(&world, "other key", requested).unwrap();
        world.activate();
        assert_eq!((state(&world, first), state(&world, second)), ("Revoking", "Approved"), "{context}");
        // The stop is temporary: once the overdue grant has ended, the new one is attached.
        for _ in 0..20 {
            world.tick();
            world.activate();
            if state(&world, second) == "Active" {
                break;
            }
            world.clock.advance(TICK_S);
        }
        assert_eq!(state(&world, second), "Active", "{context}");
        assert!(world.target(first) == world.target(second) || !is_attached(&world, first), "{context}");
        world.assert_all_ends(&context);
    }
}
