//! Break-glass: usable at once, always notified. Until the use is reviewed, its requester is denied ordinary grants.

use std::sync::{Arc, Mutex};

use brevet_domain::canonical::Digest;
use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::{BreakGlass, Entitlement};
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::review::{Note, Review, ReviewOutcome};
use brevet_domain::rule;

use super::schedules::hourly;
use super::world::{
    ISSUANCE_POLICY, Rules, TICK_S, World, ask_for, entitlement, entitlements, id_of, people, proof, publish_with,
    refused,
};
use crate::evaluate::decide::{ReviewBallot, Reviews};
use crate::fake::run;
use crate::port::{Clock, GrantReader, ReviewReader};
use crate::records::GrantRecords;
use crate::refusal::Refusal;

/// Like `deploy`, for emergencies, with the given reviewer. Dana owns it.
pub(super) fn rescue(reviewer: &str, while_overdue: bool) -> Entitlement {
    let glass = BreakGlass { reviewer: reviewer.parse().unwrap(), heartbeat_max_age_s: Some(3_600), while_overdue };
    Entitlement { id: "rescue".parse().unwrap(), break_glass: Some(glass), ..entitlement() }
}

fn with(world: &World, change: impl FnOnce(&mut Rules)) {
    change(&mut world.rules.lock().unwrap());
}

/// Adds `rescue` to the catalogue. Omar may use it without approval.
pub(super) fn prepare(world: &World) {
    prepare_with(world, rescue("lea", false));
    world.tick();
}

/// Adds the given entitlement to the catalogue.
pub(super) fn prepare_with(world: &World, rescue: Entitlement) {
    with(world, |rules| rules.entitlements.push(rescue.clone()));
    publish_with(&world.store, &people(), entitlements().into_iter().chain([rescue]).collect());
}

fn world() -> World {
    let world = World::new();
    prepare(&world);
    world
}

fn asked(world: &World, caller: &str, key: &str, entitlement: &str) -> Option<Result<GrantRecords, Refusal>> {
    run(world.intake.submit(&proof(caller), key, ask_for(entitlement), world.clock.now()))
}

pub(super) fn reviewed(world: &World, caller: &str, id: GrantId) -> Option<Result<GrantRecords, Refusal>> {
    let digest = world.grant(id).decision_digest;
    review_of(world, caller, id, ReviewOutcome::Justified, digest)
}

fn review_of(
    world: &World,
    caller: &str,
    id: GrantId,
    outcome: ReviewOutcome,
    digest: Digest,
) -> Option<Result<GrantRecords, Refusal>> {
    let note = Note::try_from("nobody answered".to_owned()).unwrap();
    run(world.decider.review(&proof(caller), id, ReviewBallot { outcome, note, digest }, world.clock.now()))
}

fn listed(world: &World, caller: &str) -> Reviews {
    run(world.decider.reviews(&proof(caller), None, 10, world.clock.now())).unwrap().unwrap()
}

/// An ended break-glass use without a review.
fn used(world: &World) -> GrantId {
    let id = id_of(asked(world, "omar ask run-1", "glass", "rescue"));
    world.vend("omar credentials run-1", id).unwrap().unwrap();
    world.release("omar ask run-1", id).unwrap().unwrap();
    world.tick_for(4 * TICK_S);
    assert!(matches!(world.grant(id).state, State::Ended { .. }), "{:?}", world.grant(id).state);
    id
}

fn reason(world: &World, id: GrantId) -> String {
    let State::Denied { reason, .. } = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
    reason
}

#[test]
fn break_glass_use_is_notified_at_once_and_counted_until_reviewed() {
    let world = world();
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(0));
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    assert!(matches!(world.grant(id).state, State::Approved { .. }), "usable at once");
    assert_eq!(world.recorded_uses.take(), [id]);
    // The count comes from the store: it covers grants that are not used yet and lost notifications.
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(1));
    world.vend("omar credentials run-1", id).unwrap().unwrap();
    assert_eq!(refused(reviewed(&world, "lea approve", id)).1, "not_over");
    world.release("omar ask run-1", id).unwrap().unwrap();
    world.tick_for(4 * TICK_S);
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(1));
    assert_eq!(world.grant(id).drop_at(), None, "a grant that awaits its review gets no TTL");
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(0));
    assert!(world.grant(id).drop_at().is_some());
    // An ordinary grant notifies nobody.
    id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(world.recorded_uses.take(), []);
    world.assert_invariants("notified");
}

#[test]
fn unreviewed_use_denies_its_requester_all_but_break_glass() {
    let world = world();
    with(&world, |rules| rules.humans_with_approval = true);
    let id = used(&world);
    let denied = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
    let reason = reason(&world, denied);
    assert!(reason.contains(&id.to_string()) && reason.contains("is not reviewed yet"), "{reason}");
    let decision = run(world.store.decision(denied)).unwrap().unwrap().unwrap();
    assert_eq!(decision.terms.determining, [rule::REVIEW]);
    // Other identities are not affected, and neither is an emergency.
    assert!(matches!(world.grant(id_of(world.submit("bot ask run-1", "key"))).state, State::Approved { .. }));
    let again = id_of(asked(&world, "omar ask run-2", "again", "rescue"));
    assert!(matches!(world.grant(again).state, State::Approved { .. }));
    world.release("omar ask run-2", again).unwrap().unwrap();
    world.tick();
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    // The second grant was withdrawn before use, so it needs no review.
    assert!(matches!(world.grant(again).state, State::Withdrawn { .. }));
    assert_eq!(refused(reviewed(&world, "lea approve", again)).1, "nothing_to_review");
    let ordinary = id_of(asked(&world, "omar ask run-1", "now", "deploy"));
    assert!(matches!(world.grant(ordinary).state, State::ApprovalAwaited { .. }));
    assert_eq!(
        run(world.store.awaited(&"omar".parse().unwrap())).unwrap().unwrap(),
        [],
        "the withdrawn use is no longer listed"
    );
}

#[test]
fn quorum_denies_a_request_whose_requester_used_break_glass() {
    let world = world();
    with(&world, |rules| (rules.humans_with_approval, rules.approvers) = (true, vec!["lea", "dana"]));
    let ordinary = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    world.vote("lea approve", ordinary, true).unwrap().unwrap();
    assert!(reason(&world, ordinary).contains(&id.to_string()));
}

#[test]
fn review_is_accepted_only_from_the_reviewer_and_never_for_their_own_use() {
    let world = world();
    let id = used(&world);
    for (caller, code) in [
        ("omar approve", "not_reviewer"),
        ("dana approve", "not_reviewer"),
        ("agent approve", "grant_not_found"),
        ("lea ask", "token_audience"),
    ] {
        assert_eq!(refused(reviewed(&world, caller, id)).1, code, "{caller}");
    }
    let other = review_of(&world, "lea approve", id, ReviewOutcome::Justified, Digest::ZERO);
    assert_eq!(refused(other).1, "digest_mismatch");
    assert_eq!(world.grant(id).review, Some(Review::Awaited));
    assert_eq!(listed(&world, "lea approve").reports.len(), 1);
    assert!(listed(&world, "omar approve").reports.is_empty());
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    assert!(listed(&world, "lea approve").reports.is_empty());
    // The same review again is accepted; a different one is refused.
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    let digest = world.grant(id).decision_digest;
    let otherwise = review_of(&world, "lea approve", id, ReviewOutcome::Unjustified, digest);
    assert_eq!(refused(otherwise).1, "reviewed_already");
    let entry = world.store.snapshot().evidence_of(id).pop().unwrap();
    assert_eq!(
        (entry.body.event.as_str(), &entry.body.detail["with"]["note"]),
        ("Reviewed", &"nobody answered".into())
    );
    world.assert_invariants("reviewed");
}

#[test]
fn owner_reviews_when_the_reviewer_cannot() {
    // The reviewer has left.
    let world_one = world();
    let id = used(&world_one);
    with(&world_one, |rules| drop(rules.registered.remove("lea")));
    assert_eq!(refused(reviewed(&world_one, "lea approve", id)).1, "not_reviewer");
    reviewed(&world_one, "dana approve", id).unwrap().unwrap();
    // The catalogue now names another reviewer.
    let world_two = world();
    let id = used(&world_two);
    with(&world_two, |rules| *rules.entitlements.last_mut().unwrap() = rescue("dana", false));
    assert_eq!(refused(reviewed(&world_two, "lea approve", id)).1, "not_reviewer");
    reviewed(&world_two, "dana approve", id).unwrap().unwrap();
    // The user of the grant is also its reviewer.
    let world_three = world();
    with(&world_three, |rules| *rules.entitlements.last_mut().unwrap() = rescue("omar", false));
    let id = used(&world_three);
    assert_eq!(refused(reviewed(&world_three, "omar approve", id)).1, "not_reviewer");
    reviewed(&world_three, "dana approve", id).unwrap().unwrap();
}

#[test]
fn ordinary_request_is_denied_or_decided_before_a_concurrent_break_glass_use() {
    // Break-glass is used right before each port call of the ordinary request.
    let mut number = 1;
    loop {
        let world = Arc::new(world());
        with(&world, |rules| rules.humans_with_approval = true);
        let (other, was_decided) = (Arc::clone(&world), Arc::new(Mutex::new(None)));
        let recorded = Arc::clone(&was_decided);
        let start = world.faults.n_calls();
        world.faults.meanwhile(start + number, move || {
            *recorded.lock().unwrap() = Some(other.store.snapshot().grants().next().is_some());
            id_of(asked(&other, "omar ask run-1", "glass", "rescue"));
        });
        let ordinary = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
        let Some(was_decided) = *was_decided.lock().unwrap() else {
            assert!(number > 8, "break-glass was never used during the request");
            return;
        };
        assert_eq!(world.recorded_uses.take().len(), 1, "call {number}");
        let decision = run(world.store.decision(ordinary)).unwrap().unwrap().unwrap();
        // A request decided before the use stands. One decided after it is denied.
        let denied = decision.terms.determining == [rule::REVIEW];
        assert_eq!(denied, !was_decided, "call {number}: {:?}", decision.terms.outcome);
        number += 1;
    }
}

#[test]
fn break_glass_is_issued_with_an_old_heartbeat_up_to_its_own_limit() {
    let world = world();
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    let bot = id_of(world.submit("bot ask run-1", "key"));
    world.clock.advance(500);
    assert_eq!(refused(world.vend("bot credentials run-1", bot)).1, "heartbeat_missing");
    world.vend("omar credentials run-1", id).unwrap().unwrap();
    world.assert_all_ends("reaper_health");
}

#[test]
fn dry_run_reports_an_awaited_review_and_the_future_reviewer() {
    let world = world();
    with(&world, |rules| rules.humans_with_approval = true);
    let id = used(&world);
    let now = world.clock.now();
    let rehearse = |entitlement| {
        run(world.decider.rehearse(&proof("omar ask run-1"), ask_for(entitlement), ISSUANCE_POLICY, now))
            .unwrap()
            .unwrap()
    };
    let ordinary = rehearse("deploy").verdict;
    assert_eq!(ordinary.determining, [rule::REVIEW]);
    assert!(matches!(&ordinary.outcome, Outcome::Deny { reason } if reason.contains(&id.to_string())));
    let glass = rehearse("rescue").verdict;
    assert_eq!(
        (glass.outcome, glass.traits.break_glass.map(|glass| glass.reviewer)),
        (Outcome::Allow, "lea".parse().ok())
    );
}

#[test]
fn schedule_is_denied_break_glass() {
    let world = world();
    world.declare(hourly("night", "omar", "rescue"));
    world.next_hour();
    assert_eq!(world.run_schedules().unwrap().unwrap().n_denied, 1);
    assert_eq!(world.recorded_uses.take(), []);
    assert_eq!(run(world.store.awaited(&"omar".parse().unwrap())).unwrap().unwrap(), []);
}
