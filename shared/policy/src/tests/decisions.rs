//! Identity × entitlement → outcome, for the example catalogue.

use std::fmt::Write;

use brevet_domain::decision::Outcome;
use serde_json::json;

use super::*;
use crate::DecideError;

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allow => "allow".to_owned(),
        Outcome::Deny { reason } => format!("deny: {reason}"),
        Outcome::NeedsApproval { count, approvers, deadline } => {
            let names: Vec<_> = approvers.iter().map(|a| a.as_str()).collect();
            let within = deadline.seconds_since(now());
            format!("{count} of {} within {within} s", names.join(", "))
        }
    }
}

#[test]
fn every_identity_gets_what_the_table_says_on_every_entitlement() {
    let bundle = example_bundle();
    let mut table = String::new();
    for identity in bundle.index().identities.keys() {
        for entitlement in bundle.index().entitlements.keys() {
            for (ticket, task) in
                [(None, None), (None, Some("run-7")), (Some("INC-1"), None), (Some("INC-1"), Some("run-7"))]
            {
                let caller = caller(&bundle, identity.as_str(), task);
                let request = request(entitlement.as_str(), 90, ticket);
                let given = [ticket.map(|_| "ticket"), task.map(|_| "task")];
                let given: Vec<_> = given.into_iter().flatten().collect();
                let told = match bundle.decide(&caller, &request, &deployment(), now()) {
                    Ok(verdict) => {
                        let by = verdict.determining.join(", ");
                        assert_eq!(verdict.template.is_none(), matches!(verdict.outcome, Outcome::Deny { .. }));
                        format!("{} [{by}]", told(&verdict.outcome))
                    }
                    Err(error) => format!("misfit: {error}"),
                };
                let given = if given.is_empty() { "-".to_owned() } else { given.join("+") };
                writeln!(table, "{identity} · {entitlement} · {given} → {told}").unwrap();
            }
        }
    }
    assert_golden(&table, include_str!("decisions.golden"), "decisions.golden");
}

#[test]
fn requests_that_do_not_fit_are_the_callers_mistake_and_no_denial() {
    let bundle = example_bundle();
    let pipeline = caller(&bundle, "release-pipeline", Some("7"));
    let decide = |request: &Request| bundle.decide(&pipeline, request, &deployment(), now());

    let unknown = decide(&request("no-such-thing", 60, None)).unwrap_err();
    assert!(matches!(unknown, DecideError::UnknownEntitlement(_)), "{unknown}");

    let long = decide(&request("deploy-release", 601, None)).unwrap_err();
    assert_eq!(long.to_string(), "a term of 601 s is too long: `deploy-release` allows at most 600 s");
    for version in ["v1", "v1.2.3x", "latest"] {
        let mut wrong = request("deploy-release", 60, None);
        wrong.ask.parameters = serde_json::from_value(json!({ "version": version })).unwrap();
        let error = decide(&wrong).unwrap_err();
        assert!(matches!(error, DecideError::Misfit(_)), "{version}: {error}");
    }
}

#[test]
fn a_plan_narrows_to_the_asked_parameters() {
    let bundle = example_bundle();
    let pipeline = caller(&bundle, "release-pipeline", Some("7"));
    let verdict = bundle.decide(&pipeline, &request("deploy-release", 60, None), &deployment(), now()).unwrap();
    let template = verdict.template.unwrap();
    let template = template.session().unwrap();
    assert_eq!(template.statements[0].resources, ["arn:aws:s3:::acme-release-artifacts/v1.2.3/*"]);
    assert_eq!(template.role_arn, "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-release-deploy");
    assert_eq!(verdict.bundle_digest, bundle.digest());
}

#[test]
fn who_is_not_registered_just_so_is_denied() {
    let bundle = example_bundle();
    let ask = |caller: &Caller| {
        let request = request("deploy-release", 60, None);
        let verdict = bundle.decide(caller, &request, &deployment(), now());
        told(&verdict.unwrap().outcome)
    };
    let good = caller(&bundle, "release-pipeline", Some("7"));
    assert_eq!(ask(&good), "allow");
    // Verified under another catalogue: other owner, other class, other name.
    let mut other = good.clone();
    other.identity.owner = "rui".parse().unwrap();
    assert!(ask(&other).starts_with("deny: `release-pipeline` is not registered"));
    let mut other = good;
    other.identity.id = "ghost-pipeline".parse().unwrap();
    assert!(ask(&other).starts_with("deny: `ghost-pipeline` is not registered"));
}
