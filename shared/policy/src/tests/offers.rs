//! The offers to each identity, as a table. Each option passes when it is requested.

use std::fmt::Write;

use brevet_domain::decision::Outcome;
use brevet_domain::offer::OfferOption;

use super::*;

fn in_words(option: &OfferOption) -> String {
    let ticket = if option.needs_ticket { " with a ticket" } else { "" };
    let who = match &option.outcome {
        Outcome::Allow => "alone".to_owned(),
        Outcome::NeedsApproval { steps, deadline } => {
            let steps: Vec<_> = steps.iter().map(crate::steps::in_words).collect();
            format!("with {} within {} s", steps.join(", then "), deadline.seconds_since(now()))
        }
        Outcome::Deny { .. } => panic!("an offer cannot be a denial: {option:?}"),
    };
    format!("up to {} s {who}{ticket}", option.max_term.as_seconds())
}

/// The offers to `who`. Each option is decided, and the outcome must be the offered one.
fn offered(bundle: &Bundle, who: &str, task: Option<&str>) -> String {
    let caller = caller(bundle, who, task);
    let mut table = String::new();
    for entitlement in bundle.entitlements().map(|one| &one.id) {
        let Some(offer) = bundle.offer(&caller, entitlement, now()) else { continue };
        for option in &offer.options {
            let request =
                request(entitlement.as_str(), option.max_term.as_seconds(), option.needs_ticket.then_some("INC-1"));
            let verdict = bundle.decide(&caller, &request, &deployment(), now()).unwrap();
            assert_eq!(verdict.outcome, option.outcome, "{who} {entitlement} {option:?}");
        }
        let options: Vec<_> = offer.options.iter().map(in_words).collect();
        writeln!(table, "{who} · {entitlement} · {}", options.join("; ")).unwrap();
    }
    table
}

#[test]
fn offers_match_what_each_identity_may_have() {
    let bundle = example_bundle();
    let mut table = String::new();
    for identity in bundle.index().identities.values() {
        let machine = identity.class.as_str() != "human";
        table.push_str(&offered(&bundle, identity.id.as_str(), machine.then_some("run-7")));
    }
    let expected = "\
acme-sync · third-party-sync · up to 300 s alone; up to 900 s with 1 of lea within 900 s
ana · read-orders-archive · up to 1800 s with 1 of lea for team, then 1 of omar for security with two factors who signed in at most 3600 s before within 3600 s with a ticket
ana · read-orders-table · up to 3600 s with 1 of lea, omar within 1800 s with a ticket
ana · read-shop-orders · up to 1800 s with 1 of lea within 900 s
ana · rescue-secret · up to 900 s alone
canary · canary-inline · up to 600 s alone
canary · canary-managed · up to 600 s alone
canary · canary-session · up to 600 s alone
nightly-batch · legacy-batch · up to 1800 s alone
release-pipeline · deploy-release · up to 600 s alone
remediation-agent · read-secret · up to 300 s with 1 of omar within 900 s; up to 300 s alone with a ticket
remediation-agent · read-shop-orders · up to 300 s alone
";
    assert_eq!(table, expected);
    assert_eq!(offered(&bundle, "remediation-agent", None), "", "without a task an agent gets nothing");
}

#[test]
fn entitlement_is_not_offered_on_a_policy_error() {
    let permit = "@id(\"all\") permit (principal, action in [Brevet::Action::\"request\", Brevet::Action::\"autoApprove\"], resource);";
    assert!(offered(&bundle_with(permit), "ana", None).contains("ana · deploy-release · up to 600 s alone"));
    let error = format!(
        "{permit} @id(\"error\") forbid (principal, action == Brevet::Action::\"request\", resource)
         when {{ resource == Brevet::Entitlement::\"deploy-release\" && principal.sponsor == principal }};"
    );
    let offered = offered(&bundle_with(&error), "ana", None);
    assert!(!offered.contains("deploy-release") && offered.contains("ana · read-secret"), "{offered}");
}

#[test]
fn entitlement_is_not_offered_to_other_holders_or_unregistered_callers() {
    let permit = "@id(\"all\") permit (principal, action in [Brevet::Action::\"request\", Brevet::Action::\"autoApprove\"], resource);";
    let bundle = bundle_with(permit);
    let legacy = "legacy-batch".parse().unwrap();
    assert!(bundle.offer(&caller(&bundle, "nightly-batch", None), &legacy, now()).is_some());
    assert_eq!(
        bundle.offer(&caller(&bundle, "acme-sync", None), &legacy, now()),
        None,
        "another identity is the single holder"
    );
    let mut other = caller(&bundle, "nightly-batch", None);
    other.identity.owner = "ana".parse().unwrap();
    assert_eq!(bundle.offer(&other, &legacy, now()), None, "the catalogue registers it with another owner");
    // Class limits apply to offers, too.
    let agent = offered(&bundle, "remediation-agent", None);
    assert!(agent.contains("read-orders-table · up to 900 s alone with a ticket"), "{agent}");
}

#[test]
fn offer_carries_the_class_limits() {
    let limits = |bundle: &Bundle| {
        let caller = caller(bundle, "ana", None);
        let class_limits = bundle.offer(&caller, &"read-shop-orders".parse().unwrap(), now()).unwrap().class_limits;
        (class_limits.max_live.get(), class_limits.max_renewals)
    };
    assert_eq!(limits(&example_bundle()), (10, 2));
    let mut sources = example();
    let classes = sources.0.get_mut("classes.yaml").unwrap();
    *classes = classes.replace("max_live: 10", "max_live: 4\n    max_renewals: 0");
    assert_eq!(limits(&Bundle::load(&compile(&sources).unwrap().bundle).unwrap()), (4, 0));
}
