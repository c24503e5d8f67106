//! STS: the checks of `AssumeRole` and of `GetWebIdentityToken`.

use super::*;

#[test]
fn get_caller_identity_needs_no_permission() {
    assert!(form(Service::Sts, "Action=GetCallerIdentity").unwrap().checks.is_empty());
}

const ASSUME: &str = "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fbrevet%2Fdev%2Fsession%2Fbrevet-dev-deploy&RoleSessionName=dev.01J";

#[test]
fn assume_role_is_checked_with_its_tags_and_source_identity() {
    let plain = form(Service::Sts, ASSUME).unwrap();
    assert_eq!(asked(&plain), [("sts:AssumeRole", ROLE_ARN)]);
    let full = form(
        Service::Sts,
        &format!(
            "{ASSUME}&SourceIdentity=pipeline&Tags.member.1.Key=brevet%3Agrant&Tags.member.1.Value=grt_1&Policy=%7B%7D"
        ),
    )
    .unwrap();
    assert_eq!(
        asked(&full),
        [("sts:AssumeRole", ROLE_ARN), ("sts:TagSession", ROLE_ARN), ("sts:SetSourceIdentity", ROLE_ARN)]
    );
    let context = &full.checks[0].context;
    assert_eq!(context["sts:RoleSessionName"], ["dev.01J"]);
    assert_eq!(context["sts:SourceIdentity"], ["pipeline"]);
    assert_eq!(context["aws:RequestTag/brevet:grant"], ["grt_1"]);
    assert_eq!(context["aws:TagKeys"], ["brevet:grant"]);
    assert_eq!(context["iam:ResourceTag/owner"], ["team"]);
    assert!(full.checks.iter().all(|check| check.resource_policy.is_some()));
    assert_eq!(
        full.wrote.unwrap()["session_policy_sha256"],
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn web_identity_token_is_checked_with_its_audiences_and_has_no_resource() {
    let body = "Action=GetWebIdentityToken&Audience.member.1=brevet&Audience.member.2=other&SigningAlgorithm=RS256";
    let call = form(Service::Sts, &format!("{body}&DurationSeconds=300")).unwrap();
    assert_eq!(asked(&call), [("sts:GetWebIdentityToken", "*")]);
    let context = &call.checks[0].context;
    assert_eq!(context["sts:IdentityTokenAudience"], ["brevet", "other"]);
    assert_eq!(
        (&context["sts:SigningAlgorithm"][0], &context["sts:DurationSeconds"][0]),
        (&"RS256".into(), &"300".into())
    );
    assert!(form(Service::Sts, &format!("{body}&Tags.member.1.Key=a&Tags.member.1.Value=b")).is_err());
}

#[test]
fn role_in_another_path_trusts_no_caller() {
    let other = ASSUME.replace("session", "elsewhere");
    let call = form(Service::Sts, &other).unwrap();
    let trust = call.checks[0].resource_policy.as_ref().unwrap();
    assert_eq!(trust["Statement"][0]["Effect"], "Deny");
}

#[test]
fn assume_role_is_rejected_as_aws_does() {
    let long = format!("{ASSUME}&Policy=%7B%22a%22%3A%22{}%22%7D", "x".repeat(2_048));
    assert_eq!(form(Service::Sts, &long).unwrap().invalid.unwrap().0, "ValidationError");
    let broken = format!("{ASSUME}&Policy=%7B");
    assert_eq!(form(Service::Sts, &broken).unwrap().invalid.unwrap().0, "MalformedPolicyDocument");
    let managed = format!("{ASSUME}&PolicyArns.member.1.arn=x");
    assert!(form(Service::Sts, &managed).unwrap_err().to_string().contains("PolicyArns"));
}
