//! Tests: when a decision permits issuing, and who may never approve (invariants 7, 11 and 14).

#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test that overflows or unwraps nothing fails"
)]

use std::collections::BTreeSet;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{ApproverError, Decision, Outcome, Step, Terms, Traits, Vote, check_approver};
use brevet_domain::delegation::Delegated;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::{AuthContext, Identity, IdentityClass, ProofSummary};
use brevet_domain::renewal::Renewal;
use brevet_domain::time::{Term, Timestamp};
use proptest::prelude::*;

fn id(name: &str) -> IdentityId {
    name.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800 + seconds)
}

fn proof() -> ProofSummary {
    ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: "subject".to_owned(),
        token_digest: Digest::of_bytes(b"token"),
        issued_at: at(0),
        expires_at: at(300),
        auth: AuthContext::default(),
    }
}

fn decision(outcome: Outcome) -> Decision {
    let id_ = GrantId::from_ulid(ulid::Ulid(1));
    Decision {
        id: id_,
        terms: Terms {
            id: id_,
            request_digest: Digest::of_bytes(b"request"),
            bundle_digest: Digest::of_bytes(b"bundle"),
            decided_at: at(0),
            identity: id("fix-agent"),
            class: IdentityClass::Agent,
            sponsor: id("olga"),
            task: None,
            proof: proof(),
            delegation: None,
            renewal: None,
            entitlement: "read-secret".parse().unwrap(),
            term: Term::from_seconds(600).unwrap(),
            start_within_s: 300,
            outcome,
            determining: vec!["agents-with-approval".to_owned()],
            template: None,
            traits: Traits::default(),
        },
        votes: Vec::new(),
    }
}

const APPROVERS: [&str; 3] = ["anna", "bela", "carl"];

fn step(name: &str, count: u8, approvers: &[&str]) -> Step {
    let approvers = approvers.iter().map(|name| id(name)).collect();
    Step { name: name.parse().unwrap(), count, approvers, mfa: false, auth_within_s: None }
}

fn in_steps(steps: Vec<Step>) -> Decision {
    decision(Outcome::NeedsApproval { steps, deadline: at(600) })
}

/// `count` of [`APPROVERS`] must approve until 600 s.
fn awaiting(count: u8) -> Decision {
    in_steps(vec![step("approval", count, &APPROVERS)])
}

fn yes(decision: &Decision, by: &str) -> Vote {
    Vote { by: id(by), approve: true, at: at(100), digest: decision.digest().unwrap(), proof: proof() }
}

fn with(mut decision: Decision, votes: impl IntoIterator<Item = Vote>) -> Decision {
    decision.votes.extend(votes);
    decision
}

#[test]
fn decision_permits_allow_and_never_deny_whatever_the_votes() {
    assert!(decision(Outcome::Allow).permits());
    let denied = decision(Outcome::Deny { reason: "no policy".to_owned() });
    let votes: Vec<_> = APPROVERS.iter().map(|by| yes(&denied, by)).collect();
    assert!(!denied.permits() && !with(denied, votes).permits());
}

#[test]
fn step_needs_one_approval_when_its_count_is_zero() {
    let none = awaiting(0);
    assert!(!none.permits());
    let vote = yes(&none, "anna");
    assert!(with(none, [vote]).permits());
}

#[test]
fn vote_counts_only_when_eligible_in_time_and_on_this_decision() {
    let decision = awaiting(1);
    let good = yes(&decision, "anna");
    let permits = |vote: Vote| with(decision.clone(), [vote]).permits();
    assert!(permits(good.clone()));
    assert!(permits(Vote { at: Timestamp::from_millis(at(600).as_millis() - 1), ..good.clone() }));
    assert!(!permits(Vote { at: at(600), ..good.clone() }), "at the deadline");
    assert!(!permits(Vote { by: id("mallory"), ..good.clone() }), "not eligible");
    assert!(!permits(Vote { digest: Digest::ZERO, ..good.clone() }), "another digest");
    let mut longer = decision.clone();
    longer.terms.term = Term::from_seconds(601).unwrap();
    assert!(!with(longer, [good]).permits(), "a vote on a shorter term");
}

#[test]
fn person_counts_once_when_voting_twice() {
    let two = awaiting(2);
    let (anna, bela) = (yes(&two, "anna"), yes(&two, "bela"));
    assert!(!with(two.clone(), [anna.clone(), Vote { at: at(200), ..anna.clone() }]).permits());
    assert!(with(two, [anna, bela]).permits());
}

#[test]
fn refusal_denies_whatever_approvals_come_before_or_after() {
    let one = awaiting(1);
    let anna = yes(&one, "anna");
    let no = Vote { approve: false, ..yes(&one, "bela") };
    assert!(!with(one.clone(), [anna.clone(), no.clone()]).permits());
    assert!(!with(one.clone(), [no, anna.clone()]).permits());
    let changed_mind = Vote { approve: false, at: at(200), ..anna.clone() };
    assert!(!with(one, [anna, changed_mind]).permits());
}

#[derive(Clone, Debug)]
struct Ballot {
    by: usize,
    approve: bool,
    at_s: i64,
    same_digest: bool,
}

fn ballots() -> impl Strategy<Value = Vec<Ballot>> {
    let ballot = (0..5_usize, prop::bool::weighted(0.95), 500_i64..650, prop::bool::weighted(0.8))
        .prop_map(|(by, approve, at_s, same_digest)| Ballot { by, approve, at_s, same_digest });
    prop::collection::vec(ballot, 0..6)
}

proptest! {
    #[test]
    fn decision_permits_exactly_with_enough_valid_approvals_and_no_refusal(count in 0_u8..4, ballots in ballots()) {
        let people = ["anna", "bela", "carl", "mallory", "olga"];
        let decision = awaiting(count);
        let votes = ballots.iter().map(|ballot| Vote {
            by: id(people[ballot.by]),
            approve: ballot.approve,
            at: at(ballot.at_s),
            digest: if ballot.same_digest { decision.digest().unwrap() } else { Digest::of_bytes(b"other") },
            proof: proof(),
        }).collect::<Vec<_>>();
        let good: BTreeSet<_> = ballots.iter()
            .filter(|b| b.approve && b.by < 3 && b.at_s < 600 && b.same_digest)
            .map(|b| b.by)
            .collect();
        let expected = ballots.iter().all(|b| b.approve) && good.len() >= usize::from(count.max(1));
        prop_assert_eq!(with(decision, votes).permits(), expected);
    }
}

#[test]
fn decision_digest_covers_every_term_and_no_vote() {
    let decision = awaiting(1);
    let digest = decision.digest().unwrap();
    let vote = yes(&decision, "anna");
    assert_eq!(with(decision.clone(), [vote]).digest().unwrap(), digest);
    let mut terms = serde_json::to_value(&decision.terms).unwrap();
    for (key, other) in [
        ("id", "grt_00000000000000000000000002".into()),
        ("request_digest", Digest::ZERO.to_string().into()),
        ("bundle_digest", Digest::ZERO.to_string().into()),
        ("decided_at", "2026-11-22T12:00:01.000Z".into()),
        ("identity", "other-agent".into()),
        ("class", "human".into()),
        ("sponsor", "other".into()),
        ("task", "run 1".into()),
        ("entitlement", "other".into()),
        ("term", 601.into()),
        ("start_within_s", 301.into()),
        ("outcome", serde_json::json!({ "outcome": "allow" })),
        ("determining", serde_json::json!([])),
    ] {
        let kept = terms[key].clone();
        assert_ne!(kept, other, "{key}");
        terms[key] = other;
        let changed: Terms = serde_json::from_value(terms.clone()).unwrap();
        terms[key] = kept;
        assert_ne!(Digest::of(&changed).unwrap(), digest, "{key}");
    }
}

fn identity(name: &str, class: IdentityClass, owner: &str) -> Identity {
    Identity { id: id(name), class, owner: id(owner), teams: BTreeSet::new(), proofs: Vec::new() }
}

#[test]
fn invariant_11_approver_is_refused_on_own_and_sponsored_requests() {
    use ApproverError::{NotHuman, Requester, Sponsor};
    use IdentityClass::{Agent, Human, Pipeline, Workload};
    // The voter, its class and its owner; the requester and its sponsor; the expected result.
    for (voter, class, owner, requester, sponsor, expected) in [
        ("anna", Human, "anna", "fix-agent", "olga", Ok(())),
        ("anna", Human, "anna", "carl", "carl", Ok(())),
        ("olga", Human, "olga", "fix-agent", "olga", Err(Sponsor)),
        ("anna", Human, "anna", "anna", "anna", Err(Requester)),
        ("anna", Human, "olga", "fix-agent", "olga", Err(Sponsor)),
        ("olga", Human, "anna", "fix-agent", "olga", Err(Sponsor)),
        ("fix-agent", Agent, "olga", "fix-agent", "olga", Err(NotHuman)),
        ("review-agent", Agent, "anna", "fix-agent", "olga", Err(NotHuman)),
        ("release-pipeline", Pipeline, "anna", "carl", "carl", Err(NotHuman)),
        ("billing", Workload, "anna", "carl", "carl", Err(NotHuman)),
    ] {
        let verdict = check_approver(&identity(voter, class, owner), &id(requester), &id(sponsor));
        assert_eq!(verdict, expected, "{voter} on {requester} of {sponsor}");
    }
}

#[test]
fn decision_without_traits_keeps_its_earlier_digest() {
    let mut decision = decision(Outcome::Allow);
    let text = serde_json::to_string(&decision).unwrap();
    assert!(!text.contains("traits"), "{text}");
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    let before = decision.digest().unwrap();
    decision.terms.traits.risk = Some(brevet_domain::entitlement::Risk::Critical);
    assert_ne!(decision.digest().unwrap(), before);
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
}

#[test]
fn invariant_11_delegating_human_cannot_approve_and_is_covered_by_the_digest() {
    let own = decision(Outcome::Allow);
    let mut delegated = own.clone();
    delegated.terms.delegation = Some(Delegated { by: id("anna"), version: 1, digest: Digest::of_bytes(b"given") });
    let votes = |who, owner| identity(who, IdentityClass::Human, owner);
    assert_eq!(own.terms.check_approver(&votes("anna", "anna")), Ok(()));
    assert_eq!(delegated.terms.check_approver(&votes("anna", "anna")), Err(ApproverError::Requester));
    assert_eq!(delegated.terms.check_approver(&votes("bela", "anna")), Err(ApproverError::Sponsor));
    assert_eq!(delegated.terms.check_approver(&votes("olga", "olga")), Err(ApproverError::Sponsor));
    assert_eq!(delegated.terms.check_approver(&votes("bela", "bela")), Ok(()));
    assert_ne!(delegated.digest().unwrap(), own.digest().unwrap());
    let mut renewal = own.clone();
    renewal.terms.renewal = Some(Renewal { of: own.id, n: 1 });
    assert_ne!(renewal.digest().unwrap(), own.digest().unwrap());
    for decision in [delegated, renewal] {
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }
}
