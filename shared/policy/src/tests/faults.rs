//! Invariant 9: policy error = deny.

use brevet_domain::decision::Outcome;

use super::*;
use crate::bundle::PolicyError;

const PERMIT_ALL: &str = r#"
@id("all") permit (principal, action, resource);
"#;

fn outcome(bundle: &Bundle, who: &str, what: &str) -> (Outcome, Vec<String>) {
    let verdict =
        bundle.decide(&caller(bundle, who, None), &request(what, 60, Some("INC-1")), &deployment(), now()).unwrap();
    (verdict.outcome, verdict.determining)
}

fn denied_for(policies: &str, who: &str, what: &str) -> (String, Vec<String>) {
    match outcome(&bundle_with(policies), who, what) {
        (Outcome::Deny { reason }, determining) => (reason, determining),
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn control_without_an_error_is_allowed() {
    let (outcome, by) = outcome(&bundle_with(PERMIT_ALL), "ana", "read-orders-table");
    assert_eq!((outcome, by), (Outcome::Allow, vec!["all".to_owned()]));
}

#[test]
fn invariant_09_erroring_forbid_policy_denies() {
    // A human has no `sponsor`, so Cedar skips this forbid and would allow the request.
    let forbid = r#"@id("not-ruis") forbid (principal, action == Brevet::Action::"request", resource)
        when { principal.sponsor == Brevet::Identity::"rui" };"#;
    let (reason, by) = denied_for(&format!("{PERMIT_ALL}{forbid}"), "ana", "read-orders-table");
    assert!(reason.starts_with("policy `not-ruis` cannot be evaluated: "), "{reason}");
    assert_eq!(by, ["not-ruis"]);
}

#[test]
fn invariant_09_erroring_permit_policy_denies_although_another_permits() {
    let permit = r#"@id("ruis") permit (principal, action == Brevet::Action::"request", resource)
        when { principal.sponsor == Brevet::Identity::"rui" };"#;
    let (reason, by) = denied_for(&format!("{PERMIT_ALL}{permit}"), "ana", "read-orders-table");
    assert!(reason.starts_with("policy `ruis` cannot be evaluated: "), "{reason}");
    assert_eq!(by, ["ruis"]);
}

#[test]
fn invariant_09_an_error_about_auto_approve_denies() {
    let forbid = r#"@id("odd") forbid (principal, action == Brevet::Action::"autoApprove", resource)
        when { context.task == "x" };"#;
    let (reason, _) = denied_for(&format!("{PERMIT_ALL}{forbid}"), "ana", "read-orders-table");
    assert!(reason.starts_with("policy `odd` cannot be evaluated: "), "{reason}");
}

#[test]
fn invariant_09_an_error_about_one_approver_denies() {
    let policies = r#"
        @id("ask") permit (principal, action == Brevet::Action::"request", resource);
        @id("yes") permit (principal, action == Brevet::Action::"approve", resource);
        @id("odd") forbid (principal == Brevet::Identity::"lea", action == Brevet::Action::"approve", resource)
        when { context.hasTicket };"#;
    let (reason, by) = denied_for(policies, "ana", "read-orders-table");
    assert!(reason.starts_with("policy `odd` cannot be evaluated: "), "{reason}");
    assert_eq!(by, ["odd"]);
}

#[test]
fn policy_can_read_the_delivery() {
    let forbid = r#"@id("no-managed") forbid (principal, action == Brevet::Action::"request", resource)
        when { resource.delivery == "managed" };"#;
    let bundle = bundle_with(&format!("{PERMIT_ALL}{forbid}"));
    let ask = |who, what| outcome(&bundle, who, what).1;
    assert_eq!(ask("acme-sync", "third-party-sync"), ["no-managed"]);
    assert_eq!(ask("nightly-batch", "legacy-batch"), ["all"]);
    assert_eq!(ask("ana", "read-orders-table"), ["all"]);
}

#[test]
fn too_few_approvers_deny_with_their_number() {
    let policies = r#"
        @id("ask") permit (principal, action == Brevet::Action::"request", resource);
        @id("own") permit (principal == Brevet::Identity::"ana", action == Brevet::Action::"approve", resource);"#;
    let (reason, _) = denied_for(policies, "ana", "read-orders-table");
    assert_eq!(
        reason,
        "`read-orders-table` needs approval by 1, but only 0 registered people may approve this request"
    );
}

#[test]
fn invariant_09_a_bundle_that_was_touched_is_not_loaded() {
    let good = text_with(PERMIT_ALL);
    Bundle::load(&good).unwrap();
    let mut policies = good.clone();
    policies.parts.get_mut(RULES_PART).unwrap().push(' ');
    let mut index = good.clone();
    index.parts.get_mut(INDEX_PART).unwrap().push(' ');
    let mut cut = good;
    cut.parts.remove(RULES_PART);
    for (text, expected) in
        [(policies, "part `rules` of bundle"), (index, "part `index` of bundle"), (cut, "has no part `rules`")]
    {
        let error = Bundle::load(&text).unwrap_err();
        assert!(matches!(error, PolicyError::Bundle(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn bundle_with_policies_without_a_unique_id_is_not_loaded() {
    let load = |policies: &str| Bundle::load(&text_with(policies)).unwrap_err();
    let permit = "permit (principal, action, resource);";
    assert!(matches!(load(permit), PolicyError::Unnamed { .. }));
    let twice = format!("@id(\"a\") {permit} @id(\"a\") {permit}");
    assert!(matches!(load(&twice), PolicyError::Duplicate(id) if id == "a"));
    let template = r#"@id("t") permit (principal == ?principal, action, resource);"#;
    assert!(matches!(load(template), PolicyError::Unnamed { .. }));
    assert!(matches!(load("permit ("), PolicyError::Syntax { .. }));
}
