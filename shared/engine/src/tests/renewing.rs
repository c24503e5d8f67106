//! Invariant 10: never extended. A longer need is a new grant that names the one it renews and is decided afresh.

use brevet_domain::duties::Duties;
use brevet_domain::grant::{EndCause, Proof, State};
use brevet_domain::id::GrantId;
use brevet_domain::request::Ask;

use super::world::{BATCH, TERM_S, World, active, approved, ask, ask_for, id_of};
use crate::fake::run;
use crate::port::{GrantReader, Place};

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
fn invariant_10_a_renewal_is_a_grant_of_its_own_and_the_one_before_keeps_its_deadline() {
    let (world, first) = active();
    world.clock.advance(200);
    world.tick();
    let before = world.grant(first);
    let second = submit(&world, "again", renewal(first));
    let decision = run(world.store.decision(second)).unwrap().unwrap().unwrap();
    let renewal = decision.terms.renewal.unwrap();
    assert_eq!((renewal.of, renewal.n), (first, 1));
    let told = world.store.snapshot().evidence_of(second)[0].body.detail["renewal"].clone();
    assert_eq!(told, serde_json::json!({ "of": first, "n": 1 }));
    world.vend("bot credentials run-1", second).unwrap().unwrap();
    assert_eq!(world.grant(first), before, "nothing of the first has changed");
    world.clock.advance(101);
    assert!(!world.can_act(first), "it ends when it was to end");
    assert!(world.can_act(second));
    world.tick_for(60);
    assert!(matches!(world.proof_of(first), Proof::ByConstruction { .. }));
    assert!(matches!(world.grant(second).state, State::Active { .. }));
    world.assert_all_ends("renewed");
    assert!(matches!(world.proof_of(second), Proof::ByConstruction { .. }));
}

#[test]
fn another_run_or_another_need_cannot_carry_it_on() {
    let (world, first) = active();
    for (who, ask, why) in [
        ("bot ask run-2", renewal(first), "the same task"),
        ("bot ask run-1", Ask { renews: Some(first), ..ask_for("batch") }, "the same entitlement"),
        ("ci ask run-1", renewal(first), "there is no grant"),
    ] {
        let id = id_of(world.submit_ask(who, why, ask));
        assert!(denied(&world, id).contains(why), "{}", denied(&world, id));
        let decision = run(world.store.decision(id)).unwrap().unwrap().unwrap();
        assert_eq!(decision.terms.determining, ["brevet:renewal"]);
    }
    world.assert_all_ends("refused");
}

#[test]
fn what_is_not_in_use_is_not_carried_on() {
    let (world, first) = approved();
    assert!(denied(&world, submit(&world, "early", renewal(first))).contains("is `Approved`"));
    world.vend("bot credentials run-1", first).unwrap().unwrap();
    world.release("bot ask run-1", first).unwrap().unwrap();
    world.tick();
    assert!(denied(&world, submit(&world, "released", renewal(first))).contains("ended before its time"));
    let unknown = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert!(denied(&world, submit(&world, "unknown", renewal(unknown))).contains("there is no grant"));
}

#[test]
fn a_row_of_renewals_is_bounded_by_the_lane() {
    let (world, first) = active();
    let second = submit(&world, "second", renewal(first));
    world.vend("bot credentials run-1", second).unwrap().unwrap();
    world.clock.advance(TERM_S - 10);
    world.tick_for(60);
    assert!(denied(&world, submit(&world, "third", renewal(second))).contains("at most 1 are possible"));
    world.rules.lock().unwrap().max_renewals = 2;
    let third = submit(&world, "third again", renewal(second));
    assert!(matches!(world.grant(third).state, State::Approved { .. }));
    world.assert_all_ends("row");
}

#[test]
fn a_grant_and_its_renewal_are_one_for_the_cap() {
    let (world, first) = active();
    world.rules.lock().unwrap().duties = Duties { max_live: Some(1), ..Duties::default() };
    assert!(denied(&world, submit(&world, "beside", ask())).contains("may have 1 grants at once"));
    let second = submit(&world, "renewal", renewal(first));
    assert!(matches!(world.grant(second).state, State::Approved { .. }));
    assert!(denied(&world, submit(&world, "beside both", ask())).contains("may have 1 grants at once"));
    world.assert_all_ends("cap");
}

#[test]
fn of_two_inline_policies_that_overlap_each_ends_with_its_own_grant() {
    let (world, first, second) = overlapping("batch");
    let standing = |id| world.principals.standing(&world.place(id).unwrap());
    let of_second = standing(second).unwrap();
    world.clock.advance(TERM_S - 100);
    world.tick_for(60);
    assert_eq!(ended(&world, first), EndCause::Deadline);
    assert_eq!(standing(first), None, "its own policy is removed");
    assert_eq!(standing(second), Some(of_second), "and nothing else");
    assert!(world.can_act(second));
    world.assert_all_ends("inline overlap");
    assert!(matches!(world.proof_of(second), Proof::Observed { .. }));
}

#[test]
fn a_managed_policy_is_handed_over_to_the_renewal() {
    let (world, first, second) = overlapping("sync");
    world.clock.advance(TERM_S - 100);
    world.tick_for(60);
    assert_eq!(ended(&world, first), EndCause::Deadline);
    let Proof::HandedOver { holders, .. } = world.proof_of(first) else { panic!("{:?}", world.proof_of(first)) };
    assert_eq!(holders, [second]);
    assert!(world.can_act(second));
    let detached = || world.principals.landed().iter().filter(|write| write.put.is_none()).count();
    assert_eq!(detached(), 0, "it stays attached");
    world.assert_all_ends("managed overlap");
    assert!(matches!(world.proof_of(second), Proof::Observed { .. }));
    assert_eq!(detached(), 1, "the last one out detaches");
}

/// A grant on the batch role, active, and its renewal, activated 100 s later.
fn overlapping(what: &str) -> (World, GrantId, GrantId) {
    let world = World::new();
    world.tick();
    let first = submit(&world, "first", ask_for(what));
    world.activate();
    world.clock.advance(100);
    world.tick();
    let second = submit(&world, "second", Ask { renews: Some(first), ..ask_for(what) });
    world.activate();
    for id in [first, second] {
        assert!(matches!(world.grant(id).state, State::Active { .. }), "{:?}", world.grant(id).state);
    }
    let principal = |place| match place {
        Place::Inline { principal_arn, .. } | Place::Managed { principal_arn, .. } => principal_arn,
    };
    assert_eq!(principal(world.place(second).unwrap()), BATCH);
    (world, first, second)
}

fn ended(world: &World, id: GrantId) -> EndCause {
    let state = world.grant(id).state;
    let State::Ended { cause, .. } = state else { panic!("{state:?}") };
    cause
}
