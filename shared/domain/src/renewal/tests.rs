use serde_json::json;

use super::*;
use crate::decision::{Outcome, Terms, Traits};
use crate::grant::{DeniedBy, EndedBy, Proof, Vends};
use crate::identity::{IdentityClass, ProofSummary};
use crate::settings::{Bounds, Deployment};
use crate::time::Term;

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn id() -> GrantId {
    "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

fn ask() -> Ask {
    serde_json::from_value(json!({ "entitlement": "deploy", "parameters": { "version": "v1" }, "term_s": 300 }))
        .unwrap()
}

fn task(text: &str) -> Task {
    text.to_owned().try_into().unwrap()
}

/// The grant of `bot` for its task `run-1`, in `state`, which is renewal `n` in a row.
fn before(state: State, n: u32) -> (Grant, Decision, Request) {
    let request = Request { id: id(), ask: ask(), asked_at: at(0), decide_by: at(60) };
    let proof = ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: "bot".to_owned(),
        token_digest: Digest::ZERO,
        issued_at: at(0),
        expires_at: at(300),
        auth: crate::identity::AuthContext::default(),
    };
    let terms = Terms {
        id: id(),
        request_digest: Digest::of(&request).unwrap(),
        bundle_digest: Digest::ZERO,
        decided_at: at(0),
        identity: "bot".parse().unwrap(),
        class: IdentityClass::Pipeline,
        sponsor: "dana".parse().unwrap(),
        task: Some(task("run-1")),
        proof,
        delegation: None,
        renewal: (n > 0).then(|| Renewal { of: id(), n }),
        entitlement: "deploy".parse().unwrap(),
        term: Term::from_seconds(300).unwrap(),
        start_within_s: 600,
        outcome: Outcome::Allow,
        determining: Vec::new(),
        template: None,
        traits: Traits::default(),
    };
    let decision = Decision { id: id(), terms, votes: Vec::new() };
    let deployment = Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let grant = Grant::decided(&decision, &deployment, Bounds { skew_s: 2, quiet_s: 10, call_s: 8 });
    (Grant { state, ..grant }, decision, request)
}

fn active() -> State {
    State::Active {
        activated_at: at(0),
        deadline: at(300),
        fence: at(20),
        vends: Vends::default(),
        plan_digest: None,
        next_check_at: None,
    }
}

fn ended(cause: EndCause) -> State {
    State::Ended {
        cause,
        proof: Proof::ByConstruction { deadline: at(300), aws_date: at(303), request_id: "read".to_owned() },
        verified_at: at(303),
        ended_by: EndedBy::TimeLimit,
        effective: None,
    }
}

fn check(
    identity: &str,
    run: &str,
    ask: &Ask,
    stored: &(Grant, Decision, Request),
    now: u32,
) -> Result<Renewal, String> {
    let (grant, decision, request) = stored;
    let (identity, run) = (identity.parse().unwrap(), task(run));
    Renewal::check((&identity, Some(&run)), ask, Predecessor { grant, decision, request }, 2, at(now))
        .map_err(|error| error.to_string())
}

#[test]
fn grant_in_use_is_renewed_and_renewals_are_counted() {
    assert_eq!(check("bot", "run-1", &ask(), &before(active(), 0), 10), Ok(Renewal { of: id(), n: 1 }));
    assert_eq!(check("bot", "run-1", &ask(), &before(active(), 1), 10), Ok(Renewal { of: id(), n: 2 }));
    let longer = Ask { term_s: Term::from_seconds(600).unwrap(), ..ask() };
    assert!(check("bot", "run-1", &longer, &before(active(), 0), 10).is_ok(), "the term is decided afresh");
    let over = before(ended(EndCause::Deadline), 0);
    assert!(check("bot", "run-1", &ask(), &over, 303 + RENEW_WITHIN_S - 1).is_ok());
    assert_eq!(
        check("bot", "run-1", &ask(), &over, 303 + RENEW_WITHIN_S),
        Err(format!(
            "grant `{}` ended at {}; it could be renewed within 600 s: request it again without `renews`",
            id(),
            at(303)
        ))
    );
}

#[test]
fn renewal_is_refused_when_the_class_maximum_is_reached() {
    assert_eq!(
        check("bot", "run-1", &ask(), &before(active(), 2), 10),
        Err(format!(
            "grant `{}` is renewal 2 in a row, and at most 2 are allowed: request it again without `renews`",
            id()
        ))
    );
}

#[test]
fn renewal_is_refused_when_it_differs_from_the_old_grant() {
    let stored = before(active(), 0);
    let none = format!("there is no grant `{}` of yours to renew", id());
    assert_eq!(check("agent", "run-1", &ask(), &stored, 10), Err(none.clone()));
    let mut forged = before(active(), 0);
    forged.2.ask.parameters.clear();
    assert_eq!(
        check("bot", "run-1", &ask(), &forged, 10),
        Err(none),
        "a request that does not match the decision is not trusted"
    );
    let differs = |ask: &Ask, run: &str| check("bot", run, ask, &stored, 10).unwrap_err();
    let other = |json| serde_json::from_value::<Ask>(json).unwrap();
    for (ask, run, expected) in [
        (other(json!({ "entitlement": "read-logs", "term_s": 300 })), "run-1", "the same entitlement"),
        (
            other(json!({ "entitlement": "deploy", "parameters": { "version": "v2" }, "term_s": 300 })),
            "run-1",
            "the same parameters",
        ),
        (ask(), "run-2", "the same task"),
        (Ask { on_behalf_of: Some("ana".parse().unwrap()), ..ask() }, "run-1", "the same human"),
    ] {
        let message = differs(&ask, run);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn renewal_is_refused_when_the_grant_was_not_in_use_or_ended_early() {
    let message = |state| check("bot", "run-1", &ask(), &before(state, 0), 310).unwrap_err();
    let approved = State::approved(at(0), 600);
    assert!(message(approved).contains("is `Approved`: only a grant that is active"));
    assert!(message(State::Denied { by: DeniedBy::Policy, reason: String::new() }).contains("is `Denied`"));
    for cause in [EndCause::Released, EndCause::Killed, EndCause::Leaver, EndCause::Drift] {
        assert!(message(ended(cause)).contains("was ended early and cannot be renewed"), "{cause:?}");
    }
}
