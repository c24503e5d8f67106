//! Adding a forbid never allows more, and each allowed request names a policy.

use std::cell::Cell;
use std::collections::BTreeSet;

use brevet_domain::decision::Outcome;
use brevet_domain::id::IdentityId;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

/// A policy without its `@id`. Some of these cannot be evaluated for every identity.
fn policy(effect: &'static str) -> impl Strategy<Value = String> {
    let principal = select(vec![
        "principal",
        "principal",
        "principal in Brevet::Team::\"security\"",
        "principal == Brevet::Identity::\"remediation-agent\"",
    ]);
    let action = select(vec![
        "action",
        "action == Brevet::Action::\"request\"",
        "action == Brevet::Action::\"autoApprove\"",
        "action == Brevet::Action::\"approve\"",
    ]);
    let resource = select(vec!["resource", "resource", "resource == Brevet::Entitlement::\"read-secret\""]);
    let when = select(vec![
        "",
        "",
        "when { context.termSeconds <= 60 }",
        "when { context has task }",
        "when { principal.class == \"human\" }",
        "when { principal has sponsor && principal.sponsor == Brevet::Identity::\"rui\" }",
        "unless { principal.class == \"agent\" }",
        "when { principal.sponsor == Brevet::Identity::\"rui\" }",
    ]);
    (principal, action, resource, when).prop_map(move |(principal, action, resource, when)| {
        format!("{effect} ({principal}, {action}, {resource}) {when};")
    })
}

fn named(policies: &[String]) -> String {
    let lines = policies.iter().enumerate();
    lines.map(|(n, text)| format!("@id(\"p-{n}\") {text}\n")).collect()
}

/// The rank of an outcome by how much it gives, with its approvers.
fn given(outcome: &Outcome) -> (u8, BTreeSet<IdentityId>) {
    match outcome {
        Outcome::Deny { .. } => (0, BTreeSet::new()),
        Outcome::NeedsApproval { steps, .. } => (1, steps.iter().flat_map(|step| &step.approvers).cloned().collect()),
        Outcome::Allow => (2, BTreeSet::new()),
    }
}

#[test]
fn adding_a_forbid_never_allows_more() {
    let (n_yes, n_people, n_less) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let base = prop::collection::vec(policy("permit"), 1..6);
    let strategy = (base, prop::collection::vec(policy("forbid"), 0..2), policy("forbid"));
    TestRunner::new(config)
        .run(&strategy, |(mut policies, forbids, forbid)| {
            policies.extend(forbids);
            let before = bundle_with(&named(&policies));
            policies.push(forbid);
            let after = bundle_with(&named(&policies));
            for who in ["ana", "omar", "release-pipeline", "remediation-agent"] {
                for what in ["read-secret", "read-orders-table"] {
                    let decide = |bundle: &Bundle| {
                        let caller = caller(bundle, who, Some("task-1"));
                        let request = request(what, 90, Some("INC-1"));
                        bundle.decide(&caller, &request, &deployment(), now()).unwrap()
                    };
                    let (one, other) = (decide(&before), decide(&after));
                    let ((rank, people), (rank_after, people_after)) = (given(&one.outcome), given(&other.outcome));
                    prop_assert!(rank_after <= rank, "{who} {what}: {one:?} {other:?}");
                    if rank == 1 && rank_after == 1 {
                        prop_assert!(people_after.is_subset(&people));
                    }
                    if rank > 0 {
                        prop_assert!(!one.determining.is_empty());
                        prop_assert!(one.determining.iter().all(|id| id.starts_with("p-")));
                    }
                    n_yes.set(n_yes.get() + u32::from(rank == 2));
                    n_people.set(n_people.get() + u32::from(rank == 1));
                    n_less.set(n_less.get() + u32::from(rank_after < rank));
                }
            }
            Ok(())
        })
        .unwrap();
    // The test needs all of these outcomes to prove anything.
    assert!(n_yes.get() > 0 && n_people.get() > 0 && n_less.get() > 0);
}
