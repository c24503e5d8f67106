//! Faults of each call on attachment principals. The tests assert that each fault hit the intended call.

use aws_sdk_iam::Client;
use brevet_aws::{IamAccountListing, IamDeprovisioner, IamPrincipals, IamProvisioner};
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_engine::port::{
    AccountListing, AttachmentTarget, Deprovisioner, Principal, Principals, Provisioner, TargetReading,
};

use super::*;

const PRINCIPAL: &str = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-batch";
const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/brevet/dev/brevet-dev-boundary";
const MANAGED: &str = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-sync";
const OTHER: &str = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-report";
const PATH: &str = "/brevet/dev/";
const INLINE: &str = "brevet-dev-X";

/// A successful answer of IAM.
fn done(action: &str, result: &str) -> Reply {
    let headers = vec![("x-amzn-requestid", "id-of-the-answer")];
    Reply::Answer { status: 200, headers, body: done_body(action, result) }
}

fn done_body(action: &str, result: &str) -> String {
    format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
}

fn role(arn: &str) -> Reply {
    let boundary = format!(
        "<PermissionsBoundary><PermissionsBoundaryArn>{BOUNDARY}</PermissionsBoundaryArn></PermissionsBoundary>"
    );
    let role = format!(
        "<Role><Path>/</Path><RoleName>brevet-dev-batch</RoleName><RoleId>AROA</RoleId><Arn>{arn}</Arn><CreateDate>2026-11-22T12:00:00Z</CreateDate>{boundary}</Role>"
    );
    done("GetRole", &role)
}

/// The end of a page of a list. The list continues at the marker `next`, if any.
fn end(next: Option<&str>) -> String {
    match next {
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
        Some(marker) => format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"),
    }
}

fn names(names: &[&str], next: Option<&str>) -> Reply {
    let names: String = names.iter().map(|name| format!("<member>{name}</member>")).collect();
    done("ListRolePolicies", &format!("<PolicyNames>{names}</PolicyNames>{}", end(next)))
}

fn policy(encoded: &str) -> Reply {
    done("GetRolePolicy", &format!("<PolicyDocument>{encoded}</PolicyDocument>"))
}

fn attached(arns: &[&str], next: Option<&str>) -> Reply {
    let member = |arn: &&str| format!("<member><PolicyArn>{arn}</PolicyArn></member>");
    let members: String = arns.iter().map(member).collect();
    done("ListAttachedRolePolicies", &format!("<AttachedPolicies>{members}</AttachedPolicies>{}", end(next)))
}

fn summary(quota: &str) -> Reply {
    let entry = format!("<entry><key>AttachedPoliciesPerRoleQuota</key><value>{quota}</value></entry>");
    done("GetAccountSummary", &format!("<SummaryMap>{entry}</SummaryMap>"))
}

fn simulated(answer: &str, next: Option<&str>) -> Reply {
    let statements =
        "<MatchedStatements><member><SourcePolicyId>Standing</SourcePolicyId></member></MatchedStatements>";
    let result = format!(
        "<member><EvalActionName>s3:GetObject</EvalActionName><EvalDecision>{answer}</EvalDecision>{statements}</member>"
    );
    done("SimulatePrincipalPolicy", &format!("<EvaluationResults>{result}</EvaluationResults>{}", end(next)))
}

fn probes(n: usize) -> Vec<Probe> {
    let probe = |n| Probe { action: "s3:GetObject".to_owned(), resource: format!("arn:aws:s3:::shop/{n}") };
    (0..n).map(probe).collect()
}

fn inline() -> AttachmentTarget {
    AttachmentTarget::Inline { principal_arn: PRINCIPAL.to_owned(), policy_name: INLINE.to_owned() }
}

fn managed() -> AttachmentTarget {
    AttachmentTarget::Managed { principal_arn: PRINCIPAL.to_owned(), policy_arn: MANAGED.to_owned() }
}

fn put() -> AttachmentPlan {
    let (principal_arn, policy_name) = (PRINCIPAL.to_owned(), INLINE.to_owned());
    AttachmentPlan::Inline { principal_arn, policy_name, document: "{}".to_owned() }
}

/// A client that makes one attempt, so that one reply decides the outcome.
async fn once(url: &str) -> Client {
    Client::new(&config(url).await.into_builder().retry_config(RetryConfig::disabled()).build())
}

/// Each IAM call of the ports.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    GetRole,
    ListRolePolicies,
    GetRolePolicy,
    GetRolePolicyOfMany,
    ListAttachedRolePolicies,
    ListAttachedRolePoliciesWhole,
    GetAccountSummary,
    PutRolePolicy,
    AttachRolePolicy,
    DeleteRolePolicy,
    DetachRolePolicy,
    SimulatePrincipalPolicy,
    ListRoles,
}

use Call::*;

const ALL: [Call; 13] = [
    GetRole,
    ListRolePolicies,
    GetRolePolicy,
    GetRolePolicyOfMany,
    ListAttachedRolePolicies,
    ListAttachedRolePoliciesWhole,
    GetAccountSummary,
    PutRolePolicy,
    AttachRolePolicy,
    DeleteRolePolicy,
    DetachRolePolicy,
    SimulatePrincipalPolicy,
    ListRoles,
];

const WRITES: [Call; 4] = [PutRolePolicy, AttachRolePolicy, DeleteRolePolicy, DetachRolePolicy];

impl Call {
    /// The call's name in the API.
    fn action(self) -> String {
        let name = format!("{self:?}");
        name.trim_end_matches("OfMany").trim_end_matches("Whole").to_owned()
    }

    /// The replies to the calls before it.
    fn before(self) -> Vec<Reply> {
        match self {
            ListRolePolicies => vec![role(PRINCIPAL)],
            GetRolePolicyOfMany => vec![role(PRINCIPAL), names(&[INLINE], None)],
            ListAttachedRolePoliciesWhole => vec![role(PRINCIPAL), names(&[], None)],
            GetAccountSummary => vec![role(PRINCIPAL), names(&[], None), attached(&[MANAGED], None)],
            GetRole | GetRolePolicy | ListAttachedRolePolicies | SimulatePrincipalPolicy | ListRoles => Vec::new(),
            PutRolePolicy | AttachRolePolicy | DeleteRolePolicy | DetachRolePolicy => Vec::new(),
        }
    }

    /// The replies to the calls after it.
    fn after(self) -> Vec<Reply> {
        let is_one_of_many = self == GetRolePolicyOfMany;
        if is_one_of_many { vec![attached(&[], None), summary("20")] } else { Vec::new() }
    }

    async fn make(self, client: Client) -> PortResult<String> {
        let shown = |answer: &dyn std::fmt::Debug| format!("{answer:?}");
        match self {
            GetRolePolicy => IamPrincipals::new(client).read(&inline()).await.map(|a| shown(&a)),
            ListAttachedRolePolicies => IamPrincipals::new(client).read(&managed()).await.map(|a| shown(&a)),
            PutRolePolicy => IamProvisioner::new(client).attach(&put()).await.map(|a| shown(&a)),
            AttachRolePolicy => {
                let (principal_arn, policy_arn) = (PRINCIPAL.to_owned(), MANAGED.to_owned());
                let plan = AttachmentPlan::Managed { principal_arn, policy_arn };
                IamProvisioner::new(client).attach(&plan).await.map(|a| shown(&a))
            }
            DeleteRolePolicy => IamDeprovisioner::new(client).remove(&inline()).await.map(|a| shown(&a)),
            DetachRolePolicy => IamDeprovisioner::new(client).remove(&managed()).await.map(|a| shown(&a)),
            ListRoles => IamAccountListing::new(client, PATH.to_owned(), Vec::new()).roles().await.map(|a| shown(&a)),
            SimulatePrincipalPolicy => {
                let port = IamDeprovisioner::new(client);
                port.effective(PRINCIPAL, &probes(1), now()).await.map(|a| shown(&a))
            }
            GetRole | ListRolePolicies | GetRolePolicyOfMany | ListAttachedRolePoliciesWhole | GetAccountSummary => {
                IamPrincipals::new(client).principal(PRINCIPAL).await.map(|a| shown(&a))
            }
        }
    }

    /// The outcome of the call with `fault`. Asserts that the fault hit this call.
    async fn with_fault(self, fault: Reply) -> PortResult<String> {
        let mut replies = self.before();
        let n_before = replies.len();
        replies.push(fault);
        replies.extend(self.after());
        let server = Server::start(replies).await;
        let answer = self.make(once(&server.url()).await).await;
        let asked = server.requests();
        let mut hit = asked.iter().skip(n_before);
        let action = format!("Action={}&", self.action());
        assert!(hit.next().unwrap().contains(&action), "{self:?}: the fault hit another call: {asked:?}");
        assert!(answer.is_ok() || hit.next().is_none(), "{self:?}: the port continued after the fault");
        answer
    }
}

/// The class of an answer.
fn class(answer: &PortResult<String>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(PortError::Refused { .. }) => "refused",
        Err(PortError::NotDone { .. }) => "not done",
        Err(PortError::Conflict { .. }) => "conflict",
        Err(PortError::Unknown { .. }) => "unknown",
        Err(PortError::Unreadable { .. }) => "unreadable",
    }
}

/// Source: the error lists of the calls, <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>, and
/// codes outside the lists that IAM has answered.
#[tokio::test]
async fn each_error_code_of_iam_has_its_class() {
    let table = [
        // AWS refuses the same call again until the configuration changes.
        (403, "AccessDenied", "refused"),
        (400, "InvalidInput", "refused"),
        (403, "InvalidClientTokenId", "refused"),
        (409, "LimitExceeded", "refused"),
        (400, "MalformedPolicyDocument", "refused"),
        (400, "PolicyNotAttachable", "refused"),
        (403, "SignatureDoesNotMatch", "refused"),
        (400, "UnmodifiableEntity", "refused"),
        (400, "ValidationError", "refused"),
        // The call had no effect, and a later call may succeed.
        (409, "ConcurrentModification", "not done"),
        (409, "EntityTemporarilyUnmodifiable", "not done"),
        (403, "ExpiredToken", "not done"),
        (400, "RequestExpired", "not done"),
        (400, "RequestLimitExceeded", "not done"),
        (400, "Throttling", "not done"),
        (400, "ThrottlingException", "not done"),
        // AWS does not show the effect. A 5xx status is unknown, whatever the code.
        (503, "RequestLimitExceeded", "unknown"),
        (500, "InternalFailure", "unknown"),
        (500, "PolicyEvaluation", "unknown"),
        (500, "ServiceFailure", "unknown"),
        (503, "ServiceUnavailable", "unknown"),
    ];
    for (status, code, expected) in table {
        for call in ALL {
            let answer = call.with_fault(query_error(status, code)).await;
            // The quota has a default, so a failed read of it does not fail the call.
            let expected = if call == GetAccountSummary { "ok" } else { expected };
            assert_eq!(class(&answer), expected, "{call:?} answered {code}: {answer:?}");
            if let Err(error) = &answer {
                assert!(error.chain().contains(&format!("iam:{}", call.action())), "{}", error.chain());
            }
        }
    }
}

#[tokio::test]
async fn a_missing_entity_is_absent_removed_or_refused_by_call() {
    for call in ALL {
        let answer = call.with_fault(query_error(404, "NoSuchEntity")).await;
        let expected = match call {
            // The policy or the role was deleted between two reads of the principal.
            GetRolePolicy | GetRolePolicyOfMany | ListAttachedRolePolicies | GetAccountSummary => "ok",
            DeleteRolePolicy | DetachRolePolicy => "ok",
            GetRole | ListRolePolicies | ListAttachedRolePoliciesWhole => "refused",
            PutRolePolicy | AttachRolePolicy | SimulatePrincipalPolicy | ListRoles => "refused",
        };
        assert_eq!(class(&answer), expected, "{call:?}: {answer:?}");
    }
    for call in [GetRolePolicy, ListAttachedRolePolicies] {
        let reading = TargetReading { standing: None, request_id: "id-of-the-answer".to_owned() };
        assert_eq!(call.with_fault(query_error(404, "NoSuchEntity")).await.unwrap(), format!("{reading:?}"));
    }
}

#[tokio::test]
async fn an_unsent_call_is_not_done_and_a_lost_answer_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for call in ALL.into_iter().filter(|call| call.before().is_empty()) {
        let answer = call.make(once(&closed_url).await).await;
        assert_eq!(class(&answer), "not done", "{call:?}: {answer:?}");
    }
    for call in ALL.into_iter().filter(|call| *call != GetAccountSummary) {
        for lost in [Reply::Hangup, Reply::Half] {
            let answer = call.with_fault(lost).await;
            assert_eq!(class(&answer), "unknown", "{call:?}: {answer:?}");
        }
    }
    // One call of each kind only, since each waits for its time-out.
    for call in [GetRolePolicy, PutRolePolicy, DetachRolePolicy] {
        let answer = call.with_fault(Reply::Silence).await;
        assert_eq!(class(&answer), "unknown", "{call:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_html_answer_is_unknown_for_every_read() {
    for call in ALL {
        let answer = call.with_fault(ok("<html>welcome</html>")).await;
        // The port reads no body of a successful write, and the quota has a default.
        let is_read = !WRITES.contains(&call) && call != GetAccountSummary;
        assert_eq!(class(&answer), if is_read { "unknown" } else { "ok" }, "{call:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_without_the_requested_element_is_unreadable() {
    let reads = [GetRole, GetRolePolicy, GetRolePolicyOfMany, ListAttachedRolePolicies, ListAttachedRolePoliciesWhole];
    for call in reads.into_iter().chain([ListRoles]) {
        let answer = call.with_fault(done(&call.action(), "")).await;
        assert_eq!(class(&answer), "unreadable", "{call:?}: {answer:?}");
    }
    let empty = SimulatePrincipalPolicy.with_fault(done("SimulatePrincipalPolicy", "")).await;
    assert_eq!(class(&empty), "unreadable", "{empty:?}");
    assert_eq!(class(&GetRolePolicy.with_fault(policy("%zz")).await), "unreadable");
    // A reading without AWS's request id is unreadable.
    let list = "<AttachedPolicies/><IsTruncated>false</IsTruncated>";
    for (call, result) in [(GetRolePolicy, "<PolicyDocument>%7B%7D</PolicyDocument>"), (ListAttachedRolePolicies, list)]
    {
        let (status, headers, body) = (200, Vec::new(), done_body(&call.action(), result));
        assert_eq!(class(&call.with_fault(Reply::Answer { status, headers, body }).await), "unreadable", "{call:?}");
        assert_eq!(class(&call.with_fault(done(&call.action(), result)).await), "ok", "{call:?}");
    }
}

/// A client that makes three attempts, as in the functions.
async fn thrice(replies: Vec<Reply>) -> (Client, Arc<Server>) {
    let server = Server::start(replies).await;
    (Client::new(&config(&server.url()).await), server)
}

#[tokio::test]
async fn a_lost_answer_stays_unknown_after_a_retry() {
    for (plan, code) in [(put(), "NoSuchEntity"), (put(), "LimitExceeded"), (put(), "ConcurrentModification")] {
        let (client, server) = thrice(vec![Reply::Hangup, query_error(400, code)]).await;
        is_unknown(&IamProvisioner::new(client).attach(&plan).await);
        assert_eq!(server.n_played(), 2);
    }
    for target in [inline(), managed()] {
        // The policy is absent after the retry, whichever call removed it.
        let (client, server) = thrice(vec![Reply::Hangup, query_error(404, "NoSuchEntity")]).await;
        IamDeprovisioner::new(client).remove(&target).await.unwrap();
        assert_eq!(server.n_played(), 2);
    }
    let (client, server) = thrice(vec![query_error(400, "Throttling"), done("PutRolePolicy", "")]).await;
    IamProvisioner::new(client).attach(&put()).await.unwrap();
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn a_principal_is_read_completely_page_by_page() {
    let script = vec![
        role(PRINCIPAL),
        names(&["b", "a"], Some("m1")),
        names(&["c"], None),
        policy("%7B%22a%22%3A1%7D"),
        query_error(404, "NoSuchEntity"),
        policy("%7B%7D"),
        attached(&[OTHER], Some("m2")),
        attached(&[MANAGED], None),
        summary("25"),
    ];
    let (client, server) = thrice(script).await;
    let principal = IamPrincipals::new(client).principal(PRINCIPAL).await.unwrap();
    let inline = [("a", r#"{"a":1}"#), ("c", "{}")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let expected = Principal {
        boundary_arn: Some(BOUNDARY.to_owned()),
        inline: inline.into(),
        attached: [MANAGED, OTHER].map(str::to_owned).into(),
        attached_quota: 25,
    };
    assert_eq!(principal, expected);
    assert!(server.requests()[2].contains("&Marker=m1") && server.requests()[7].contains("&Marker=m2"));
}

#[tokio::test]
async fn a_role_of_the_same_name_under_another_path_is_refused() {
    let (client, server) = thrice(vec![role("arn:aws:iam::000000000000:role/brevet-dev-batch")]).await;
    let error = IamPrincipals::new(client).principal(PRINCIPAL).await.unwrap_err();
    assert!(
        error.chain().ends_with("the role of this name is `arn:aws:iam::000000000000:role/brevet-dev-batch`"),
        "{}",
        error.chain()
    );
    assert_eq!(server.n_played(), 1);
}

#[tokio::test]
async fn a_principal_with_too_many_inline_policies_is_refused() {
    let many: Vec<String> = (0..101).map(|n| format!("policy-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (client, server) = thrice(vec![role(PRINCIPAL), names(&many, None)]).await;
    let error = IamPrincipals::new(client).principal(PRINCIPAL).await.unwrap_err();
    assert!(error.chain().contains("has 101 inline policies"), "{}", error.chain());
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn a_managed_policy_is_absent_only_after_the_last_page() {
    let read = async |replies: Vec<Reply>| {
        let (client, server) = thrice(replies).await;
        (IamPrincipals::new(client).read(&managed()).await, server)
    };
    let (answer, server) = read(vec![attached(&[OTHER], Some("m1")), attached(&[MANAGED], None)]).await;
    assert_eq!(answer.unwrap().standing.as_deref(), Some(MANAGED));
    assert_eq!(server.n_played(), 2);
    assert!(server.requests()[0].contains("&PathPrefix=%2Fbrevet%2Fdev%2Fmanaged%2F"), "{}", server.requests()[0]);
    assert!(server.requests()[1].contains("&Marker=m1"), "{}", server.requests()[1]);

    let (answer, server) = read(vec![attached(&[], Some("m1")), attached(&[OTHER], None)]).await;
    assert_eq!(answer.unwrap().standing, None);
    assert_eq!(server.n_played(), 2);

    let (answer, _) = read(vec![attached(&[], Some("m1")), query_error(403, "AccessDenied")]).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    let (answer, _) = read(vec![attached(&[], Some(""))]).await;
    assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
    let (answer, server) = read((0..30).map(|_| attached(&[], Some("more"))).collect()).await;
    assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
    assert_eq!(server.n_played(), 20);
}

#[tokio::test]
async fn effective_access_is_simulated_probe_by_probe_at_the_given_time() {
    let denied = || simulated("implicitDeny", None);
    let (client, server) = thrice(vec![denied(), simulated("implicitDeny", Some("m1")), denied()]).await;
    let found = IamDeprovisioner::new(client).effective(PRINCIPAL, &probes(2), now()).await.unwrap();
    assert!(!matches!(found, EffectiveAccess::Residual { .. } | EffectiveAccess::Undetermined { .. }), "{found:?}");
    let asked = server.requests();
    assert_eq!(asked.len(), 3);
    for part in [
        "&ActionNames.member.1=s3%3AGetObject&ResourceArns.member.1=arn%3Aaws%3As3%3A%3A%3Ashop%2F0&",
        "&ContextEntries.member.1.ContextKeyName=aws%3ACurrentTime&",
        "&ContextEntries.member.1.ContextKeyValues.member.1=2026-11-22T12%3A00%3A00Z&",
        "&ContextEntries.member.1.ContextKeyType=date",
    ] {
        assert!(asked[0].contains(part), "{part} is not in {}", asked[0]);
    }
    assert!(asked[1].contains("shop%2F1&") && asked[2].contains("&Marker=m1"), "{asked:?}");
}

#[tokio::test]
async fn residual_access_is_reported_even_if_the_next_call_fails() {
    let standing = EffectiveAccess::Residual { policies: vec!["Standing".to_owned()] };
    let (client, server) = thrice(vec![simulated("allowed", None), query_error(403, "AccessDenied")]).await;
    let found = IamDeprovisioner::new(client).effective(PRINCIPAL, &probes(2), now()).await.unwrap();
    assert_eq!((found, server.n_played()), (standing, 2));
    let (client, _) = thrice(vec![simulated("implicitDeny", None), query_error(403, "AccessDenied")]).await;
    let answer = IamDeprovisioner::new(client).effective(PRINCIPAL, &probes(2), now()).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

fn roles(arns: &[&str], next: Option<&str>) -> Reply {
    let role = |arn: &&str| {
        format!(
            "<member><Path>/</Path><RoleName>r</RoleName><RoleId>AROA</RoleId><Arn>{arn}</Arn><CreateDate>2026-11-22T12:00:00Z</CreateDate></member>"
        )
    };
    let members: String = arns.iter().map(role).collect();
    done("ListRoles", &format!("<Roles>{members}</Roles>{}", end(next)))
}

#[tokio::test]
async fn roles_of_the_deployment_are_listed_page_by_page_and_sorted_by_path() {
    let session = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";
    let function = "arn:aws:iam::000000000000:role/brevet/dev/function/brevet-dev-reap";
    let other = "arn:aws:iam::000000000000:role/vendor";
    let pages = || vec![roles(&[function, PRINCIPAL], Some("m")), roles(&[session], None)];
    let server = Server::start(pages()).await;
    let listing = IamAccountListing::new(once(&server.url()).await, PATH.to_owned(), vec![other.to_owned()]);
    let found = listing.roles().await.unwrap();
    assert_eq!(
        (found.attachment, found.session),
        (vec![PRINCIPAL.to_owned(), other.to_owned()], vec![session.to_owned()])
    );
    assert!(server.requests()[0].contains("PathPrefix=%2Fbrevet%2Fdev%2F"), "{:?}", server.requests());
    assert!(server.requests()[1].contains("Marker=m"), "{:?}", server.requests());
    // A failed second page fails the listing.
    let cut = vec![roles(&[PRINCIPAL], Some("m")), query_error(503, "ServiceUnavailable")];
    let server = Server::start(cut).await;
    let answer = IamAccountListing::new(once(&server.url()).await, PATH.to_owned(), Vec::new()).roles().await;
    assert!(matches!(answer, Err(PortError::Unknown { .. })), "{answer:?}");
}

#[tokio::test]
async fn policies_on_a_principal_are_listed_completely_and_a_deleted_role_has_none() {
    let server = Server::start(vec![names(&[INLINE], None), attached(&[MANAGED], Some("m")), attached(&[OTHER], None)]);
    let server = server.await;
    let listing = IamAccountListing::new(once(&server.url()).await, PATH.to_owned(), Vec::new());
    let found = listing.standing(PRINCIPAL).await.unwrap();
    assert_eq!((found.inline, found.attached.len()), (vec![INLINE.to_owned()], 2));
    for replies in [vec![query_error(404, "NoSuchEntity")], vec![names(&[], None), query_error(404, "NoSuchEntity")]] {
        let server = Server::start(replies).await;
        let listing = IamAccountListing::new(once(&server.url()).await, PATH.to_owned(), Vec::new());
        assert_eq!(listing.standing(PRINCIPAL).await.unwrap(), brevet_engine::port::Standing::default());
    }
    for fault in [query_error(400, "Throttling"), ok("<html>welcome</html>")] {
        let server = Server::start(vec![names(&[INLINE], None), fault]).await;
        let listing = IamAccountListing::new(once(&server.url()).await, PATH.to_owned(), Vec::new());
        assert!(listing.standing(PRINCIPAL).await.is_err());
        assert_eq!(server.requests().len(), 2);
    }
}
