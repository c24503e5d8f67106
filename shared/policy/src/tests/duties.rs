//! Separation of duties and class limits of the catalogue.

use std::collections::BTreeMap;

use brevet_domain::decision::{Outcome, Verdict};

use super::*;

/// The example with each `find` replaced in its file, without its cases.
fn changed(changes: &[(&str, &str, &str)]) -> Bundle {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/"));
    for (file, find, replace) in changes {
        let text = sources.0.get_mut(*file).unwrap();
        assert!(text.contains(find), "{find}");
        *text = text.replacen(find, replace, 1);
    }
    Bundle::load(&compile(&sources).unwrap().bundle).unwrap()
}

fn decide(bundle: &Bundle, who: &str, what: &str, term_s: u32) -> Verdict {
    bundle.decide(&caller(bundle, who, Some("run-1")), &request(what, term_s, None), &deployment(), now()).unwrap()
}

const DEPLOY: &str = "entitlements/deploy-release.yaml";

#[test]
fn conflict_declared_once_holds_for_both_entitlements() {
    let bundle =
        changed(&[(DEPLOY, "max_term_s: 600", "max_term_s: 600\nconflicts: [{with: read-secret, after_s: 7200}]")]);
    for (one, other) in [("deploy-release", "read-secret"), ("read-secret", "deploy-release")] {
        let conflicts = &bundle.entitlement(&one.parse().unwrap()).unwrap().conflicts;
        assert_eq!(*conflicts, BTreeMap::from([(other.parse().unwrap(), 7_200)]), "{one}");
    }
    let verdict = decide(&bundle, "release-pipeline", "deploy-release", 60);
    assert_eq!((verdict.duties.remember_s, verdict.duties.conflicts.len()), (7_200, 1));
    assert_eq!(verdict.duties.max_live, Some(50), "a pipeline's limit is built in");
}

#[test]
fn class_limit_bounds_the_term_under_any_policy_or_entitlement() {
    let changes = [
        ("classes.yaml", "max_term_s: 3600", "max_term_s: 300"),
        (DEPLOY, "max_term_s: 600", "max_term_s: 43200"),
        ("policies/deploy-release.cedar", "context.termSeconds <= 600", "context.termSeconds <= 99999"),
    ];
    let bundle = changed(&changes);
    assert_eq!(decide(&bundle, "release-pipeline", "deploy-release", 300).outcome, Outcome::Allow);
    let Outcome::Deny { reason } = decide(&bundle, "release-pipeline", "deploy-release", 301).outcome else {
        panic!("the term exceeds the class limit")
    };
    assert_eq!(reason, "a term of 301 s is too long for class `pipeline`: at most 300 s; for 300 s it would pass");
}

#[test]
fn people_always_requires_approval_despite_an_auto_approve_policy() {
    let always = ("classes.yaml", "max_term_s: 3600", "max_term_s: 3600\n    people_always: true");
    let approve = (
        "policies/deploy-release.cedar",
        "@id(\"release-pipeline-deploys\")",
        "@id(\"security-approves-deploys\")\npermit (principal in Brevet::Team::\"security\", action == Brevet::Action::\"approve\", resource) when { resource.entitlement == Brevet::Entitlement::\"deploy-release\" };\n@id(\"release-pipeline-deploys\")",
    );
    let verdict = decide(&changed(&[always, approve]), "release-pipeline", "deploy-release", 60);
    assert!(matches!(verdict.outcome, Outcome::NeedsApproval { .. }), "{:?}", verdict.outcome);
    assert_eq!(decide(&changed(&[]), "release-pipeline", "deploy-release", 60).outcome, Outcome::Allow);
}
