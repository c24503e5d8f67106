//! Tests: which votes count in which step, and that a decision permits exactly if the votes can be assigned to its
//! steps.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that overflows or unwraps nothing fails"
)]

use std::collections::BTreeSet;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{
    Decision, MissingApprovers, NotAdmitted, Outcome, Step, Vote, VoteError, are_met, missing_approvers,
};
use brevet_domain::identity::{AuthContext, ProofSummary};
use brevet_domain::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const PEOPLE: [&str; 6] = ["anna", "bela", "carl", "dora", "emil", "fred"];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800 + seconds)
}

fn step(name: &str, count: u8, approvers: &[&str]) -> Step {
    let approvers = approvers.iter().map(|name| name.parse().unwrap()).collect();
    Step { name: name.parse().unwrap(), count, approvers, mfa: false, auth_within_s: None }
}

fn vote_with(by: &str, auth: AuthContext) -> Vote {
    let proof = ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: by.to_owned(),
        token_digest: Digest::ZERO,
        issued_at: at(0),
        expires_at: at(300),
        auth,
    };
    Vote { by: by.parse().unwrap(), approve: true, at: at(100), digest: Digest::ZERO, proof }
}

fn vote(by: &str) -> Vote {
    vote_with(by, AuthContext::default())
}

fn met(steps: &[Step], votes: &[&str]) -> bool {
    are_met(steps, votes.iter().map(|by| vote(by)).collect::<Vec<_>>().iter())
}

/// Team, then security; bela is in both.
fn two_steps() -> Vec<Step> {
    vec![step("team", 1, &["anna", "bela"]), step("security", 1, &["bela", "carl"])]
}

#[test]
fn steps_are_met_in_order_and_count_each_person_once() {
    let steps = two_steps();
    assert!(met(&steps, &["anna", "carl"]));
    assert!(met(&steps, &["anna", "bela"]));
    assert!(met(&steps, &["bela", "carl"]));
    assert!(!met(&steps, &["carl", "anna"]), "security voted before its step was open");
    assert!(!met(&steps, &["bela"]) && !met(&steps, &["bela", "bela"]), "one person counts in one step only");
    assert!(!met(&steps, &["anna"]) && !met(&steps, &["carl"]) && !met(&steps, &[]));
    assert!(!met(&[], &["anna"]), "an approval without steps permits nothing");
}

/// The step in which the vote `by` would count in a decision with these steps and votes.
fn placed(steps: &[Step], votes: &[&str], by: Vote) -> Result<String, VoteError> {
    let id = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let votes: Vec<_> = votes.iter().map(|by| vote(by)).collect();
    let outcome = Outcome::NeedsApproval { steps: steps.to_vec(), deadline: at(600) };
    let decision = json!({
        "id": id, "votes": votes,
        "terms": {
            "id": id, "request_digest": Digest::ZERO, "bundle_digest": Digest::ZERO, "decided_at": at(0),
            "identity": "fix-agent", "class": "agent", "sponsor": "olga", "task": null, "proof": by.proof,
            "entitlement": "read-secret", "term": 600, "start_within_s": 300, "outcome": outcome, "determining": [],
            "template": null,
        },
    });
    let decision: Decision = serde_json::from_value(decision).unwrap();
    decision.place(&by).map(|step| step.to_string())
}

#[test]
fn vote_is_placed_in_the_open_step_or_refused_with_a_correction() {
    let steps = two_steps();
    assert_eq!(placed(&steps, &[], vote("anna")).unwrap(), "team");
    assert_eq!(placed(&steps, &["anna"], vote("carl")).unwrap(), "security");
    let message = |votes: &[&str], by: &str| placed(&steps, votes, vote(by)).unwrap_err().to_string();
    assert_eq!(
        message(&[], "carl"),
        "step `team` comes first and still needs 1 more: vote in step `security` after that"
    );
    assert_eq!(message(&[], "fred"), "`fred` is not among those who may approve it in step `team`");
    assert_eq!(message(&["bela"], "anna"), "`anna` is not among those who may approve it in step `security`");
    assert_eq!(message(&["anna", "carl"], "bela"), "no step of its approval is open");
}

#[test]
fn vote_is_refused_when_a_later_step_needs_the_voter() {
    let steps = [step("team", 1, &["anna", "bela"]), step("security", 1, &["bela"])];
    assert_eq!(
        placed(&steps, &[], vote("bela")).unwrap_err().to_string(),
        "a vote in step `team` would leave too few people for step `security`, because each person counts in only one \
         step: ask another approver to vote in step `team`"
    );
    assert_eq!(placed(&steps, &[], vote("anna")).unwrap(), "team");
    assert_eq!(placed(&steps, &["anna"], vote("bela")).unwrap(), "security");
    // A step that can never get enough people blocks no vote.
    let never = [step("team", 1, &["anna", "bela"]), step("security", 3, &["bela"])];
    assert_eq!(placed(&never, &[], vote("bela")).unwrap(), "team");
}

#[test]
fn step_with_mfa_counts_only_votes_with_two_factors() {
    let mut strict = step("security", 1, &["anna"]);
    strict.mfa = true;
    let shown = vote_with("anna", AuthContext { mfa: true, ..AuthContext::default() });
    assert!(are_met(&[strict.clone()], [&shown].into_iter()));
    assert!(!met(&[strict.clone()], &["anna"]), "a missing claim counts as not fulfilled");
    // The claims alone do not count: the issuer's rule on them does.
    let claimed = vote_with("anna", AuthContext { amr: vec!["mfa".to_owned()], ..AuthContext::default() });
    assert!(!are_met(&[strict.clone()], [&claimed].into_iter()));
    let error = strict.admits(&claimed).unwrap_err();
    assert!(error.to_string().contains("sign in again with a second factor"), "{error}");
}

#[test]
fn step_with_auth_within_refuses_an_older_sign_in() {
    let mut strict = step("security", 1, &["anna"]);
    strict.auth_within_s = Some(60);
    let signed_in = |seconds| vote_with("anna", AuthContext { auth_time: Some(at(seconds)), ..AuthContext::default() });
    assert_eq!(strict.admits(&signed_in(40)), Ok(()));
    assert!(strict.admits(&signed_in(39)).unwrap_err().to_string().contains("the token shows one 61 s ago"));
    assert!(matches!(strict.admits(&vote("anna")), Err(NotAdmitted::SignedInBefore { .. })));
}

#[test]
fn missing_approvers_names_the_steps_with_too_few_people() {
    assert_eq!(missing_approvers(&two_steps()), None);
    let missing = |steps: &[&str], needed, n_people| {
        Some(MissingApprovers { steps: steps.iter().map(|name| name.parse().unwrap()).collect(), needed, n_people })
    };
    let alone = [step("team", 2, &["anna"]), step("security", 1, &["bela"])];
    assert_eq!(missing_approvers(&alone), missing(&["team"], 2, 1));
    let shared = [step("team", 1, &["anna"]), step("security", 1, &["anna"]), step("board", 1, &["carl"])];
    assert_eq!(missing_approvers(&shared), missing(&["team", "security"], 2, 1));
    // The matching reassigns anna.
    assert_eq!(missing_approvers(&[step("team", 1, &["anna", "bela"]), step("security", 1, &["anna"])]), None);
    assert_eq!(missing_approvers(&[step("team", 0, &[])]), missing(&["team"], 1, 0));
}

/// Up to three steps over six people, and the votes of some of them.
fn stories() -> impl Strategy<Value = (Vec<Step>, Vec<usize>)> {
    let step_of = (1_u8..3, prop::collection::btree_set(0..6_usize, 0..5));
    let steps = prop::collection::vec(step_of, 1..4).prop_map(|steps| {
        let names = ["team", "security", "board"];
        let named = steps.into_iter().zip(names);
        named
            .map(|((count, who), name)| step(name, count, &who.iter().map(|n| PEOPLE[*n]).collect::<Vec<_>>()))
            .collect()
    });
    // A person has one vote.
    let votes = prop::collection::vec(0..6_usize, 0..12).prop_map(|votes| {
        let mut reading = BTreeSet::new();
        votes.into_iter().filter(|n| reading.insert(*n)).collect()
    });
    (steps, votes)
}

/// Whether the votes can be assigned to the steps: each step has enough, all votes of a step come before those of the
/// next, and nobody counts twice. Tries every assignment.
fn assignable(steps: &[Step], votes: &[usize], used: &BTreeSet<usize>, lacks: u8) -> bool {
    let Some((first, later)) = steps.split_first() else { return true };
    if lacks == 0 {
        return assignable(later, votes, used, later.first().map_or(0, |step| step.count));
    }
    let Some((vote, rest)) = votes.split_first() else { return false };
    let may = first.approvers.contains(&PEOPLE[*vote].parse().unwrap()) && !used.contains(vote);
    let with = used.iter().copied().chain([*vote]).collect();
    (may && assignable(steps, rest, &with, lacks - 1)) || assignable(steps, rest, used, lacks)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn steps_are_met_exactly_when_the_votes_can_be_assigned_to_them((steps, votes) in stories()) {
        let names: Vec<_> = votes.iter().map(|n| PEOPLE[*n]).collect();
        let expected = assignable(&steps, &votes, &BTreeSet::new(), steps[0].count);
        prop_assert_eq!(met(&steps, &names), expected);
    }

    #[test]
    fn accepted_votes_leave_enough_people_for_the_remaining_steps((steps, order) in stories()) {
        prop_assume!(missing_approvers(&steps).is_none());
        let mut votes: Vec<&str> = Vec::new();
        // Everybody votes in any order, and refused voters vote again: in the end the request is approved.
        let all: Vec<usize> = order.into_iter().chain((0..6).cycle().take(36)).collect();
        for n in all {
            if !votes.contains(&PEOPLE[n]) && placed(&steps, &votes, vote(PEOPLE[n])).is_ok() {
                votes.push(PEOPLE[n]);
            }
        }
        prop_assert!(met(&steps, &votes), "{:?} {:?}", steps, votes);
    }
}
