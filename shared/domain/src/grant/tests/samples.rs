//! Sample grants in every state, and sample events for a given grant at a given instant.

use ulid::Ulid;

use super::super::*;
use crate::decision::Tally;
use crate::entitlement::Rotation;
use crate::review::{Review, ReviewOutcome};

/// The bounds of every sample, in seconds.
pub(super) const BOUNDS: Bounds = Bounds { skew_s: 2, quiet_s: 10, call_s: 8 };

/// `seconds` after noon; every instant of a sample is written this way.
pub(super) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

/// A digest of one repeated hex digit: cheaper than a computed one.
fn digest(hex: char) -> Digest {
    hex.to_string().repeat(64).parse().unwrap()
}

pub(super) fn person(name: &str) -> IdentityId {
    name.parse().unwrap()
}

pub(super) fn grant_id(n: u128) -> GrantId {
    GrantId::from_ulid(Ulid(n))
}

pub(super) fn reading(at: Timestamp) -> Reading {
    Reading { at, request_id: "read".to_owned() }
}

/// The delivery of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Session,
    /// A break-glass session, which may touch IAM.
    IamSession,
    Inline,
    Managed,
}

impl By {
    fn delivery(self) -> Delivery {
        let principal_arn = "arn:aws:iam::000000000000:role/app".to_owned();
        match self {
            Self::Session | Self::IamSession => Delivery::Session {
                role_arn: "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop".to_owned(),
                session_name: "dev.00000000000000000000000001".to_owned(),
                iam_allowed: self == Self::IamSession,
            },
            Self::Inline => Delivery::Inline {
                principal_arn,
                policy_name: "brevet-dev-1".to_owned(),
                probes: Vec::new(),
                n_untried: 0,
            },
            Self::Managed => Delivery::Managed {
                principal_arn,
                policy_arn: "arn:aws:iam::000000000000:policy/brevet/dev/managed/read".to_owned(),
                probes: Vec::new(),
                n_untried: 0,
            },
        }
    }
}

/// A grant of 60 s with delivery `by`, in `state`.
pub(super) fn grant(by: By, state: State) -> Grant {
    Grant {
        id: grant_id(1),
        version: 7,
        identity: person("release-pipeline"),
        class: IdentityClass::Pipeline,
        sponsor: person("olga"),
        task: None,
        on_behalf_of: None,
        entitlement: "deploy-shop".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        term: Term::from_seconds(60).unwrap(),
        delivery: by.delivery(),
        created_at: at(0),
        decision_digest: digest('d'),
        bounds: BOUNDS,
        review: None,
        rotations: Vec::new(),
        state,
        evidence: Head { seq: 7, hash: digest('7') },
    }
}

fn tally(step: &str, needed: u8, approved_by: &[&str]) -> Tally {
    let approved_by = approved_by.iter().map(|name| person(name)).collect();
    Tally { step: step.parse().unwrap(), needed, approved_by }
}

fn awaited_in(steps: Vec<Tally>) -> State {
    State::ApprovalAwaited { deadline: at(600), steps, start_within_s: 300 }
}

/// Two approvals are needed until 600 s after noon; `approved_by` have approved.
pub(super) fn awaited(approved_by: &[&str]) -> State {
    awaited_in(vec![tally("team", 2, approved_by)])
}

/// One approval of the team is needed and then one of security; `team` have approved.
pub(super) fn awaited_in_steps(team: &[&str]) -> State {
    awaited_in(vec![tally("team", 1, team), tally("security", 1, &[])])
}

/// To be started from 10 s to 600 s after noon.
pub(super) fn approved() -> State {
    State::Approved { starts_at: at(10), start_by: at(600) }
}

/// A first attempt, made 19 s after noon. The deadline is 80 s; the latest start is 600 s.
pub(super) fn activating(before: Before) -> State {
    State::Activating {
        deadline: at(80),
        start_by: at(600),
        fence: at(29),
        attempt: 1,
        plan_digest: digest('a'),
        before,
        retry_at: None,
    }
}

/// The same, after that attempt is known not to have been made: the next may be made from 30 s on.
pub(super) fn to_be_retried() -> State {
    let State::Activating { deadline, start_by, fence, attempt, plan_digest, before, .. } = activating(Before::Absent)
    else {
        panic!()
    };
    State::Activating { deadline, start_by, fence, attempt, plan_digest, before, retry_at: Some(at(30)) }
}

/// Two vends: the first answered, the second awaited.
fn vends() -> Vends {
    let vend = |seconds| NewVend {
        deadline: at(80),
        fence: at(seconds).plus(BOUNDS.landing_s()),
        policy_digest: digest('b'),
        duration_s: 900,
    };
    Vends::default().record(&vend(20), at(20)).answer(1, &issued()).unwrap().record(&vend(30), at(30))
}

fn vends_of(by: By) -> Vends {
    match by {
        By::Session | By::IamSession => vends(),
        By::Inline | By::Managed => Vends::default(),
    }
}

/// Active from 20 s to 80 s after noon; no call takes effect after 40 s.
pub(super) fn active(by: By) -> State {
    let attached = matches!(by, By::Inline | By::Managed);
    State::Active {
        activated_at: at(20),
        deadline: at(80),
        fence: at(40),
        vends: vends_of(by),
        plan_digest: attached.then(|| digest('a')),
        next_check_at: attached.then(|| at(60)),
    }
}

/// Released 50 s after noon, with its fence at 70 s; first read as absent at `first_absence`.
pub(super) fn revoking_since(by: By, first_absence: Option<Timestamp>) -> State {
    State::Revoking(Box::new(Revoking {
        cause: EndCause::Released,
        by: Some(person("release-pipeline")),
        since: at(50),
        deadline: at(80),
        fence: at(70),
        attempts: 1,
        last_problem: None,
        first_absence: first_absence.map(reading),
        next_at: at(52),
        vends: vends_of(by),
        effective: None,
        acknowledged: None,
    }))
}

/// The same, acknowledged as overdue by lea.
fn acknowledged(state: State) -> State {
    let State::Revoking(mut revoking) = state else { panic!() };
    revoking.acknowledged = Some(Acknowledged { by: person("lea"), at: at(60) });
    State::Revoking(revoking)
}

/// Ended by its deadline, effective permissions not checked yet.
pub(super) fn over() -> State {
    State::Ended {
        cause: EndCause::Deadline,
        proof: Proof::ByConstruction { deadline: at(80), aws_date: at(83), request_id: "read".to_owned() },
        verified_at: at(83),
        ended_by: EndedBy::TimeLimit,
        effective: None,
    }
}

pub(super) fn denied() -> State {
    State::Denied { by: DeniedBy::Policy, reason: "no policy permits it".to_owned() }
}

pub(super) fn lapsed() -> State {
    State::Lapsed { cause: LapseCause::Start, at: at(600) }
}

pub(super) fn withdrawn() -> State {
    State::Withdrawn { cause: EndCause::Released, by: Some(person("release-pipeline")), at: at(5) }
}

/// A break-glass grant that is not reviewed yet.
fn used(state: State) -> Grant {
    Grant { review: Some(Review::Awaited), ..grant(By::IamSession, state) }
}

/// A break-glass grant that was reviewed 90 s after noon.
fn reviewed() -> Grant {
    let review = Review::Done { by: person("lea"), at: at(90), outcome: ReviewOutcome::Justified };
    Grant { review: Some(review), ..used(over()) }
}

/// The secret that samples rotate.
pub(super) const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-??????";

/// Two rotations of the secret, whose two users alternate.
pub(super) fn twice() -> Rotation {
    Rotation { secret: SECRET.to_owned(), times: 2 }
}

/// Ended, with a secret to rotate twice; no rotation has begun.
pub(super) fn to_rotate() -> Grant {
    Grant { rotations: vec![SecretRotation::of(&twice())], ..grant(By::Session, over()) }
}

/// The same, after its first rotation was requested 90 s after noon.
pub(super) fn asked_to_rotate() -> Grant {
    let mut grant = to_rotate();
    let token = next_token(&grant);
    let rotation = &mut grant.rotations[0];
    rotation.asked = Some(AskedRotation { token, fence: at(108) });
    (rotation.attempts, rotation.next_at) = (1, Some(at(108)));
    grant
}

/// The same, after both rotations are done.
fn rotated() -> Grant {
    let mut grant = to_rotate();
    (grant.rotations[0].done, grant.rotations[0].attempts) = (2, 2);
    grant
}

/// The token of the next call for `grant`.
pub(super) fn next_token(grant: &Grant) -> Digest {
    grant.rotations.first().map_or(digest('1'), |rotation| grant.next_token(rotation))
}

/// The token of the last recorded call.
pub(super) fn asked_token(grant: &Grant) -> Digest {
    grant.rotations.first().and_then(|rotation| rotation.asked).map_or(digest('2'), |asked| asked.token)
}

pub(super) fn call(token: Digest, now: Timestamp) -> Event {
    let fence = now.plus(BOUNDS.landing_s());
    Event::RotationRecorded { secret: SECRET.to_owned(), token, fence, next_at: now.plus(60), again: None }
}

pub(super) fn done(token: Digest, at: Timestamp) -> Event {
    Event::RotationObserved { secret: SECRET.to_owned(), token, reading: reading(at) }
}

pub(super) fn not_rotated(next_at: Timestamp) -> Event {
    Event::RotationTroubled { secret: SECRET.to_owned(), problem: "throttled".to_owned().into(), next_at }
}

/// The deadline that a vend at `now` must carry.
pub(super) fn right_deadline(grant: &Grant, now: Timestamp) -> Timestamp {
    match &grant.state {
        State::Active { deadline, .. } => *deadline,
        _ => grant.deadline_if_activated(now),
    }
}

pub(super) fn new_vend(deadline: Timestamp, now: Timestamp) -> Event {
    Event::VendRecorded(NewVend {
        deadline,
        fence: now.plus(BOUNDS.landing_s()),
        policy_digest: digest('b'),
        duration_s: 900,
    })
}

pub(super) fn issued() -> VendAnswer {
    VendAnswer::Issued { access_key_id: "ASIAEXAMPLE".to_owned(), expires_at: at(920), packed_percent: Some(12) }
}

pub(super) fn failed() -> VendAnswer {
    VendAnswer::Failed { problem: "refused".to_owned().into() }
}

fn attempt(plan: char, now: Timestamp) -> Event {
    Event::ActivationRecorded { fence: now.plus(BOUNDS.landing_s()), plan_digest: digest(plan), before: Before::Absent }
}

fn plan_changed(grant: &Grant) -> Event {
    let (decision_digest, delivery) = (grant.decision_digest, grant.delivery.clone());
    let steps = vec![tally("team", 2, &["anna"]), tally("security", 1, &[])];
    Event::PlanChanged { decision_digest, delivery, rotate: vec![twice()], steps, start_within_s: 600 }
}

/// Every event in every relevant variant, built for `grant` at `now`.
pub(super) fn events(grant: &Grant, now: Timestamp) -> Vec<(&'static str, Event)> {
    let given = |by, step: &str| Event::ApprovalGiven { by: person(by), step: step.parse().unwrap() };
    let answer = |seq, answer| Event::VendAnswered { seq, answer };
    let proved = |aws_date| Event::DeadlineProved { aws_date, request_id: "read".to_owned() };
    let handed = |holders: &[u128]| Event::HandedOver {
        holders: holders.iter().map(|n| grant_id(*n)).collect(),
        reading: reading(now),
    };
    let removal = Event::RemovalRecorded {
        operation: "iam:PutRolePolicy".to_owned(),
        target: "brevet-dev-shop".to_owned(),
        policy: "brevet-dev-ended".to_owned(),
        document_digest: Some(digest('e')),
        next_at: at(200),
    };
    let troubled = Event::RemovalTroubled { problem: "throttled".to_owned().into(), next_at: at(200) };
    let stopped = |cause| Event::Stopped { cause, by: Some(person("olga")), fence: now.plus(BOUNDS.landing_s()) };
    let right = right_deadline(grant, now);
    vec![
        ("by a second person", given("bela", "team")),
        ("by the same person", given("anna", "team")),
        ("by a second person for security", given("bela", "security")),
        ("", Event::ApprovalRefused { by: person("bela") }),
        ("", Event::DecidedAgainst { reason: "forbidden now".to_owned() }),
        ("", plan_changed(grant)),
        ("", Event::ApprovalDeadlinePassed),
        ("", Event::StartByPassed),
        ("released", stopped(EndCause::Released)),
        ("killed", stopped(EndCause::Killed)),
        ("by somebody else", Event::Reviewed { by: person("lea"), outcome: ReviewOutcome::Justified }),
        ("by its holder", Event::Reviewed { by: grant.identity.clone(), outcome: ReviewOutcome::Justified }),
        ("by its sponsor", Event::Reviewed { by: grant.sponsor.clone(), outcome: ReviewOutcome::Justified }),
        ("", Event::DeadlinePassed),
        ("right deadline", new_vend(right, now)),
        ("later deadline", new_vend(right.plus(1), now)),
        ("earlier deadline", new_vend(right.minus(1), now)),
        ("vend 2, issued", answer(2, issued())),
        ("vend 2, failed", answer(2, failed())),
        ("vend 2, still awaited", answer(2, VendAnswer::Awaited)),
        ("vend 1, same answer again", answer(1, issued())),
        ("vend 1, other answer", answer(1, failed())),
        ("unknown vend", answer(9, issued())),
        ("same plan", attempt('a', now)),
        ("other plan", attempt('c', now)),
        ("", Event::PreflightRefused { problem: "no boundary".to_owned().into() }),
        ("", Event::AttemptNotDone { problem: "throttled".to_owned().into(), next_at: now.plus(5) }),
        ("", Event::ActivationFailed { problem: "refused".to_owned().into() }),
        ("", Event::PresenceObserved(reading(now))),
        ("", Event::DriftObserved(reading(now))),
        ("", removal),
        ("", troubled),
        ("by somebody else", Event::OverdueAcknowledged { by: person("lea") }),
        ("by its sponsor", Event::OverdueAcknowledged { by: grant.sponsor.clone() }),
        ("read now", Event::AbsenceObserved(reading(now))),
        ("read in the future", Event::AbsenceObserved(reading(now.plus(1)))),
        ("AWS's date past the deadline", proved(at(83))),
        ("AWS's date at the deadline", proved(at(80))),
        ("to another grant", handed(&[2])),
        ("to nobody", handed(&[])),
        ("to itself too", handed(&[2, 1])),
        ("not allowed", Event::EffectiveAccessChecked(EffectiveAccess::NotAllowed { but_by: Vec::new() })),
        ("a new call", call(next_token(grant), now)),
        ("the same call again", call(asked_token(grant), now)),
        ("a call with another token", call(digest('3'), now)),
        ("with the call's token", done(asked_token(grant), now)),
        ("with another token", done(digest('3'), now)),
        ("read in the future", done(asked_token(grant), now.plus(1))),
        ("", not_rotated(now.plus(5))),
    ]
}

/// One grant per state and, where it matters, per delivery, with the instants at which its events are applied,
/// in seconds after noon. Events are also applied one millisecond before each instant but the first.
pub(super) fn starts() -> Vec<(&'static str, Grant, Vec<u32>)> {
    use By::{IamSession, Inline, Managed, Session};
    let ends = || vec![50, 70, 80, 82];
    let again = || vec![52, 65, 70, 80, 82];
    vec![
        ("no approvals", grant(Session, awaited(&[])), vec![0, 600]),
        ("one of two has approved", grant(Session, awaited(&["anna"])), vec![0, 600]),
        ("two steps", grant(Session, awaited_in_steps(&[])), vec![0, 600]),
        ("the first of two steps is met", grant(Session, awaited_in_steps(&["anna"])), vec![0, 600]),
        ("session", grant(Session, approved()), vec![0, 10, 600]),
        ("inline", grant(Inline, approved()), vec![0, 10, 600]),
        ("managed", grant(Managed, approved()), vec![0, 10, 600]),
        ("inline", grant(Inline, activating(Before::Absent)), vec![20, 80, 600]),
        ("inline, to be tried again", grant(Inline, to_be_retried()), vec![20, 30, 80]),
        ("managed", grant(Managed, activating(Before::HeldByGrants)), vec![20, 80, 600]),
        ("session", grant(Session, active(Session)), vec![20, 80]),
        ("break-glass session", grant(IamSession, active(IamSession)), vec![20, 80]),
        ("inline", grant(Inline, active(Inline)), vec![20, 60, 80]),
        ("managed", grant(Managed, active(Managed)), vec![20, 60, 80]),
        ("session", grant(Session, revoking_since(Session, None)), ends()),
        ("session, absent at +55", grant(Session, revoking_since(Session, Some(at(55)))), again()),
        ("break-glass session", grant(IamSession, revoking_since(IamSession, None)), ends()),
        (
            "break-glass session, absent at +85",
            grant(IamSession, revoking_since(IamSession, Some(at(85)))),
            vec![85, 97],
        ),
        ("inline", grant(Inline, revoking_since(Inline, None)), ends()),
        ("inline, absent at +55", grant(Inline, revoking_since(Inline, Some(at(55)))), again()),
        ("managed", grant(Managed, revoking_since(Managed, None)), ends()),
        ("managed, absent at +85", grant(Managed, revoking_since(Managed, Some(at(85)))), vec![85, 97]),
        ("inline, acknowledged", grant(Inline, acknowledged(revoking_since(Inline, None))), ends()),
        ("by policy", grant(Session, denied()), vec![0, 600]),
        ("not started", grant(Session, lapsed()), vec![600, 700]),
        ("by its holder", grant(Session, withdrawn()), vec![5, 600]),
        ("session", grant(Session, over()), vec![83, 500]),
        ("break-glass, not reviewed", used(active(IamSession)), vec![20, 80]),
        ("break-glass, not reviewed", used(over()), vec![83, 500]),
        ("break-glass, not reviewed", used(lapsed()), vec![600, 700]),
        ("break-glass, reviewed", reviewed(), vec![83, 500]),
        ("session, with a secret to rotate twice", to_rotate(), vec![83, 500]),
        ("session, its first rotation asked for", asked_to_rotate(), vec![90, 108]),
        ("session, its secret rotated twice", rotated(), vec![120, 500]),
        ("session, with a secret to rotate", Grant { state: active(Session), ..to_rotate() }, vec![20, 80]),
    ]
}
