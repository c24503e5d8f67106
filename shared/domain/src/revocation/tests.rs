use std::collections::BTreeSet;

use super::*;
use crate::identity::{AuthContext, Identity};

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn scope(text: &str) -> WideScope {
    text.parse().unwrap()
}

fn caller(id: &str) -> Caller {
    let id: IdentityId = id.parse().unwrap();
    let proof = ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: id.to_string(),
        token_digest: Digest::of_bytes(b"token"),
        issued_at: at(0),
        expires_at: at(300),
        auth: AuthContext::default(),
    };
    let identity =
        Identity { owner: id.clone(), id, class: IdentityClass::Human, teams: BTreeSet::new(), proofs: Vec::new() };
    Caller { identity, task: None, proof }
}

fn next(
    before: Option<&Revocation>,
    act: RevocationAction,
    now: Timestamp,
) -> Result<Option<Revocation>, NothingToLift> {
    let (scope, reason, caller) = (scope("identity:bot"), Reason("stolen laptop".to_owned()), caller("omar"));
    let determining = vec!["security-stops".to_owned()];
    Revocation::next(
        before,
        RevocationRequest { scope: &scope, act, reason: &reason, caller: &caller, determining },
        now,
    )
    .unwrap()
}

#[test]
fn scope_has_one_text_form_and_is_never_a_grant() {
    for text in ["identity:bot", "sponsor:dana", "class:agent", "entitlement:deploy", "account:000000000000", "all"] {
        let scope: WideScope = text.parse().unwrap();
        assert_eq!(scope.to_string(), text);
        assert_eq!(serde_json::to_value(&scope).unwrap(), text);
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        assert_eq!((scope.kind(), scope.name().as_str()), (kind, name));
    }
    for text in ["", "ALL", "all:", "identity", "identity:", "identity:Bot", "class:robot", "account:1", "team:x"] {
        assert!(text.parse::<WideScope>().is_err(), "{text}");
    }
    let grant = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert!(format!("grant:{grant}").parse::<WideScope>().is_err());
    assert!(WideScope::try_from(BlockScope::Grant(grant.parse().unwrap())).is_err());
}

#[test]
fn revocation_act_adds_a_chained_version_and_a_repeated_act_adds_none() {
    assert_eq!(next(None, RevocationAction::Lifted, at(0)), Err(NothingToLift(scope("identity:bot"))));
    let first = next(None, RevocationAction::Placed, at(5)).unwrap().unwrap();
    assert_eq!((first.version, first.prev, first.at), (1, Digest::ZERO, at(5)));
    assert_eq!(next(Some(&first), RevocationAction::Placed, at(6)), Ok(None), "the block is already in force");
    let lifted = next(Some(&first), RevocationAction::Lifted, at(3)).unwrap().unwrap();
    assert_eq!((lifted.version, lifted.prev), (2, Digest::of(&first).unwrap()));
    assert_eq!(lifted.at, at(5), "a clock that was set back does not reverse the history");
    assert_eq!((first.block().map(|block| block.cause), lifted.block()), (Some(EndCause::Killed), None));
    let again = next(Some(&lifted), RevocationAction::Placed, at(9)).unwrap().unwrap();
    assert_eq!((again.version, again.prev), (3, Digest::of(&lifted).unwrap()));
}

#[test]
fn zero_is_proved_only_by_a_pass_after_every_decision_in_flight() {
    let placed = next(None, RevocationAction::Placed, at(10)).unwrap().unwrap();
    let pass =
        |began: u32, n_alive| BlockPass { seen_at: at(12), began_at: at(began), ended_at: at(began + 1), n_alive };
    let early = Progress::after(&placed, pass(41, 0), None);
    assert_eq!((early.n_alive, early.zero_at), (0, None), "a decision could be in progress");
    let alive = Progress::after(&placed, pass(42, 1), Some(&early));
    assert_eq!((alive.n_alive, alive.zero_at), (1, None));
    let zero = Progress::after(&placed, pass(42, 0), Some(&early));
    assert_eq!((zero.zero_at, zero.zero_after_s), (Some(at(43)), Some(33)));
    let later = Progress::after(&placed, pass(100, 0), Some(&zero));
    assert_eq!((later.zero_at, later.checked_at), (Some(at(43)), at(101)), "the first proof counts");
    let again = Progress::after(&placed, pass(200, 2), Some(&later));
    assert_eq!((again.zero_at, again.zero_after_s), (None, None), "a live grant revokes the proof");
    let other = Revocation { version: 3, at: at(300), ..placed };
    let changes = BlockPass { seen_at: at(300), began_at: at(400), ended_at: at(401), n_alive: 0 };
    assert_eq!(Progress::after(&other, changes, Some(&zero)).zero_after_s, Some(101), "another block starts from zero");
}

#[test]
fn reason_is_bounded_and_hidden_in_debug_output() {
    let reason = Reason::try_from("stolen\nlaptop".to_owned()).unwrap();
    assert!(!format!("{reason:?}").contains("laptop"));
    for text in [String::new(), "x".repeat(501), "bell\u{7}".to_owned()] {
        assert_eq!(Reason::try_from(text), Err(ReasonError));
    }
}
