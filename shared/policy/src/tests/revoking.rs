//! Rights on the kill switch.

use brevet_domain::revocation::{Right, WideScope};

use super::*;
use crate::RevokeRefusal;

const SCOPES: [&str; 6] = [
    "identity:remediation-agent",
    "sponsor:rui",
    "class:agent",
    "entitlement:read-secret",
    "account:000000000000",
    "all",
];

fn may(bundle: &Bundle, who: &str, right: Right, scope: &str, by: Option<&str>) -> Result<Vec<String>, RevokeRefusal> {
    let scope: WideScope = scope.parse().unwrap();
    let by = by.map(|by| by.parse().unwrap());
    bundle.may_revoke(&caller(bundle, who, None), right, &scope, by.as_ref(), now())
}

#[test]
fn example_lets_security_and_leads_place_a_block_and_another_of_them_lift_it() {
    let bundle = example_bundle();
    for scope in SCOPES {
        for who in ["omar", "lea"] {
            assert_eq!(may(&bundle, who, Right::Place, scope, None), Ok(vec!["security-or-leads-stop".to_owned()]));
            assert!(may(&bundle, who, Right::Read, scope, None).is_ok());
        }
        assert_eq!(may(&bundle, "lea", Right::Lift, scope, Some("omar")), Ok(vec!["another-one-lifts".to_owned()]));
        for (who, right, by) in [
            ("omar", Right::Lift, Some("omar")), // his own block
            ("omar", Right::Lift, None),         // there is no block
            ("ana", Right::Place, None),
            ("dana", Right::Lift, Some("omar")),
            ("rui", Right::Read, None),
        ] {
            let refused = may(&bundle, who, right, scope, by);
            assert!(matches!(refused, Err(RevokeRefusal::NotAllowed { .. })), "{who} {right:?} {scope}: {refused:?}");
        }
        for who in ["remediation-agent", "release-pipeline"] {
            let refused = may(&bundle, who, Right::Place, scope, None);
            assert_eq!(refused, Err(RevokeRefusal::NotHuman(who.parse().unwrap())));
        }
    }
}

#[test]
fn policy_can_read_the_scope_of_a_block() {
    let bundle = bundle_with(
        r#"@id("agents") permit (principal, action == Brevet::Action::"revoke", resource)
           when { resource.kind == "class" && resource.name == "agent" };
           @id("never-all") forbid (principal, action == Brevet::Action::"revoke", resource) when { resource.kind == "all" };"#,
    );
    assert_eq!(may(&bundle, "ana", Right::Place, "class:agent", None), Ok(vec!["agents".to_owned()]));
    assert!(may(&bundle, "ana", Right::Place, "class:human", None).is_err());
    let all = may(&bundle, "ana", Right::Place, "all", None);
    assert_eq!(all, Err(RevokeRefusal::Forbidden(vec!["never-all".to_owned()])));
}

#[test]
fn kill_switch_is_refused_on_a_policy_error_and_to_a_leaver() {
    let bundle = bundle_with(
        r#"@id("open") permit (principal, action, resource);
           @id("errs") forbid (principal, action, resource) when { context.placedBy == principal };"#,
    );
    let refused = may(&bundle, "omar", Right::Place, "all", None);
    assert!(matches!(refused, Err(RevokeRefusal::Fault(_))), "{refused:?}");
    let mut left = caller(&example_bundle(), "omar", None);
    left.identity.teams.clear();
    let refused = example_bundle().may_revoke(&left, Right::Place, &WideScope::ALL, None, now());
    assert_eq!(refused, Err(RevokeRefusal::Unregistered("omar".parse().unwrap())));
}
