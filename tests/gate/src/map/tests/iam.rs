//! IAM: the checks of calls about a role or a managed policy, their entries in the call log, and the quotas.

use super::*;

#[test]
fn iam_write_is_checked_with_the_role_s_boundary_and_the_policy() {
    let put = form(Service::Iam, "Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p&PolicyDocument=%7B%7D")
        .unwrap();
    assert_eq!(asked(&put), [("iam:PutRolePolicy", ROLE_ARN)]);
    assert_eq!(put.checks[0].context["iam:PermissionsBoundary"], ["arn:aws:iam::000000000000:policy/boundary"]);
    assert_eq!(put.wrote.unwrap()["policy_name"], "p");
    assert_eq!(put.invalid, None);
    let attach = form(Service::Iam, "Action=AttachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn=arn%3Ax").unwrap();
    assert_eq!(attach.checks[0].context["iam:PolicyARN"], ["arn:x"]);
    let missing = form(Service::Iam, "Action=GetRole&RoleName=nobody").unwrap();
    assert_eq!(asked(&missing), [("iam:GetRole", "arn:aws:iam::000000000000:role/nobody")]);
}

#[test]
fn removal_is_checked_with_the_role_s_present_boundary() {
    const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/boundary";
    for (operation, more) in [
        ("PutRolePolicy", "&PolicyName=p&PolicyDocument=%7B%7D"),
        ("DeleteRolePolicy", "&PolicyName=p"),
        ("AttachRolePolicy", "&PolicyArn=arn%3Ax"),
        ("DetachRolePolicy", "&PolicyArn=arn%3Ax"),
        ("DeleteRolePermissionsBoundary", ""),
        ("UpdateAssumeRolePolicy", "&PolicyDocument=%7B%7D"),
    ] {
        let ask = |facts: &Facts| {
            let inbound = call(Method::POST, "/", &[], &format!("Action={operation}&RoleName=brevet-dev-deploy{more}"));
            map(Service::Iam, operation, &inbound, facts, &place()).unwrap()
        };
        let mut facts = facts();
        let bounded = ask(&facts);
        assert_eq!(asked(&bounded), [(format!("iam:{operation}").as_str(), ROLE_ARN)]);
        assert_eq!(bounded.checks[0].context["iam:PermissionsBoundary"], [BOUNDARY], "{operation}");
        assert_eq!(bounded.wrote.unwrap()["role"], ROLE_ARN);
        let role = facts.roles.get_mut("brevet-dev-deploy").unwrap().as_mut().unwrap();
        Arc::get_mut(role).unwrap().boundary = None;
        assert!(!ask(&facts).checks[0].context.contains_key("iam:PermissionsBoundary"), "{operation}");
    }
    let put = "Action=PutRolePermissionsBoundary&RoleName=brevet-dev-deploy&PermissionsBoundary=arn%3Aother";
    let put = form(Service::Iam, put).unwrap();
    assert_eq!(put.checks[0].context["iam:PermissionsBoundary"], ["arn:other"], "the new boundary");
    assert_eq!(put.wrote.unwrap()["boundary_arn"], "arn:other");
}

#[test]
fn call_log_records_a_write_without_its_document() {
    let document = r#"{"Statement":[],"Version":"2012-10-17"}"#;
    let encoded = crate::inbound::encode(document, b"");
    let put = form(
        Service::Iam,
        &format!("Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p&PolicyDocument={encoded}"),
    );
    // The digest is of the text as sent: `printf %s … | sha256sum`.
    let digest = "a48803b796029b4ad945f4aec0d1641ad8dcabcb95df2ec87594ffcb95d0eeb8";
    let put = put.unwrap();
    assert_eq!(put.policy.as_deref(), Some("p"));
    assert_eq!(put.wrote, Some(json!({ "role": ROLE_ARN, "policy_name": "p", "document_sha256": digest })));
    let delete = form(Service::Iam, "Action=DeleteRolePolicy&RoleName=brevet-dev-deploy&PolicyName=p").unwrap();
    assert_eq!(delete.wrote, Some(json!({ "role": ROLE_ARN, "policy_name": "p", "document_sha256": null })));
    let detach = form(Service::Iam, "Action=DetachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn=arn%3Ax").unwrap();
    assert_eq!(detach.wrote, Some(json!({ "role": ROLE_ARN, "policy_arn": "arn:x" })));
    assert_eq!(detach.policy.as_deref(), Some("arn:x"));
    let version =
        form(Service::Iam, &format!("Action=CreatePolicyVersion&PolicyArn=arn%3Ax&PolicyDocument={encoded}")).unwrap();
    assert_eq!(asked(&version), [("iam:CreatePolicyVersion", "arn:x")]);
    assert_eq!(version.wrote, Some(json!({ "policy_arn": "arn:x", "document_sha256": digest })));
}

#[test]
fn eleventh_managed_policy_is_rejected() {
    let attach = |n_attached: usize, name: &str| {
        let mut facts = facts();
        let role = facts.roles.get_mut("brevet-dev-deploy").unwrap().as_mut().unwrap();
        Arc::get_mut(role).unwrap().attached =
            (0..n_attached).map(|n| Policy { name: format!("arn:{n}"), policy: json!({}) }).collect();
        let body = format!("Action=AttachRolePolicy&RoleName=brevet-dev-deploy&PolicyArn={name}");
        let inbound = call(Method::POST, "/", &[], &body);
        let call = map(Service::Iam, "AttachRolePolicy", &inbound, &facts, &place()).unwrap();
        call.invalid.map(|(code, _)| code)
    };
    assert_eq!(attach(9, "arn:new"), None);
    assert_eq!(attach(10, "arn:new"), Some("LimitExceeded"));
    assert_eq!(attach(10, "arn:3"), None, "it is already attached");
}

#[test]
fn inline_policies_beyond_the_quota_are_rejected() {
    let put = |name: &str, length: usize| {
        let body = format!(
            "Action=PutRolePolicy&RoleName=brevet-dev-deploy&PolicyName={name}&PolicyDocument={}",
            "x".repeat(length)
        );
        form(Service::Iam, &body).unwrap().invalid.map(|(code, _)| code)
    };
    assert_eq!(put("new", 1_200), None);
    assert_eq!(put("new", 1_300), Some("LimitExceeded"));
    assert_eq!(put("big", 10_240), None, "it replaces the other");
}

#[test]
fn simulation_is_checked_on_the_simulated_role() {
    let source = ROLE_ARN.replace(':', "%3A").replace('/', "%2F");
    let call = form(Service::Iam, &format!("Action=SimulatePrincipalPolicy&PolicySourceArn={source}")).unwrap();
    assert_eq!(asked(&call), [("iam:SimulatePrincipalPolicy", ROLE_ARN)]);
    let summary = form(Service::Iam, "Action=GetAccountSummary").unwrap();
    assert_eq!(asked(&summary), [("iam:GetAccountSummary", "*")]);
}
