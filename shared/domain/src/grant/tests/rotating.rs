//! Tests of secret rotation after the end: when, how often, and how long the grant stays on the to-do list.

use super::super::*;
use super::samples::*;

fn after(grant: &Grant, event: &Event, now: Timestamp) -> Grant {
    match grant.apply(event, now).unwrap() {
        Applied::Changed(after) => *after,
        Applied::NoOp => panic!("`{}` changed nothing", event.name()),
    }
}

#[test]
fn secret_is_due_at_the_end_and_keeps_the_record_until_all_rotations_are_done() {
    let mut grant = to_rotate();
    assert_eq!((grant.due_at(), grant.due_role(), grant.drop_at()), (Some(at(83)), DueRole::Rotate, None));
    for second in [100, 200] {
        grant = after(&grant, &call(next_token(&grant), at(second)), at(second));
        assert_eq!(grant.due_at(), Some(at(second + 60)));
        let token = asked_token(&grant);
        assert_eq!((grant.rotating_for_s(at(second)), grant.drop_at()), (Some(u64::from(second) - 83), None));
        grant = after(&grant, &done(token, at(second + 70)), at(second + 70));
    }
    assert_eq!((grant.due_at(), grant.rotating_for_s(at(300))), (None, None));
    assert_eq!(grant.drop_at(), Some(at(83).plus(RETENTION_S)));
    assert_eq!(grant.state, to_rotate().state, "a rotation does not change the end");
    let more = grant.apply(&call(next_token(&grant), at(400)), at(400));
    assert!(matches!(more, Err(TransitionError::NotAllowed { .. })), "{more:?}");
}

#[test]
fn rotation_is_refused_before_the_end_is_proved() {
    for state in [active(By::Session), revoking_since(By::Session, Some(at(55)))] {
        let grant = Grant { state, ..to_rotate() };
        let early = grant.apply(&call(next_token(&grant), at(79)), at(79));
        assert!(matches!(early, Err(TransitionError::NotAllowed { .. })), "{early:?}");
        assert_eq!((grant.due_role(), grant.rotating_for_s(at(79))), (DueRole::Reap, None));
    }
}

#[test]
fn grant_that_touched_nothing_rotates_no_secret() {
    for state in [denied(), lapsed(), withdrawn()] {
        let grant = Grant { state, ..to_rotate() };
        assert_eq!((grant.due_at(), grant.pending_rotations().count()), (None, 0));
        assert!(grant.drop_at().is_some() && grant.apply(&call(next_token(&grant), at(700)), at(700)).is_err());
    }
}

#[test]
fn rotation_stays_pending_however_many_problems_occur() {
    let mut grant = asked_to_rotate();
    for n in 0..1_000 {
        let now = at(200).plus(n);
        grant = after(&grant, &not_rotated(now.plus(5)), now);
        assert_eq!(grant.due_at(), Some(now.plus(5)));
    }
    assert!(grant.rotations[0].last_problem.is_some());
    grant = after(&grant, &done(asked_token(&grant), at(2_000)), at(2_000));
    assert_eq!((grant.rotations[0].done, &grant.rotations[0].last_problem), (1, &None));
}

#[test]
fn rotation_call_is_not_read_or_repeated_before_its_fence() {
    let grant = asked_to_rotate();
    assert_eq!(after(&grant, &not_rotated(at(95)), at(91)).due_at(), Some(at(108)));
    let again = grant.apply(&call(next_token(&grant), at(107)), at(107));
    assert_eq!(again, Err(TransitionError::TooEarly { event: "RotationRecorded", not_before: at(108) }));
}

#[test]
fn grant_that_ends_a_second_time_rotates_with_another_token() {
    let first = to_rotate();
    let mut second = first.clone();
    if let State::Ended { verified_at, .. } = &mut second.state {
        *verified_at = verified_at.plus(600);
    }
    assert_ne!(next_token(&first), next_token(&second), "a rotation before the second end must not count after it");
}

#[test]
fn each_rotation_call_has_its_own_token_of_valid_length() {
    let mut grant = to_rotate();
    let mut tokens = std::collections::BTreeSet::new();
    for n in 0..4 {
        let now = at(100 + 100 * n);
        let token = next_token(&grant);
        assert_eq!((token, token.to_string().len()), (next_token(&grant), 64));
        assert!(tokens.insert(token));
        grant = after(&grant, &call(token, now), now);
    }
    let other = Grant { id: grant_id(2), ..to_rotate() };
    assert!(tokens.insert(next_token(&other)), "another grant rotates the same secret with another token");
}

#[test]
fn changed_plan_replaces_the_secrets_to_rotate() {
    let grant = Grant { rotations: Vec::new(), ..grant(By::Session, awaited(&[])) };
    let changed = events(&grant, at(1)).into_iter().find(|(_, event)| event.name() == "PlanChanged").unwrap().1;
    assert_eq!(after(&grant, &changed, at(1)).rotations, [SecretRotation::of(&twice())]);
}
