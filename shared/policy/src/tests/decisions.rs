//! The outcomes of each identity on each entitlement of the example catalogue.

use std::fmt::Write;

use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::{Delivery, Holder};
use brevet_domain::plan::PlanTemplate;
use serde_json::json;

use super::*;
use crate::DecideError;

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allow => "allow".to_owned(),
        Outcome::Deny { reason } => format!("deny: {reason}"),
        Outcome::NeedsApproval { steps, deadline } => {
            let steps: Vec<_> = steps.iter().map(crate::steps::in_words).collect();
            format!("{} within {} s", steps.join(", then "), deadline.seconds_since(now()))
        }
    }
}

#[test]
fn decisions_match_the_golden_table() {
    let bundle = example_bundle();
    let mut table = String::new();
    for identity in bundle.index().identities.keys() {
        for entitlement in bundle.entitlements().map(|entitlement| &entitlement.id) {
            // The proofs given with the request, and the answer. If all answers are the same, one line stands for all.
            let mut answers: Vec<(String, String)> = Vec::new();
            for (ticket, task) in
                [(None, None), (None, Some("run-7")), (Some("INC-1"), None), (Some("INC-1"), Some("run-7"))]
            {
                let caller = caller(&bundle, identity.as_str(), task);
                let request = request(entitlement.as_str(), 90, ticket);
                let given = [ticket.map(|_| "ticket"), task.map(|_| "task")];
                let given: Vec<_> = given.into_iter().flatten().collect();
                let answer = match bundle.decide(&caller, &request, &deployment(), now()) {
                    Ok(verdict) => {
                        let by = verdict.determining.join(", ");
                        assert_eq!(verdict.template.is_none(), matches!(verdict.outcome, Outcome::Deny { .. }));
                        format!("{} [{by}]", outcome_text(&verdict.outcome))
                    }
                    Err(error) => format!("invalid_request: {error}"),
                };
                answers.push((if given.is_empty() { "-".to_owned() } else { given.join("+") }, answer));
            }
            if answers.iter().all(|(_, answer)| *answer == answers[0].1) {
                answers = vec![("any".to_owned(), answers[0].1.clone())];
            }
            for (given, answer) in answers {
                writeln!(table, "{identity} · {entitlement} · {given} → {answer}").unwrap();
            }
        }
    }
    assert_golden(&table, include_str!("decisions.golden"), "decisions.golden");
}

#[test]
fn invalid_request_is_an_error_and_not_a_denial() {
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
        assert!(matches!(error, DecideError::InvalidRequest(_)), "{version}: {error}");
    }
}

#[test]
fn plan_is_narrowed_to_the_requested_parameters() {
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
fn attachment_plan_names_the_principal_of_the_deployment() {
    let bundle = example_bundle();
    let batch = caller(&bundle, "nightly-batch", Some("7"));
    let verdict = bundle.decide(&batch, &request("legacy-batch", 90, None), &deployment(), now()).unwrap();
    let Some(PlanTemplate::Inline(inline)) = verdict.template else { panic!("{verdict:?}") };
    let principal = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-legacy-batch";
    assert_eq!(inline.principal_arn, principal);
    assert_eq!(inline.policy_name, "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(inline.statements[0].resources, ["arn:aws:s3:::acme-batch-out/2026-11-22/*"]);
    let sync = caller(&bundle, "acme-sync", None);
    let verdict = bundle.decide(&sync, &request("third-party-sync", 301, None), &deployment(), now()).unwrap();
    assert_eq!(outcome_text(&verdict.outcome), "1 of lea within 900 s");
    let Some(PlanTemplate::Managed(managed)) = verdict.template else { panic!("{verdict:?}") };
    assert_eq!(managed.policy_arn, "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-vendor-sync");
    let too_long = bundle.decide(&sync, &request("third-party-sync", 901, None), &deployment(), now()).unwrap_err();
    assert!(matches!(too_long, DecideError::InvalidRequest(_)), "{too_long}");
}

#[test]
fn attachment_with_a_single_holder_is_denied_to_others_under_any_policy() {
    let all = bundle_with("@id(\"all\") permit (principal, action, resource);");
    let ask = |bundle: &Bundle, who: &str| {
        let verdict =
            bundle.decide(&caller(bundle, who, None), &request("legacy-batch", 90, None), &deployment(), now());
        outcome_text(&verdict.unwrap().outcome)
    };
    assert_eq!(ask(&all, "nightly-batch"), "allow");
    let reason = "deny: `legacy-batch` is attached to a principal that only `nightly-batch` holds; only `nightly-batch` may request it";
    assert_eq!(ask(&all, "acme-sync"), reason);
    // Control: if the holder is shared, policy decides.
    let text = text_of("@id(\"all\") permit (principal, action, resource);", |listings| {
        let entitlement = &mut listings.get_mut(&"legacy-batch".parse().unwrap()).unwrap().entitlement;
        let Delivery::Inline { holder, .. } = &mut entitlement.delivery else { panic!("{entitlement:?}") };
        *holder = Holder::Shared;
    });
    assert_eq!(ask(&Bundle::load(&text).unwrap(), "acme-sync"), "allow");
}

#[test]
fn caller_is_denied_when_the_catalogue_registers_it_differently() {
    let bundle = example_bundle();
    let ask = |caller: &Caller| {
        let request = request("deploy-release", 60, None);
        let verdict = bundle.decide(caller, &request, &deployment(), now());
        outcome_text(&verdict.unwrap().outcome)
    };
    let good = caller(&bundle, "release-pipeline", Some("7"));
    assert_eq!(ask(&good), "allow");
    // The caller was verified under another catalogue, with another owner or id.
    let mut other = good.clone();
    other.identity.owner = "rui".parse().unwrap();
    assert!(ask(&other).starts_with("deny: `release-pipeline` is not registered"));
    let mut other = good;
    other.identity.id = "ghost-pipeline".parse().unwrap();
    assert!(ask(&other).starts_with("deny: `ghost-pipeline` is not registered"));
}
