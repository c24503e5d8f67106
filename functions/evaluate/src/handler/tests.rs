mod stopping;

use std::collections::BTreeMap;

use brevet_engine::fake::run;
use brevet_lambda::testing::{HttpCall, World, split_answer};
use lambda_runtime::Context;
use serde_json::json;

use super::*;
use crate::bundle::BundleEvaluator;
use crate::bundle::tests::publish;

const ROUTE: &str = "POST /v1/grants/{id}/approvals";

fn raw(world: &World, event: Value) -> Result<Value, Diagnostic> {
    let judge = BundleEvaluator::new(world.catalogue.clone(), world.deployment.clone());
    let (proofs, catalogue) = (world.proofs.clone(), world.catalogue.clone());
    let offers = Offers { proofs, catalogue, judge: Arc::new(judge) };
    let handler = Handler::new(
        world.decider(),
        (world.kill_switch(), world.acknowledging()),
        offers,
        World::ISSUANCE_POLICY,
        world.clock.clone(),
    );
    run(handler.handle(LambdaEvent::new(event, Context::default()))).unwrap()
}

fn answer(world: &World, call: HttpCall) -> (u64, BTreeMap<String, String>, Value) {
    split_answer(&raw(world, call.event()).unwrap())
}

fn evaluate(id: GrantId, token: &str) -> Value {
    json!({"evaluate": {"id": id, "proof": token}})
}

fn vote(token: &str, id: impl ToString, body: &str) -> HttpCall {
    HttpCall::to(ROUTE).token(token).id(&id.to_string()).body(body)
}

/// Returns the body that approves the current decision of `id`.
fn approval_body(world: &World, id: GrantId) -> String {
    let snapshot = world.store.snapshot();
    let digest = snapshot.grants().find(|grant| grant.id == id).unwrap().decision_digest;
    json!({"approve": true, "digest": digest}).to_string()
}

fn state(world: &World, id: GrantId) -> &'static str {
    world.store.snapshot().grants().find(|grant| grant.id == id).unwrap().state.name()
}

#[test]
fn evaluate_answers_intake_with_decided_or_the_refusal() {
    let world = World::new();
    let id = world.request().id;
    assert_eq!(raw(&world, evaluate(id, "ask.bot")), Ok(json!({"answer": "decided"})));
    assert_eq!(state(&world, id), "Approved");
    let other = world.request().id;
    let before = world.stored();
    for (token, code) in
        [("credentials.bot", "token_audience"), ("ask.nobody", "identity_unregistered"), ("x", "token_malformed")]
    {
        let answer = raw(&world, evaluate(other, token)).unwrap();
        assert_eq!((answer["answer"].as_str(), answer["refusal"]["code"].as_str()), (Some("refused"), Some(code)));
        assert!(serde_json::from_value::<EvaluateAnswer>(answer).is_ok());
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn approval_vote_approves_the_grant() {
    let world = World::new();
    let id = world.decided("ask.agent");
    let (status, _, body) = answer(&world, vote("approvals.omar", id, &approval_body(&world, id)));
    assert_eq!((status, body["state"].as_str()), (200, Some("Approved")), "{body}");
    assert_eq!(state(&world, id), "Approved");
}

#[test]
fn refusal_vote_denies_the_grant() {
    let world = World::new();
    let id = world.decided("ask.agent");
    let refusal = approval_body(&world, id).replace("true", "false");
    let (status, _, body) = answer(&world, vote("approvals.omar", id, &refusal));
    assert_eq!((status, body["state"].as_str()), (200, Some("Denied")), "{body}");
    assert!(body["reason"].as_str().unwrap().contains("omar"), "{body}");
}

#[test]
fn evaluate_refuses_every_bad_vote_without_counting_it() {
    let world = World::new();
    let id = world.decided("ask.agent");
    let good = approval_body(&world, id);
    let other_digest = json!({"approve": true, "digest": "0".repeat(64)}).to_string();
    let before = world.stored();
    for (call, status, code) in [
        (vote("approvals.agent", id, &good), 403, "approver_not_human"),
        (vote("approvals.dana", id, &good), 403, "approver_is_sponsor"),
        (vote("approvals.omar", id, &other_digest), 409, "digest_mismatch"),
        (vote("approvals.ana", id, &good), 404, "grant_not_found"),
        (vote("ask.omar", id, &good), 401, "token_audience"),
        (vote("credentials.omar", id, &good), 401, "token_audience"),
        (vote("approvals.nobody", id, &good), 403, "identity_unregistered"),
        (HttpCall::to(ROUTE).id(&id.to_string()).body(&good), 401, "token_missing"),
        (vote("approvals.omar", "grt_", &good), 400, "grant_id"),
        (vote("approvals.omar", "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV", &good), 404, "grant_not_found"),
        (vote("approvals.omar", id, ""), 400, "body_missing"),
        (vote("approvals.omar", id, "{"), 400, "json_syntax"),
        (vote("approvals.omar", id, r#"{"approve":true}"#), 400, "field_missing"),
        (vote("approvals.omar", id, &good.replace("true", "1")), 400, "field_type"),
        (vote("approvals.omar", id, &good.replace("approve", "by")), 400, "field_unknown"),
        (vote("approvals.omar", id, &"x".repeat(16_385)), 413, "body_too_large"),
        (vote("approvals.omar", id, &good).query("as", "lea"), 400, "query"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(world.stored(), before, "{code}");
    }
    world.clock.advance(600);
    let (status, _, problem) = answer(&world, vote("approvals.omar", id, &good));
    assert_eq!((status, problem["code"].as_str()), (409, Some("approval_too_late")));
    assert_eq!((world.stored(), state(&world, id)), (before, "ApprovalAwaited"));
}

fn rehearse(token: &str, body: &str) -> HttpCall {
    HttpCall::to("POST /v1/evaluations").token(token).body(body)
}

const ASK: &str = r#"{"entitlement":"deploy","parameters":{"version":"v1"},"term_s":90}"#;

#[test]
fn dry_run_answers_the_outcome_and_stores_nothing() {
    let world = World::new();
    let before = world.stored();
    let (status, _, body) = answer(&world, rehearse("ask.bot", ASK));
    assert_eq!(
        (status, body["outcome"].as_str(), body["issuing"].as_str()),
        (200, Some("allow"), Some("ok")),
        "{body}"
    );
    assert_eq!(body["determining"], json!(["by-class"]));
    assert_eq!(body["plan"]["kind"], "session");
    assert_eq!(body["plan"]["policy"]["Statement"][0]["Resource"], json!(["arn:aws:s3:::artifacts/v1/*"]));
    let (_, _, body) = answer(&world, rehearse("ask.agent", ASK));
    assert_eq!(
        (&body["outcome"], &body["steps"][0]["approvers"]),
        (&json!("needs_approval"), &json!(["omar"])),
        "{body}"
    );
    let (status, _, body) = answer(&world, rehearse("ask.ana", ASK));
    assert_eq!(
        (status, body["outcome"].as_str(), body["reason"].as_str()),
        (200, Some("deny"), Some("no policy allows it"))
    );
    for (call, status, code) in [
        (rehearse("approvals.omar", ASK), 401, "token_audience"),
        (rehearse("credentials.bot", ASK), 401, "token_audience"),
        (rehearse("ask.nobody", ASK), 403, "identity_unregistered"),
        (HttpCall::to("POST /v1/evaluations").body(ASK), 401, "token_missing"),
        (rehearse("ask.bot", ""), 400, "body_missing"),
        (rehearse("ask.bot", &ASK.replace("term_s", "term")), 400, "field_unknown"),
        (rehearse("ask.bot", &ASK.replace("90}", r#"90,"identity":"ana"}"#)), 400, "field_unknown"),
        (rehearse("ask.bot", ASK).query("as", "ana"), 400, "query"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn entitlement_list_shows_what_the_caller_may_request() {
    let world = World::new();
    let list = |token: &str| HttpCall::to("GET /v1/entitlements").token(token);
    assert_eq!(answer(&world, list("ask.bot")).2, json!({"entitlements": [], "next": null}), "no policy permits it");
    publish(
        &world,
        r#"@id("pipelines") permit (principal, action in [Brevet::Action::"request", Brevet::Action::"autoApprove"], resource)
            when { principal.class == "pipeline" && context.termSeconds <= 1200 };"#,
    );
    let (status, _, body) = answer(&world, list("ask.bot"));
    let mut ids: Vec<_> =
        body["entitlements"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!((status, ids), (200, vec!["batch", "deploy"]));
    let line = body["entitlements"].as_array().unwrap().iter().find(|line| line["id"] == "deploy").unwrap();
    let expected = json!({
        "id": "deploy", "description": "deploys one version", "owner": "dana", "delivery": "session",
        "risk": "medium", "break_glass": false, "start_within_s": 600,
        "parameters": {"version": {"type": "text", "pattern": "v[0-9]+", "max_length": 8,
            "must": "match `v[0-9]+` and have at most 8 characters"}},
        "ticket": {"required": false}, "justification": {"need": "optional", "min_length": 0},
        "options": [{"needs_ticket": false, "max_term_s": 1200}], "max_live": 50, "max_renewals": 1,
    });
    assert_eq!(*line, expected);
    assert_eq!(answer(&world, list("ask.ana")).2, json!({"entitlements": [], "next": null}));
    let first = answer(&world, list("ask.bot").query("limit", "1")).2;
    let next = first["next"].as_str().unwrap();
    let second = answer(&world, list("ask.bot").query("limit", "1").query("cursor", next)).2;
    assert_eq!(second["entitlements"].as_array().unwrap().len(), 1);
    assert_ne!(first["entitlements"][0]["id"], second["entitlements"][0]["id"]);
    for (call, status, code) in [
        (list("credentials.bot"), 401, "token_audience"),
        (list("ask.nobody"), 403, "identity_unregistered"),
        (list("ask.bot").query("limit", "0"), 400, "query"),
        (list("ask.bot").query("identity", "ana"), 400, "query"),
        (list("ask.bot").query("cursor", "made-up"), 422, "cursor"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
}

#[test]
fn evaluate_refuses_events_and_routes_of_other_functions() {
    let world = World::new();
    assert_eq!(answer(&world, HttpCall::to("POST /v1/grants").token("ask.bot")).2["code"], "route_unknown");
    let records = json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": "GRANT#x"}}}}]});
    let woken = raw(&world, records).unwrap_err();
    assert!(
        woken.error_message.starts_with("received records of the table's stream; this function accepts HTTP calls"),
        "{woken:?}"
    );
    let bad = raw(&world, json!({"evaluate": {"id": "x", "proof": "s3cr3t"}})).unwrap_err();
    assert!(bad.error_message.contains("[evaluate]") && !bad.error_message.contains("s3cr3t"), "{bad:?}");
}

fn tick() -> Value {
    json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"})
}

fn named(id: &str) -> Value {
    json!({"schedule": {"id": id}})
}

#[test]
fn schedule_window_is_granted_once_by_ticks_and_named_events() {
    let mut world = World::new();
    world.schedule("hourly", "bot");
    // The test clock starts at noon, when a window opens.
    let pass = |n_open, n_granted| json!({"n_schedules": 1, "n_open": n_open, "n_granted": n_granted, "n_denied": 0, "n_failed": 0, "n_left": 0});
    assert_eq!(raw(&world, tick()), Ok(pass(1, 1)));
    let id = world.store.snapshot().grants().next().unwrap().id;
    assert_eq!(state(&world, id), "Approved");
    let before = world.stored();
    for _ in 0..3 {
        assert_eq!(raw(&world, named("hourly")), Ok(json!({"schedule": "standing", "grant": id})));
        assert_eq!(raw(&world, tick()), Ok(pass(1, 0)));
        world.clock.advance(100);
    }
    world.clock.advance(300);
    assert_eq!(raw(&world, named("hourly")), Ok(json!({"schedule": "closed"})));
    assert_eq!(raw(&world, tick()), Ok(pass(0, 0)));
    assert_eq!(world.stored(), before);
    world.clock.advance(3_000);
    let next = raw(&world, named("hourly")).unwrap();
    assert_eq!((next["schedule"].as_str(), next["allowed"].as_bool()), (Some("decided"), Some(true)));
    assert_eq!(world.store.snapshot().grants().count(), 2);
}

#[test]
fn undecided_window_fails_the_event_and_is_retried_by_the_next() {
    let mut world = World::new();
    world.schedule("hourly", "bot");
    world.schedule("nightly", "nobody");
    let before = world.stored();
    let unknown = raw(&world, named("weekly")).unwrap_err();
    assert!(unknown.error_message.contains("no schedule `weekly`"), "{unknown:?}");
    let unregistered = raw(&world, named("nightly")).unwrap_err();
    assert!(unregistered.error_message.contains("`nobody` is not registered"), "{unregistered:?}");
    assert_eq!(world.stored(), before);
    // The other schedule is still granted.
    let failed = raw(&world, tick()).unwrap_err();
    assert_eq!(failed.error_type, "WindowsUndecided");
    assert!(failed.error_message.contains("n_granted: 1, n_denied: 0, n_failed: 1"), "{failed:?}");
    world.schedule("nightly", "agent");
    // Policy requires omar's approval for agents. A schedule cannot wait for it, so the grant is denied, once.
    let denied = raw(&world, named("nightly")).unwrap();
    assert_eq!((denied["schedule"].as_str(), denied["allowed"].as_bool()), (Some("decided"), Some(false)));
    assert_eq!(state(&world, denied["grant"].as_str().unwrap().parse().unwrap()), "Denied");
    assert_eq!(raw(&world, named("nightly")).unwrap()["schedule"], "standing");
}

const GIVEN: &str = r#"{"entitlements":["deploy-release"],"until":"UNTIL"}"#;

fn delegate(world: &World, token: &str, to: &str) -> HttpCall {
    let body = GIVEN.replace("UNTIL", &world.clock.now().plus(3_600).to_string());
    HttpCall::to("PUT /v1/delegations/{id}").token(token).id(to).body(&body)
}

#[test]
fn human_gives_lists_and_ends_a_delegation() {
    let world = World::new();
    let (status, _, given) = answer(&world, delegate(&world, "approvals.omar", "bot"));
    assert_eq!((status, given["identity"].as_str(), given["version"].as_u64()), (200, Some("bot"), Some(1)), "{given}");
    assert_eq!((&given["in_force"], &given["entitlements"]), (&json!(true), &json!(["deploy-release"])));
    let list = || answer(&world, HttpCall::to("GET /v1/delegations").token("approvals.omar")).2;
    assert_eq!(list(), json!({ "delegations": [given] }));
    let end = HttpCall::to("DELETE /v1/delegations/{id}").token("approvals.omar").id("bot");
    let (status, _, ended) = answer(&world, end);
    assert_eq!((status, ended["version"].as_u64(), &ended["in_force"]), (200, Some(2), &json!(false)), "{ended}");
    assert!(ended.get("until").is_none() && ended["entitlements"] == json!([]));
    assert_eq!(list(), json!({ "delegations": [ended] }));
}

#[test]
fn evaluate_refuses_every_bad_delegation_without_storing_it() {
    let world = World::new();
    let before = world.stored();
    let end = |token: &str, to: &str| HttpCall::to("DELETE /v1/delegations/{id}").token(token).id(to);
    let put = |to: &str, body: &str| HttpCall::to("PUT /v1/delegations/{id}").token("approvals.omar").id(to).body(body);
    let long = GIVEN.replace("UNTIL", "2099-01-01T00:00:00Z");
    for (call, status, code) in [
        (delegate(&world, "ask.omar", "bot"), 401, "token_audience"),
        (delegate(&world, "credentials.omar", "bot"), 401, "token_audience"),
        (delegate(&world, "approvals.agent", "bot"), 403, "delegator_not_human"),
        (delegate(&world, "approvals.omar", "dana"), 422, "delegate_unknown"),
        (delegate(&world, "approvals.omar", "Bot"), 400, "identity_id"),
        (delegate(&world, "approvals.omar", "bot").query("by", "dana"), 400, "query"),
        (put("bot", &long), 422, "invalid_delegation"),
        (put("bot", "{}"), 400, "field_missing"),
        (put("bot", ""), 400, "body_missing"),
        (end("approvals.omar", "bot"), 404, "delegation_not_found"),
        (end("approvals.omar", "bot").body(r#"{"by":"dana"}"#), 400, "field_unknown"),
        (HttpCall::to("GET /v1/delegations").token("ask.omar"), 401, "token_audience"),
        (HttpCall::to("GET /v1/delegations").token("approvals.bot"), 403, "delegator_not_human"),
        (HttpCall::to("GET /v1/delegations"), 401, "token_missing"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(world.stored(), before, "{code}");
    }
}
