//! Invariant 10: never extended. A longer need is a new grant that names the one it renews and is decided afresh.

use brevet_domain::duties::Duties;
use brevet_domain::grant::{EndCause, Proof, State};
use brevet_domain::id::GrantId;
use brevet_domain::request::Ask;

use super::world::{BATCH, TERM_S, World, active, approved, ask, ask_for, id_of};
use crate::fake::run;
use crate::port::{AttachmentTarget, GrantReader};

fn renewal(of: GrantId) -> Ask {
    Ask { renews: Some(of), ..ask() }
}

fn denied(world: &World, id: GrantId) -> String {
    let state = world.grant(id).state;
    let State::Denied { reason, .. } = state else { panic!("{state:?}") };
    reason
}

fn submit(world: &World, key: &str, ask: Ask) -> GrantId {
    id_of(world.submit_ask("bot ask run-1", key, ask))
}

#[test]
fn invariant_10_renewal_is_a_new_grant_and_the_renewed_one_keeps_its_deadline() {
    let (world, first) = active();
    world.clock.advance(200);
    world.tick();
    let before = world.grant(first);
    let second = submit(&world, "again", renewal(first));
    let decision = run(world.store.decision(second)).unwrap().unwrap().unwrap();
    let renewal = decision.terms.renewal.unwrap();
    assert_eq!((renewal.of, renewal.n), (first, 1));
    let evidence = world.store.snapshot().evidence_of(second)[0].body.detail["renewal"].clone();
    assert_eq!(evidence, serde_json::json!({ "of": first, "n": 1 }));
    world.vend("bot credentials run-1", second).unwrap().unwrap();
    assert_eq!(world.grant(first), before, "the renewal changes nothing of the first grant");
    world.clock.advance(101);
    assert!(!world.can_act(first), "the first grant ends at its own deadline");
    assert!(world.can_act(second));
    world.tick_for(60);
    assert!(matches!(world.proof_of(first), Proof::ByConstruction { .. }));
    assert!(matches!(world.grant(second).state, State::Active { .. }));
    world.assert_all_ends("renewed");
    assert!(matches!(world.proof_of(second), Proof::ByConstruction { .. }));
}

#[test]
fn renewal_is_denied_for_another_task_entitlement_or_identity() {
    let (world, first) = active();
    for (caller, ask, reason) in [
        ("bot ask run-2", renewal(first), "the same task"),
        ("bot ask run-1", Ask { renews: Some(first), ..ask_for("batch") }, "the same entitlement"),
        ("ci ask run-1", renewal(first), "there is no grant"),
    ] {
        let id = id_of(world.submit_ask(caller, reason, ask));
        assert!(denied(&world, id).contains(reason), "{}", denied(&world, id));
        let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
        assert_eq!(decision.terms.determining, ["brevet:renewal"]);
    }
    world.assert_all_ends("refused");
}

#[test]
fn renewal_is_denied_for_a_grant_that_is_not_active() {
    let (world, first) = approved();
    assert!(denied(&world, submit(&world, "early", renewal(first))).contains("is `Approved`"));
    world.vend("bot credentials run-1", first).unwrap().unwrap();
    world.release("bot ask run-1", first).unwrap().unwrap();
    world.tick();
    assert!(denied(&world, submit(&world, "released", renewal(first))).contains("was ended early"));
    let unknown = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert!(denied(&world, submit(&world, "unknown", renewal(unknown))).contains("there is no grant"));
}

#[test]
fn consecutive_renewals_are_bounded_by_policy() {
    let (world, first) = active();
    let second = submit(&world, "second", renewal(first));
    world.vend("bot credentials run-1", second).unwrap().unwrap();
    world.clock.advance(TERM_S - 10);
    world.tick_for(60);
    assert!(denied(&world, submit(&world, "third", renewal(second))).contains("at most 1 are allowed"));
    world.rules.lock().unwrap().max_renewals = 2;
    let third = submit(&world, "third again", renewal(second));
    assert!(matches!(world.grant(third).state, State::Approved { .. }));
    world.assert_all_ends("row");
}

#[test]
fn grant_and_its_renewal_count_once_towards_the_cap() {
    let (world, first) = active();
    world.rules.lock().unwrap().duties = Duties { max_live: Some(1), ..Duties::default() };
    assert!(denied(&world, submit(&world, "beside", ask())).contains("may have 1 grants at once"));
    let second = submit(&world, "renewal", renewal(first));
    assert!(matches!(world.grant(second).state, State::Approved { .. }));
    assert!(denied(&world, submit(&world, "beside both", ask())).contains("may have 1 grants at once"));
    world.assert_all_ends("cap");
}

#[test]
fn overlapping_inline_policies_each_end_with_their_own_grant() {
    let (world, first, second) = overlapping("batch");
    let standing = |id| world.principals.standing(&world.target(id).unwrap());
    let of_second = standing(second).unwrap();
    world.clock.advance(TERM_S - 100);
    world.tick_for(60);
    assert_eq!(ended(&world, first), EndCause::Deadline);
    assert_eq!(standing(first), None, "the first grant's policy is removed");
    assert_eq!(standing(second), Some(of_second), "the second grant's policy stays");
    assert!(world.can_act(second));
    world.assert_all_ends("inline overlap");
    assert!(matches!(world.proof_of(second), Proof::Observed { .. }));
}

#[test]
fn managed_policy_is_handed_over_to_the_renewal() {
    let (world, first, second) = overlapping("sync");
    world.clock.advance(TERM_S - 100);
    world.tick_for(60);
    assert_eq!(ended(&world, first), EndCause::Deadline);
    let Proof::HandedOver { holders, .. } = world.proof_of(first) else { panic!("{:?}", world.proof_of(first)) };
    assert_eq!(holders, [second]);
    assert!(world.can_act(second));
    let detached = || world.principals.landed().iter().filter(|write| write.put.is_none()).count();
    assert_eq!(detached(), 0, "the policy stays attached");
    world.assert_all_ends("managed overlap");
    assert!(matches!(world.proof_of(second), Proof::Observed { .. }));
    assert_eq!(detached(), 1, "the last holder detaches");
}

/// An active grant on the batch role and its renewal, activated 100 s later.
fn overlapping(entitlement: &str) -> (World, GrantId, GrantId) {
    let world = World::new();
    world.tick();
    let first = submit(&world, "first", ask_for(entitlement));
    world.activate();
    world.clock.advance(100);
    world.tick();
    let second = submit(&world, "second", Ask { renews: Some(first), ..ask_for(entitlement) });
    world.activate();
    for id in [first, second] {
        assert!(matches!(world.grant(id).state, State::Active { .. }), "{:?}", world.grant(id).state);
    }
    let principal = |target| match target {
        AttachmentTarget::Inline { principal_arn, .. } | AttachmentTarget::Managed { principal_arn, .. } => {
            principal_arn
        }
    };
    assert_eq!(principal(world.target(second).unwrap()), BATCH);
    (world, first, second)
}

fn ended(world: &World, id: GrantId) -> EndCause {
    let state = world.grant(id).state;
    let State::Ended { cause, .. } = state else { panic!("{state:?}") };
    cause
}
