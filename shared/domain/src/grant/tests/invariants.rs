//! The invariants that a single grant can show, over random lives.
//!
//! The tests judge by the events that happened, not by the data that `apply` stored about them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::*;
use super::lives::{Moment, live, lives};
use crate::review::Review;

/// The deadline that a state names, if it has one.
fn deadline(state: &State) -> Option<Timestamp> {
    match state {
        State::Activating { deadline, .. } | State::Active { deadline, .. } => Some(*deadline),
        State::Revoking(at) => Some(at.deadline),
        _ => None,
    }
}

fn fence(state: &State) -> Option<Timestamp> {
    match state {
        State::Activating { fence, .. } | State::Active { fence, .. } => Some(*fence),
        State::Revoking(at) => Some(at.fence),
        _ => None,
    }
}

/// The latest fence in the starting state and in every event that was applied.
fn latest_fence(moments: &[Moment]) -> Option<Timestamp> {
    let fences = moments.iter().filter(|m| m.after().is_some()).filter_map(|m| match &m.event {
        Event::VendRecorded(vend) => Some(vend.fence),
        Event::ActivationRecorded { fence, .. } => Some(*fence),
        // The fence of the reserved deny, which ends only sessions.
        Event::Stopped { fence, .. } if matches!(m.before.delivery, Delivery::Session { .. }) => Some(*fence),
        _ => None,
    });
    fences.chain(fence(&moments[0].before.state)).max()
}

/// The first reading of absence since the last reading of presence or the last removal.
fn standing_absence(start: &State, moments: &[Moment]) -> Option<Reading> {
    let start = match start {
        State::Revoking(at) => at.first_absence.clone(),
        _ => None,
    };
    moments.iter().fold(start, |standing, m| match (&m.before.state, &m.event) {
        (State::Revoking(_), Event::PresenceObserved(_) | Event::DriftObserved(_) | Event::RemovalRecorded { .. }) => {
            None
        }
        (State::Revoking(_), Event::AbsenceObserved(reading)) if reading.at <= m.now => {
            standing.or_else(|| Some(reading.clone()))
        }
        _ => standing,
    })
}

/// Runs `check` for every change of every life, with the moments up to and including the change.
fn for_every_change(check: impl Fn(&[Moment], &Grant, &Grant)) {
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&lives(), |life| {
        let moments = live(&life);
        for (n, moment) in moments.iter().enumerate() {
            if let Some(after) = moment.after() {
                check(&moments[..=n], &moment.before, after);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The event of the last moment.
fn event(moments: &[Moment]) -> &Event {
    &moments[moments.len() - 1].event
}

fn now(moments: &[Moment]) -> Timestamp {
    moments[moments.len() - 1].now
}

#[test]
fn random_lives_reach_every_state_and_every_proof() {
    let mut reached = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let life = lives().new_tree(&mut runner).unwrap().current();
        for after in live(&life).iter().filter_map(Moment::after) {
            let name = match &after.state {
                State::Ended { proof: Proof::Observed { .. }, .. } => "observed",
                State::Ended { proof: Proof::ByConstruction { .. }, .. } => "by construction",
                State::Ended { proof: Proof::HandedOver { .. }, .. } => "handed over",
                other => other.name(),
            };
            reached.insert(name);
        }
    }
    let expected = [
        "Activating",
        "Active",
        "Approved",
        "ApprovalAwaited",
        "Denied",
        "Lapsed",
        "Revoking",
        "Withdrawn",
        "observed",
        "by construction",
        "handed over",
    ];
    assert_eq!(reached, expected.into());
}

#[test]
fn invariant_01_activation_records_deadline_fence_and_previous_state_first() {
    for_every_change(|moments, before, after| {
        if let (State::Approved { start_by, .. }, Some(deadline)) = (&before.state, deadline(&after.state)) {
            let now = now(moments);
            assert!(now < *start_by);
            assert_eq!(deadline, now.plus(60).floor());
            assert!(matches!(event(moments), Event::VendRecorded(_) | Event::ActivationRecorded { .. }));
            assert_eq!(fence(&after.state), latest_fence(&moments[moments.len() - 1..]));
        }
    });
}

#[test]
fn invariant_02_grant_that_touched_aws_leaves_revoking_only_with_a_proof() {
    for_every_change(|_, before, after| {
        if matches!(before.state, State::Activating { .. } | State::Active { .. } | State::Revoking(_)) {
            assert!(matches!(
                after.state,
                State::Activating { .. } | State::Active { .. } | State::Revoking(_) | State::Ended { .. }
            ));
        }
        if let (false, State::Ended { .. }) = (before.state.is_terminal(), &after.state) {
            assert!(matches!(before.state, State::Revoking(_)), "ended from {}", before.state.name());
        }
    });
}

#[test]
fn invariant_02_grant_stays_revoking_however_often_a_removal_fails() {
    let revoking = |(_, grant, _): (_, Grant, _)| matches!(grant.state, State::Revoking(_)).then_some(grant);
    let mut grant = super::samples::starts().into_iter().find_map(revoking).unwrap();
    for n in 1..=2_000 {
        for event in [
            Event::RemovalRecorded {
                operation: "iam:PutRolePolicy".to_owned(),
                target: "brevet-dev-shop".to_owned(),
                policy: "brevet-dev-ended".to_owned(),
                document_digest: None,
                next_at: super::samples::at(60 + n),
            },
            Event::RemovalTroubled { problem: "x".repeat(1000).into(), next_at: super::samples::at(61 + n) },
        ] {
            match grant.apply(&event, super::samples::at(60 + n)) {
                Ok(Applied::Changed(after)) => grant = *after,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(matches!(&grant.state, State::Revoking(at) if at.attempts == 2_001));
    let problem = match grant.state {
        State::Revoking(at) => String::from(at.last_problem.unwrap()),
        _ => String::new(),
    };
    assert_eq!(problem.len(), 300);
}

#[test]
fn invariant_03_absence_read_before_the_fence_never_ends_a_grant() {
    for_every_change(|moments, before, after| {
        let ended = (before.state.is_terminal(), &after.state);
        let (false, State::Ended { proof: Proof::Observed { first, second }, .. }) = ended else {
            return;
        };
        let fence = latest_fence(moments).unwrap();
        assert!(second.at >= fence, "read at {}, fence {fence}", second.at);
        assert!(second.at >= first.at.plus(after.bounds.quiet_s + after.bounds.skew_s));
        assert!(second.at <= now(moments));
        // The first absence must be the one that stood before this reading.
        let (_, earlier) = moments.split_last().unwrap();
        let standing = standing_absence(&moments[0].before.state, earlier);
        assert_eq!(Some(first), standing.as_ref());
        assert!(matches!(event(moments), Event::AbsenceObserved(reading) if reading == second));
    });
}

#[test]
fn invariant_03_fence_never_moves_back() {
    for_every_change(|_, before, after| {
        if let (Some(before), Some(after)) = (fence(&before.state), fence(&after.state)) {
            assert!(after >= before, "from {before} to {after}");
        }
    });
}

#[test]
fn invariant_03_session_end_waits_for_older_writes_of_the_reserved_deny() {
    for_every_change(|moments, before, after| {
        if let (Delivery::Session { .. }, State::Active { .. }, State::Revoking(at)) =
            (&before.delivery, &before.state, &after.state)
            && !matches!(event(moments), Event::Stopped { .. })
        {
            assert!(at.fence >= now(moments).plus(after.bounds.landing_s()));
        }
    });
}

#[test]
fn invariant_04_change_raises_the_version_by_one_and_changes_only_its_own_fields() {
    for_every_change(|moments, before, after| {
        let mut expected = Grant { version: before.version + 1, state: after.state.clone(), ..before.clone() };
        if let Event::Reviewed { by, outcome } = event(moments) {
            assert_eq!(before.review, Some(Review::Awaited), "a use is reviewed only once");
            expected.review = Some(Review::Done { by: by.clone(), at: now(moments), outcome: *outcome });
        }
        match event(moments) {
            // Only a new plan and, after the end, a rotation event change rotations; `rotating` tests the latter.
            Event::PlanChanged { rotate, .. } => expected.rotations = rotate.iter().map(SecretRotation::of).collect(),
            Event::RotationRecorded { .. } | Event::RotationObserved { .. } | Event::RotationTroubled { .. } => {
                assert!(before.state == after.state && matches!(before.state, State::Ended { .. }));
                expected.rotations = after.rotations.clone();
            }
            _ => {}
        }
        assert_eq!(after, &expected);
    });
}

#[test]
fn invariant_05_proof_by_construction_requires_that_aws_ended_the_access() {
    for_every_change(|moments, before, after| {
        let ended = (before.state.is_terminal(), &after.state);
        let (false, State::Ended { proof: Proof::ByConstruction { deadline: proved, aws_date, .. }, ended_by, .. }) =
            ended
        else {
            return;
        };
        assert!(matches!(before.delivery, Delivery::Session { iam_allowed: false, .. }));
        assert_eq!(Some(*proved), deadline(&before.state));
        assert!(now(moments) >= proved.plus(after.bounds.skew_s));
        assert!(aws_date > proved);
        assert_eq!(*ended_by, EndedBy::TimeLimit);
    });
}

#[test]
fn invariant_05_managed_policy_is_never_recorded_as_ended_by_its_time_limit() {
    for_every_change(|_, before, after| {
        if let (Delivery::Managed { .. }, State::Ended { ended_by, .. }) = (&before.delivery, &after.state) {
            assert!(*ended_by != EndedBy::TimeLimit);
        }
    });
}

#[test]
fn invariant_10_deadline_is_never_extended() {
    for_every_change(|moments, before, after| {
        if let (Some(before), Some(after)) = (deadline(&before.state), deadline(&after.state)) {
            assert_eq!(before, after);
        }
        if let (Event::VendRecorded(vend), Some(deadline)) = (event(moments), deadline(&after.state)) {
            assert_eq!(vend.deadline, deadline);
            assert!(now(moments) < deadline);
        }
        if let Event::ActivationRecorded { .. } = event(moments) {
            assert!(deadline(&after.state).is_some_and(|deadline| now(moments) < deadline));
        }
    });
}

#[test]
fn terminal_grant_accepts_only_notes() {
    for_every_change(|moments, before, after| {
        if before.state.is_terminal() {
            assert!(matches!(
                event(moments),
                Event::EffectiveAccessChecked(_)
                    | Event::RemovalRecorded { .. }
                    | Event::Reviewed { .. }
                    | Event::RotationRecorded { .. }
                    | Event::RotationObserved { .. }
                    | Event::RotationTroubled { .. }
            ));
            let without_note = |state: &State| match state.clone() {
                State::Ended { cause, proof, verified_at, ended_by, .. } => {
                    State::Ended { cause, proof, verified_at, ended_by, effective: None }
                }
                other => other,
            };
            assert_eq!(without_note(&before.state), without_note(&after.state));
        }
    });
}

#[test]
fn grant_is_due_until_terminal_and_kept_for_the_retention_period() {
    for_every_change(|moments, _, after| {
        let rotates = after.pending_rotations().next().is_some();
        assert_eq!(after.due_at().is_some(), rotates || !after.state.is_terminal());
        let kept = after.awaits_review() || rotates || !after.state.is_terminal();
        assert_eq!(after.drop_at().is_none(), kept);
        let kept_from = now(moments).min(after.created_at);
        assert!(after.drop_at().is_none_or(|at| at >= kept_from.plus(RETENTION_S)));
    });
}

#[test]
fn grant_is_due_no_later_than_its_deadline() {
    for_every_change(|_, _, after| {
        if let (State::Activating { deadline, .. } | State::Active { deadline, .. }, Some(at)) =
            (&after.state, after.due_at())
        {
            assert!(at <= *deadline);
        }
    });
}

#[test]
fn vends_count_every_vend_and_cover_every_credential_lifetime() {
    for_every_change(|moments, before, after| {
        let vends = |state: &State| match state {
            State::Active { vends, .. } => vends.clone(),
            State::Revoking(at) => at.vends.clone(),
            _ => Vends::default(),
        };
        if after.state.is_terminal() || before.state.is_terminal() {
            return;
        }
        let (had, has) = (vends(&before.state), vends(&after.state));
        let recorded = matches!(event(moments), Event::VendRecorded(_));
        assert_eq!(has.count, had.count + u32::from(recorded));
        assert!(has.gone_by >= had.gone_by && has.last.len() <= 8);
        if let Event::VendRecorded(vend) = event(moments) {
            assert!(has.gone_by >= Some(vend.fence.plus(vend.duration_s)));
            assert_eq!(has.last.last().map(|vend| vend.seq), Some(has.count));
        }
    });
}

#[test]
fn grant_round_trips_through_json() {
    for_every_change(|_, _, after| {
        let text = serde_json::to_string(after).unwrap();
        assert_eq!(&serde_json::from_str::<Grant>(&text).unwrap(), after);
        let moved = Grant { evidence: Head::START, ..after.clone() };
        assert_eq!(moved.digest().unwrap(), after.digest().unwrap());
    });
}
