//! The people who may vote on a decision, and those who never may.

use brevet_domain::decision::{ApproverError, Decision, Terms};

use super::*;
use crate::Refusal;

/// The decision on a request of `who`, under the example catalogue.
fn decision(bundle: &Bundle, who: &str, what: &str, ticket: Option<&str>) -> Decision {
    let caller = caller(bundle, who, Some("task-1"));
    let request = request(what, 90, ticket);
    let verdict = bundle.decide(&caller, &request, &deployment(), now()).unwrap();
    Decision {
        id: request.id,
        terms: Terms {
            id: request.id,
            request_digest: Digest::ZERO,
            bundle_digest: verdict.bundle_digest,
            decided_at: now(),
            identity: caller.identity.id.clone(),
            class: caller.identity.class,
            sponsor: caller.identity.owner.clone(),
            task: caller.task.clone(),
            proof: caller.proof.clone(),
            delegation: None,
            renewal: None,
            entitlement: request.ask.entitlement.clone(),
            term: verdict.term,
            start_within_s: verdict.start_within_s,
            outcome: verdict.outcome,
            determining: verdict.determining,
            template: verdict.template,
            traits: verdict.traits,
        },
        votes: Vec::new(),
    }
}

fn vote(bundle: &Bundle, who: &str, decision: &Decision) -> Result<Vec<String>, Refusal> {
    bundle.may_approve(&caller(bundle, who, None), decision, now())
}

#[test]
fn only_listed_approvers_may_vote() {
    let bundle = example_bundle();
    let orders = decision(&bundle, "ana", "read-orders-table", Some("INC-1"));
    let yes = Ok(vec!["security-or-leads-approve-orders".to_owned()]);
    assert_eq!(vote(&bundle, "omar", &orders), yes);
    assert_eq!(vote(&bundle, "lea", &orders), yes);
    for (who, refusal) in [
        ("ana", Refusal::Apart(ApproverError::Requester)),
        ("dana", Refusal::NotListed("dana".parse().unwrap())),
        ("remediation-agent", Refusal::Apart(ApproverError::NotHuman)),
    ] {
        assert_eq!(vote(&bundle, who, &orders), Err(refusal), "{who}");
    }
}

#[test]
fn sponsor_may_not_vote_on_a_request_of_its_agent() {
    let open = r#"@id("ask") permit (principal, action == Brevet::Action::"request", resource);
        @id("yes") permit (principal, action == Brevet::Action::"approve", resource);"#;
    let bundle = bundle_with(open);
    let secret = decision(&bundle, "remediation-agent", "read-secret", None);
    assert_eq!(vote(&bundle, "rui", &secret), Err(Refusal::Apart(ApproverError::Sponsor)));
    assert_eq!(vote(&bundle, "dana", &secret), Ok(vec!["yes".to_owned()]));
    // Neither the sponsor at the time of the request nor the current owner may vote.
    let mut moved = secret;
    moved.terms.sponsor = "dana".parse().unwrap();
    assert_eq!(vote(&bundle, "dana", &moved), Err(Refusal::Apart(ApproverError::Sponsor)));
    assert_eq!(vote(&bundle, "rui", &moved), Err(Refusal::Apart(ApproverError::Sponsor)));
}

#[test]
fn votes_are_judged_under_the_catalogue_in_force() {
    let bundle = example_bundle();
    let orders = decision(&bundle, "ana", "read-orders-table", Some("INC-1"));
    // Omar has left the team, but is still in the catalogue.
    let mut left = example();
    let omar = left.0.get_mut("identities/omar.yaml").unwrap();
    *omar = omar.replace("security", "security-alumni");
    let policy = left.0.get_mut("policies/read-orders-table.cedar").unwrap();
    *policy = policy.replace("principal in Brevet::Team::\"security\" || ", "");
    for names_the_team in ["policies/read-secret.cedar", "policies/kill-switch.cedar"] {
        left.0.remove(names_the_team).unwrap();
    }
    // These files need Omar or another member of his team.
    let expects_him =
        |file: &str| file.starts_with("cases/") || file.contains("orders-archive") || file == "approvals.yaml";
    left.0.retain(|file, _| !expects_him(file));
    let left = Bundle::load(&compile(&left).unwrap().bundle).unwrap();
    assert_eq!(
        vote(&left, "omar", &orders).unwrap_err().to_string(),
        "no policy allows `omar` to approve requests for `read-orders-table` like this"
    );
    // A caller who differs from the catalogue's entry may not vote.
    let stale = caller(&bundle, "omar", None);
    assert_eq!(left.may_approve(&stale, &orders, now()), Err(Refusal::Unregistered("omar".to_owned())));
}

#[test]
fn vote_is_refused_on_a_forbid_or_a_policy_error() {
    let open = r#"@id("ask") permit (principal, action == Brevet::Action::"request", resource);
        @id("yes") permit (principal, action == Brevet::Action::"approve", resource);"#;
    let orders = decision(&bundle_with(open), "ana", "read-orders-table", Some("INC-1"));
    let with = |more: &str| vote(&bundle_with(&format!("{open}{more}")), "omar", &orders);
    assert_eq!(with(""), Ok(vec!["yes".to_owned()]));
    let no = r#"@id("no") forbid (principal, action == Brevet::Action::"approve", resource);"#;
    assert_eq!(with(no), Err(Refusal::Forbidden(vec!["no".to_owned()])));
    let odd = r#"@id("odd") forbid (principal, action, resource) when { context.hasTicket };"#;
    assert!(matches!(with(odd), Err(Refusal::Fault(_))), "{:?}", with(odd));
}

#[test]
fn decision_that_needs_no_approval_takes_no_votes() {
    let bundle = example_bundle();
    let secret = decision(&bundle, "remediation-agent", "read-secret", Some("INC-1"));
    assert_eq!(vote(&bundle, "omar", &secret), Err(Refusal::NotAwaited));
}
