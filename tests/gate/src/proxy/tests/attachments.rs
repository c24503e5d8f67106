//! Attaching and detaching through the gate: boundaries, late landings, the simulator, and faults.

use std::time::Duration;

use super::*;

const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/boundary/b";
const MANAGED: &str = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-read";
const PAST: &str = "2000-01-01T00:00:00Z";
const NOW: &str = "2026-11-22T12:00:00Z";
const FUTURE: &str = "2126-01-01T00:00:00Z";

fn until(action: &str, at: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": "*",
        "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": PAST }, "DateLessThan": { "aws:CurrentTime": at } } }] })
}

fn put(name: &str, document: &Value) -> String {
    let document = encode(&document.to_string(), b"");
    format!("Action=PutRolePolicy&RoleName=worker&PolicyName={name}&PolicyDocument={document}")
}

fn attach(arn: &str) -> String {
    format!("Action=AttachRolePolicy&RoleName=worker&PolicyArn={arn}")
}

fn simulate(action: &str, at: &str) -> String {
    let entry = "ContextEntries.member.1";
    format!(
        "Action=SimulatePrincipalPolicy&PolicySourceArn={ROLE}&ActionNames.member.1={action}&ResourceArns.member.1={TABLE}&{entry}.ContextKeyName=aws%3ACurrentTime&{entry}.ContextKeyType=date&{entry}.ContextKeyValues.member.1={}",
        encode(at, b"")
    )
}

impl Stand {
    async fn iam(&self, body: &str) -> Result<Response<Bytes>, String> {
        self.send(WORKER, "iam", None, body).await
    }

    /// Sets a managed policy behind the gate, and drops the gate's cache.
    fn manage(&self, arn: &str, policy: Value) {
        self.behind.managed.lock().unwrap().insert(arn.to_owned(), policy);
        self.gate.live.iam_changes();
    }

    /// Sets the role's inline policy `p` behind the gate, and drops the gate's cache.
    fn holds(&self, policy: Value) {
        *self.behind.policy.lock().unwrap() = policy;
        self.gate.live.iam_changes();
    }

    async fn may(&self, operation: &str) -> bool {
        self.item(WORKER, operation, "a").await.unwrap().status() == StatusCode::OK
    }

    fn puts(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.operation == "PutRolePolicy").collect()
    }
}

#[tokio::test]
async fn boundary_limits_inline_and_attached_policies() {
    let Some(stand) = stand("boundary_limits_inline_and_attached_policies").await else {
        return;
    };
    stand.holds(allow(&json!("dynamodb:GetItem"), TABLE));
    assert!(!stand.may("PutItem").await, "nothing allows it yet");
    stand.manage(MANAGED, allow(&json!("dynamodb:PutItem"), TABLE));
    assert!(stand.may("GetItem").await && stand.may("PutItem").await, "inline and attached");

    stand.manage(BOUNDARY, allow(&json!("dynamodb:PutItem"), "*"));
    assert!(stand.may("PutItem").await, "inside the boundary");
    let outside = stand.item(WORKER, "GetItem", "a").await.unwrap();
    assert!(error(&outside).contains("because no permissions boundary allows it"), "{}", error(&outside));
    assert_eq!(stand.entries().last().unwrap().denied_by.as_deref(), Some("permissions boundary"));

    stand.manage(BOUNDARY, allow(&json!("dynamodb:*"), "*"));
    assert!(stand.may("GetItem").await, "the boundary's new document is enforced");
}

#[tokio::test]
async fn attached_policy_ends_at_its_time_limit() {
    let Some(stand) = stand("attached_policy_ends_at_its_time_limit").await else {
        return;
    };
    stand.holds(allow(&json!("dynamodb:GetItem"), TABLE));
    stand.manage(MANAGED, until("dynamodb:PutItem", FUTURE));
    assert!(stand.may("PutItem").await);
    stand.manage(MANAGED, until("dynamodb:PutItem", PAST));
    assert!(!stand.may("PutItem").await);
}

#[tokio::test]
async fn attach_requires_the_boundary_and_a_policy_under_the_path() {
    let Some(stand) = stand("attach_requires_the_boundary_and_a_policy_under_the_path").await else {
        return;
    };
    let bounded = json!({ "iam:PermissionsBoundary": BOUNDARY });
    let path = json!({ "iam:PolicyARN": "arn:aws:iam::000000000000:policy/brevet/dev/managed/*" });
    stand.holds(json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "iam:PutRolePolicy", "Resource": ROLE, "Condition": { "StringEquals": bounded } },
        { "Effect": "Allow", "Action": "iam:AttachRolePolicy", "Resource": ROLE,
          "Condition": { "StringEquals": bounded, "ArnLike": path } },
    ] }));
    let document = until("dynamodb:PutItem", FUTURE);
    let grant = put("brevet-dev-1", &document);
    for body in [&grant, &attach(MANAGED)] {
        let refused = stand.iam(body).await.unwrap();
        assert!(error(&refused).contains("<Code>AccessDenied</Code>"), "no boundary: {}", error(&refused));
    }
    stand.manage(BOUNDARY, allow(&json!("*"), "*"));
    for body in [&grant, &attach(MANAGED)] {
        let done = stand.iam(body).await.unwrap();
        assert_eq!(done.status(), StatusCode::OK, "{}", error(&done));
    }
    let outside = stand.iam(&attach("arn:aws:iam::aws:policy/AdministratorAccess")).await.unwrap();
    assert!(error(&outside).contains("is not authorized to perform: iam:AttachRolePolicy"), "{}", error(&outside));
    assert_eq!(stand.behind.operations(), ["PutRolePolicy", "AttachRolePolicy"], "only the allowed calls");
    let entries = stand.entries();
    let wrote: Vec<_> =
        entries.iter().filter(|entry| entry.forwarded).map(|entry| entry.wrote.clone().unwrap()).collect();
    let digest = sigv4::sha256(document.to_string().as_bytes());
    assert_eq!(wrote[0], json!({ "role": ROLE, "policy_name": "brevet-dev-1", "document_sha256": digest }));
    assert_eq!(wrote[1], json!({ "role": ROLE, "policy_arn": MANAGED }));
}

#[tokio::test]
async fn delayed_write_lands_after_its_caller_hung_up() {
    let Some(stand) = stand("delayed_write_lands_after_its_caller_hung_up").await else {
        return;
    };
    stand.holds(allow(&json!(["iam:*", "dynamodb:GetItem"]), "*"));
    assert!(!stand.may("PutItem").await);
    stand.fault(json!({ "id": "stall", "kind": "delay", "ms": 2000, "service": "iam", "operation": "PutRolePolicy",
        "principal": ":assumed-role/worker/", "policy": "brevet-dev-1" }));
    let body = put("brevet-dev-1", &until("dynamodb:PutItem", FUTURE));
    let gave_up = tokio::time::timeout(Duration::from_millis(400), stand.iam(&body)).await;
    assert!(gave_up.is_err(), "the caller gave up before the call landed");
    let may = stand.may("PutItem").await;
    assert!(!may && !stand.behind.operations().contains(&"PutRolePolicy".to_owned()), "nothing has landed");
    assert_eq!(stand.gate.record.since(0).n_in_flight, 1, "the log counts one call in flight");

    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(stand.may("PutItem").await, "it landed, and is enforced");
    assert_eq!(stand.gate.record.since(0).n_in_flight, 0);
    let held = stand.puts().remove(0);
    assert_eq!((held.forwarded, held.answered, held.decision), (true, false, Decision::Allowed));
    assert_eq!(held.fault.as_ref().unwrap().kind, Kind::Delay);
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let held_for = time(held.landed_at.as_ref().unwrap()) - time(&held.at);
    assert!(held_for >= TimeDelta::milliseconds(2000), "{held_for}");

    let other = put("brevet-dev-2", &until("dynamodb:PutItem", FUTURE));
    assert_eq!(stand.iam(&other).await.unwrap().status(), StatusCode::OK);
    assert!(stand.puts()[1].answered, "a caller that stays connected is answered");
}

#[tokio::test]
async fn delayed_write_of_a_killed_caller_lands() {
    let Some(stand) = stand("delayed_write_of_a_killed_caller_lands").await else {
        return;
    };
    stand.holds(allow(&json!("iam:*"), "*"));
    let mut victim = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
    stand
        .fault(json!({ "id": "stall", "kind": "delay", "ms": 1500, "operation": "PutRolePolicy", "pid": victim.id() }));
    let body = put("brevet-dev-1", &until("dynamodb:PutItem", FUTURE));
    let (answer, status) = tokio::join!(stand.iam(&body), async {
        let status = victim.wait().await.unwrap();
        assert!(stand.behind.operations().is_empty(), "it died before its call landed");
        status
    });
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert_eq!(stand.behind.operations(), ["PutRolePolicy"]);
}

#[tokio::test]
async fn delayed_write_is_decided_by_the_role_at_its_arrival() {
    let Some(stand) = stand("delayed_write_is_decided_by_the_role_at_its_arrival").await else {
        return;
    };
    stand.manage(BOUNDARY, allow(&json!("*"), "*"));
    stand.holds(json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "iam:PutRolePolicy",
        "Resource": ROLE, "Condition": { "StringEquals": { "iam:PermissionsBoundary": BOUNDARY } } }] }));
    stand.fault(json!({ "id": "stall", "kind": "delay", "ms": 800, "operation": "PutRolePolicy" }));
    let body = put("brevet-dev-1", &until("dynamodb:PutItem", FUTURE));
    let (held, ()) = tokio::join!(stand.iam(&body), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stand.behind.managed.lock().unwrap().clear();
        stand.gate.live.iam_changes();
    });
    assert!(error(&held.unwrap()).contains("AccessDenied"), "the boundary was removed meanwhile");
    assert_eq!(stand.puts()[0].landed_at, None);
    assert_eq!(stand.iam(&body).await.unwrap().status(), StatusCode::FORBIDDEN);
    stand.manage(BOUNDARY, allow(&json!("*"), "*"));
    assert_eq!(stand.iam(&body).await.unwrap().status(), StatusCode::OK, "control");
}

#[tokio::test]
async fn fault_fires_for_its_operation_caller_and_policy_only() {
    let Some(stand) = stand("fault_fires_for_its_operation_caller_and_policy_only").await else {
        return;
    };
    stand.holds(allow(&json!("iam:*"), "*"));
    for (operation, kind, mine, other, code) in [
        (
            "PutRolePolicy",
            "conflict",
            "&PolicyName=x&PolicyDocument=DOC",
            "&PolicyName=y&PolicyDocument=DOC",
            "ConcurrentModification",
        ),
        ("AttachRolePolicy", "throttle", "&PolicyArn=arn:x", "&PolicyArn=arn:y", "Throttling"),
        ("DeleteRolePolicy", "refuse", "&PolicyName=x", "&PolicyName=y", "AccessDenied"),
        ("DetachRolePolicy", "drop_before", "&PolicyArn=arn:x", "&PolicyArn=arn:y", ""),
        ("GetRolePolicy", "drop_after", "&PolicyName=x", "&PolicyName=y", ""),
        ("ListAttachedRolePolicies", "throttle", "", "", "Throttling"),
    ] {
        let mut rule = json!({ "id": kind, "kind": kind, "service": "iam", "operation": operation, "nth": 2,
            "principal": ":assumed-role/worker/", "resource": ROLE });
        if mine != other {
            rule["policy"] = json!("x");
        }
        stand.gate.faults.clear();
        stand.fault(rule);
        let document = encode(&until("s3:GetObject", FUTURE).to_string(), b"");
        let form = |more: &str| format!("Action={operation}&RoleName=worker{more}").replace("DOC", &document);
        // The fault does not fire for another caller, for another policy, or at the first call.
        assert_eq!(stand.send(BOOTSTRAP, "iam", None, &form(mine)).await.unwrap().status(), StatusCode::OK);
        if mine != other {
            assert_eq!(stand.iam(&form(other)).await.unwrap().status(), StatusCode::OK, "{operation}");
        }
        assert_eq!(stand.iam(&form(mine)).await.unwrap().status(), StatusCode::OK, "{operation}");
        match stand.iam(&form(mine)).await {
            Ok(answer) => {
                let text = error(&answer);
                assert!(!code.is_empty() && text.contains(&format!("<Code>{code}</Code>")), "{operation}: {text}");
            }
            Err(_) => assert_eq!(code, "", "{operation}"),
        }
        assert_eq!(stand.gate.faults.list()[0].n_fired, 1, "{operation}");
    }
}

#[tokio::test]
async fn simulation_is_enforced_logged_and_answered_by_the_gate() {
    let Some(stand) = stand("simulation_is_enforced_logged_and_answered_by_the_gate").await else {
        return;
    };
    let decision = async |body: &str| {
        let answer = stand.iam(body).await.unwrap();
        let root = xml::parse(&error(&answer)).unwrap();
        let code = root.text_at("Error/Code").map(str::to_owned);
        let results = root.list_at("SimulatePrincipalPolicyResult/EvaluationResults");
        code.or_else(|| results[0].text_at("EvalDecision").map(str::to_owned)).unwrap()
    };
    stand.holds(allow(&json!("dynamodb:GetItem"), TABLE));
    stand.manage(MANAGED, until("dynamodb:PutItem", FUTURE));
    assert_eq!(decision(&simulate("dynamodb:PutItem", NOW)).await, "AccessDenied");
    stand.holds(allow(&json!("iam:SimulatePrincipalPolicy"), ROLE));
    assert_eq!(decision(&simulate("dynamodb:PutItem", NOW)).await, "allowed");
    assert_eq!(decision(&simulate("dynamodb:PutItem", FUTURE)).await, "implicitDeny");
    assert_eq!(decision(&simulate("dynamodb:GetItem", NOW)).await, "implicitDeny");
    assert_eq!(decision(&simulate("dynamodb:Put*", NOW)).await, "ValidationError");
    stand.manage(BOUNDARY, allow(&json!("iam:*"), "*"));
    assert_eq!(decision(&simulate("dynamodb:PutItem", NOW)).await, "implicitDeny", "outside the boundary");

    stand.fault(json!({ "id": "busy", "kind": "throttle", "operation": "SimulatePrincipalPolicy" }));
    assert_eq!(decision(&simulate("dynamodb:PutItem", NOW)).await, "Throttling");
    stand.fault(json!({ "id": "lost", "kind": "drop_after", "operation": "SimulatePrincipalPolicy" }));
    stand.iam(&simulate("dynamodb:PutItem", NOW)).await.unwrap_err();

    assert!(stand.behind.operations().is_empty(), "the emulator is never asked");
    let entries = stand.entries();
    let allowed = &entries[1];
    assert_eq!((allowed.decision, allowed.forwarded, allowed.answered), (Decision::Allowed, false, true));
    assert_eq!(allowed.request_id.as_deref(), Some("gate-00000002"));
    let simulated = json!([{ "action": "dynamodb:PutItem", "resource": TABLE, "decision": "allowed" }]);
    assert_eq!(allowed.simulated, Some(simulated));
    assert_eq!((entries[4].decision, entries[4].error_code.as_deref()), (Decision::Invalid, Some("ValidationError")));
    let asked: Vec<_> = entries.iter().map(|entry| entry.actions[0].resource.as_str()).collect();
    assert_eq!(asked, [ROLE; 8]);

    let elsewhere = simulate("dynamodb:PutItem", NOW).replace("/session/worker", "/elsewhere/worker");
    let answer = stand.send(BOOTSTRAP, "iam", None, &elsewhere).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(error(&answer).contains("NoSuchEntity"), "{}", error(&answer));
}

#[tokio::test]
async fn policy_without_its_time_limit_still_grants_access() {
    let Some(stand) = stand("policy_without_its_time_limit_still_grants_access").await else {
        return;
    };
    stand.holds(allow(&json!("iam:*"), "*"));
    let ended = until("dynamodb:PutItem", PAST);
    let grant = put("brevet-dev-1", &ended);
    stand.iam(&grant).await.unwrap();
    assert!(!stand.may("PutItem").await, "its time is over");

    stand.fault(json!({ "id": "strip", "kind": "strip_time_limit", "principal": "worker" }));
    stand.iam(&grant).await.unwrap();
    assert!(stand.may("PutItem").await, "no limit is enforced");
    assert_eq!(stand.behind.inline.lock().unwrap()["brevet-dev-1"], ended, "it reads back as sent");
    let wrote = stand.puts().remove(1).wrote.unwrap();
    assert_ne!(wrote["document_sha256"], wrote["enforced_document_sha256"]);
    assert_eq!(wrote["enforced_document_sha256"].as_str().unwrap().len(), 64);

    stand.iam(&grant).await.unwrap();
    assert!(!stand.may("PutItem").await, "put again without the fault");

    stand.fault(json!({ "id": "alter", "kind": "alter_document" }));
    stand.iam(&grant).await.unwrap();
    assert!(stand.may("PutItem").await);
    let altered = stand.behind.inline.lock().unwrap()["brevet-dev-1"].to_string();
    assert!(altered.contains("DateGreaterThanEquals") && !altered.contains("DateLessThan"), "{altered}");
    let wrote = stand.puts().remove(3).wrote.unwrap();
    assert_eq!(wrote["forwarded_document_sha256"], sigv4::sha256(altered.as_bytes()));
}
