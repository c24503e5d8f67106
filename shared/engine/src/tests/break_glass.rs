//! Break-glass: at once, told, and nothing ordinary for its requester until somebody apart has reviewed the use.

use std::sync::{Arc, Mutex};

use brevet_domain::canonical::Digest;
use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::{BreakGlass, Entitlement};
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::review::{Note, Review, ReviewOutcome};
use brevet_domain::rule;

use super::scheduled::hourly;
use super::world::{
    Rules, TICK_S, TOLERANCE, World, ask_for, entitlement, entitlements, id_of, people, proof, publish_with, refused,
};
use crate::decide::{ReviewBallot, Reviews};
use crate::fake::run;
use crate::port::{Clock, GrantReader, ReviewReader};
use crate::refusal::Refusal;
use crate::report::Report;

/// The same as `deploy`, for emergencies; lea reviews, dana answers for it.
pub(super) fn rescue(reviewer: &str, while_overdue: bool) -> Entitlement {
    let glass = BreakGlass { reviewer: reviewer.parse().unwrap(), heart_max_age_s: Some(3_600), while_overdue };
    Entitlement { id: "rescue".parse().unwrap(), break_glass: Some(glass), ..entitlement() }
}

fn with(world: &World, change: impl FnOnce(&mut Rules)) {
    change(&mut world.rules.lock().unwrap());
}

/// From now on there is `rescue`, which omar may use at once.
pub(super) fn prepare(world: &World) {
    prepare_with(world, rescue("lea", false));
    world.tick();
}

/// The same for `rescue` as it is given, beside all that there is.
pub(super) fn prepare_with(world: &World, rescue: Entitlement) {
    with(world, |rules| rules.entitlements.push(rescue.clone()));
    publish_with(&world.store, &people(), entitlements().into_iter().chain([rescue]).collect());
}

fn world() -> World {
    let world = World::new();
    prepare(&world);
    world
}

fn asked(world: &World, who: &str, key: &str, what: &str) -> Option<Result<Report, Refusal>> {
    run(world.intake.submit(&proof(who), key, ask_for(what), world.clock.now()))
}

pub(super) fn reviewed(world: &World, who: &str, id: GrantId) -> Option<Result<Report, Refusal>> {
    let digest = world.grant(id).decision_digest;
    review_of(world, who, id, ReviewOutcome::Justified, digest)
}

fn review_of(
    world: &World,
    who: &str,
    id: GrantId,
    outcome: ReviewOutcome,
    digest: Digest,
) -> Option<Result<Report, Refusal>> {
    let note = Note::try_from("nobody answered".to_owned()).unwrap();
    run(world.decider.review(&proof(who), id, ReviewBallot { outcome, note, digest }, world.clock.now()))
}

fn listed(world: &World, who: &str) -> Reviews {
    run(world.decider.reviews(&proof(who), None, 10, world.clock.now())).unwrap().unwrap()
}

/// A use that is over; nobody has looked at it.
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
fn a_use_is_told_at_once_and_counted_until_it_was_reviewed() {
    let world = world();
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(0));
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    assert!(matches!(world.grant(id).state, State::Approved { .. }), "usable at once");
    assert_eq!(world.told.take(), [id]);
    // Counted from the store: also before it is used, and if the word of it got lost.
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(1));
    world.vend("omar credentials run-1", id).unwrap().unwrap();
    assert_eq!(refused(reviewed(&world, "lea approve", id)).1, "not_over");
    world.release("omar ask run-1", id).unwrap().unwrap();
    world.tick_for(4 * TICK_S);
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(1));
    assert_eq!(world.grant(id).drop_at(), None, "what is to be reviewed is kept");
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    assert_eq!(world.tick().unwrap().unwrap().n_unreviewed, Some(0));
    assert!(world.grant(id).drop_at().is_some());
    // An ordinary grant is told to nobody.
    id_of(world.submit("bot ask run-1", "key"));
    assert_eq!(world.told.take(), []);
    world.assert_invariants("told");
}

#[test]
fn until_its_use_was_reviewed_its_requester_gets_nothing_ordinary_but_break_glass() {
    let world = world();
    with(&world, |rules| rules.humans_with_approval = true);
    let id = used(&world);
    let denied = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
    let said = reason(&world, denied);
    assert!(said.contains(&id.to_string()) && said.contains("was not reviewed yet"), "{said}");
    let decision = run(world.store.decision(denied)).unwrap().unwrap().unwrap();
    assert_eq!(decision.terms.determining, [rule::REVIEW]);
    // Others go on, and so does an emergency.
    assert!(matches!(world.grant(id_of(world.submit("bot ask run-1", "key"))).state, State::Approved { .. }));
    let again = id_of(asked(&world, "omar ask run-2", "again", "rescue"));
    assert!(matches!(world.grant(again).state, State::Approved { .. }));
    world.release("omar ask run-2", again).unwrap().unwrap();
    world.tick();
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    // The second use was none: nothing was touched.
    assert!(matches!(world.grant(again).state, State::Withdrawn { .. }));
    assert_eq!(refused(reviewed(&world, "lea approve", again)).1, "nothing_to_review");
    let ordinary = id_of(asked(&world, "omar ask run-1", "now", "deploy"));
    assert!(matches!(world.grant(ordinary).state, State::ApprovalAwaited { .. }));
    assert_eq!(
        run(world.store.awaited(&"omar".parse().unwrap())).unwrap().unwrap(),
        [],
        "what was none is tidied away"
    );
}

#[test]
fn what_awaits_approval_when_the_glass_breaks_is_denied_at_quorum() {
    let world = world();
    with(&world, |rules| (rules.humans_with_approval, rules.approvers) = (true, vec!["lea", "dana"]));
    let ordinary = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    world.vote("lea approve", ordinary, true).unwrap().unwrap();
    assert!(reason(&world, ordinary).contains(&id.to_string()));
}

#[test]
fn only_the_reviewer_reviews_and_never_their_own_use() {
    let world = world();
    let id = used(&world);
    for (who, code) in [
        ("omar approve", "not_reviewer"),
        ("dana approve", "not_reviewer"),
        ("agent approve", "grant_not_found"),
        ("lea ask", "token_audience"),
    ] {
        assert_eq!(refused(reviewed(&world, who, id)).1, code, "{who}");
    }
    let other = review_of(&world, "lea approve", id, ReviewOutcome::Justified, Digest::ZERO);
    assert_eq!(refused(other).1, "digest_mismatch");
    assert_eq!(world.grant(id).review, Some(Review::Awaited));
    assert_eq!(listed(&world, "lea approve").reports.len(), 1);
    assert!(listed(&world, "omar approve").reports.is_empty());
    reviewed(&world, "lea approve", id).unwrap().unwrap();
    assert!(listed(&world, "lea approve").reports.is_empty());
    // Said once more it is the same; said otherwise it is refused.
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
fn where_the_reviewer_cannot_the_owner_reviews() {
    // The reviewer has left.
    let world_one = world();
    let id = used(&world_one);
    with(&world_one, |rules| drop(rules.registered.remove("lea")));
    assert_eq!(refused(reviewed(&world_one, "lea approve", id)).1, "not_reviewer");
    reviewed(&world_one, "dana approve", id).unwrap().unwrap();
    // The catalogue names another by now.
    let world_two = world();
    let id = used(&world_two);
    with(&world_two, |rules| *rules.entitlements.last_mut().unwrap() = rescue("dana", false));
    assert_eq!(refused(reviewed(&world_two, "lea approve", id)).1, "not_reviewer");
    reviewed(&world_two, "dana approve", id).unwrap().unwrap();
    // Who used it is its reviewer, too.
    let world_three = world();
    with(&world_three, |rules| *rules.entitlements.last_mut().unwrap() = rescue("omar", false));
    let id = used(&world_three);
    assert_eq!(refused(reviewed(&world_three, "omar approve", id)).1, "not_reviewer");
    reviewed(&world_three, "dana approve", id).unwrap().unwrap();
}

#[test]
fn two_requests_at_once_never_both_slip_by() {
    // The glass is broken right before each port call of the ordinary request.
    let mut number = 1;
    loop {
        let world = Arc::new(world());
        with(&world, |rules| rules.humans_with_approval = true);
        let (other, stood) = (Arc::clone(&world), Arc::new(Mutex::new(None)));
        let seen = Arc::clone(&stood);
        let start = world.faults.n_calls();
        world.faults.meanwhile(start + number, move || {
            *seen.lock().unwrap() = Some(other.store.snapshot().grants().next().is_some());
            id_of(asked(&other, "omar ask run-1", "glass", "rescue"));
        });
        let ordinary = id_of(asked(&world, "omar ask run-1", "ordinary", "deploy"));
        let Some(stood) = *stood.lock().unwrap() else {
            assert!(number > 8, "the glass never broke in between");
            return;
        };
        assert_eq!(world.told.take().len(), 1, "call {number}");
        let decision = run(world.store.decision(ordinary)).unwrap().unwrap().unwrap();
        // What was decided before the glass broke stands; what is decided after it is denied.
        let denied = decision.terms.determining == [rule::REVIEW];
        assert_eq!(denied, !stood, "call {number}: {:?}", decision.terms.outcome);
        number += 1;
    }
}

#[test]
fn break_glass_works_while_the_heart_is_old_up_to_its_own_setting() {
    let world = world();
    let id = id_of(asked(&world, "omar ask run-1", "glass", "rescue"));
    let bot = id_of(world.submit("bot ask run-1", "key"));
    world.clock.advance(500);
    assert_eq!(refused(world.vend("bot credentials run-1", bot)).1, "heart_stopped");
    world.vend("omar credentials run-1", id).unwrap().unwrap();
    world.assert_all_ends("heart");
}

#[test]
fn a_dry_run_tells_that_a_review_is_awaited_and_that_its_use_would_be_reviewed() {
    let world = world();
    with(&world, |rules| rules.humans_with_approval = true);
    let id = used(&world);
    let now = world.clock.now();
    let said =
        |what| run(world.decider.rehearse(&proof("omar ask run-1"), ask_for(what), TOLERANCE, now)).unwrap().unwrap();
    let ordinary = said("deploy").verdict;
    assert_eq!(ordinary.determining, [rule::REVIEW]);
    assert!(matches!(&ordinary.outcome, Outcome::Deny { reason } if reason.contains(&id.to_string())));
    let glass = said("rescue").verdict;
    assert_eq!(
        (glass.outcome, glass.traits.break_glass.map(|glass| glass.reviewer)),
        (Outcome::Allow, "lea".parse().ok())
    );
}

#[test]
fn a_schedule_never_breaks_the_glass() {
    let world = world();
    world.declare(hourly("night", "omar", "rescue"));
    world.next_hour();
    assert_eq!(world.look().unwrap().unwrap().n_denied, 1);
    assert_eq!(world.told.take(), []);
    assert_eq!(run(world.store.awaited(&"omar".parse().unwrap())).unwrap().unwrap(), []);
}
