use std::collections::BTreeMap;

use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::grant::Vends;
use brevet_engine::fake::{Fault, run};
use brevet_lambda::testing::{HttpCall, World, split_answer};
use lambda_runtime::Context;
use serde_json::json;

use super::*;

const ASK: &str = r#"{"entitlement":"deploy","parameters":{"version":"v1"},"term_s":90}"#;
const OTHER_ID: &str = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn handler(world: &World) -> Handler {
    let intake = Intake {
        proofs: world.proofs.clone(),
        catalogue: world.catalogue.clone(),
        requests: world.store.clone(),
        reader: world.store.clone(),
        evaluator: Arc::new(world.direct()),
        ids: world.ids.clone(),
        issuance_policy: World::ISSUANCE_POLICY,
    };
    Handler::new(intake, world.clock.clone())
}

fn answer(world: &World, event: Value) -> (u64, BTreeMap<String, String>, Value) {
    let event = LambdaEvent::new(event, Context::default());
    split_answer(&run(handler(world).handle(event)).unwrap().unwrap())
}

fn ask(token: &str, key: &str, body: &str) -> Value {
    HttpCall::to("POST /v1/grants").token(token).header("idempotency-key", key).body(body).event()
}

fn of_grant(route: &str, token: &str, id: &str) -> HttpCall {
    HttpCall::to(route).token(token).id(id)
}

/// Requests a grant and returns its id.
fn granted(world: &World, token: &str) -> String {
    let (_, headers, _) = answer(world, ask(token, "k1", ASK));
    headers["location"].strip_prefix("/v1/grants/").unwrap().to_owned()
}

#[test]
fn allowed_request_answers_201_with_its_location() {
    let world = World::new();
    let (status, headers, body) = answer(&world, ask("ask.bot", "run-1", ASK));
    assert_eq!((status, body["state"].as_str(), body["identity"].as_str()), (201, Some("Approved"), Some("bot")));
    assert_eq!(headers["location"], format!("/v1/grants/{}", body["id"].as_str().unwrap()));
    assert_eq!(body["request"]["parameters"], json!({"version": "v1"}));
}

#[test]
fn request_that_needs_approval_answers_202_with_retry_after() {
    let world = World::new();
    let (status, headers, body) = answer(&world, ask("ask.agent", "run-1", ASK));
    assert_eq!((status, body["state"].as_str()), (202, Some("ApprovalAwaited")));
    assert_eq!(body["approval"]["steps"][0]["approvers"], json!(["omar"]));
    assert_eq!(headers["retry-after"], "2");
}

#[test]
fn denied_request_answers_a_problem_that_names_its_grant() {
    let world = World::new();
    let (status, headers, body) = answer(&world, ask("ask.ana", "run-1", ASK));
    assert_eq!(
        (status, body["code"].as_str(), body["detail"].as_str()),
        (403, Some("denied"), Some("no policy allows it"))
    );
    assert_eq!(headers["content-type"], "application/problem+json");
    assert!(body["grant"].as_str().unwrap().starts_with("grt_"));
}

#[test]
fn repeated_key_answers_the_same_grant_and_409_for_another_body() {
    let world = World::new();
    let (_, _, first) = answer(&world, ask("ask.bot", "run-1", ASK));
    let stored = world.stored();
    let (status, _, second) = answer(&world, ask("ask.bot", "run-1", ASK));
    assert_eq!((status, &second["id"]), (201, &first["id"]));
    let (status, _, other) = answer(&world, ask("ask.bot", "run-1", &ASK.replace("90", "91")));
    assert_eq!((status, other["code"].as_str()), (409, Some("idempotency_key_reused")));
    assert_eq!(world.stored(), stored);
}

#[test]
fn intake_refuses_every_bad_request_without_storing_it() {
    let long = format!(r#"{{"entitlement":"{}"}}"#, "a".repeat(17_000));
    let term = |text: &str| ASK.replace("90", text);
    let version = |text: &str| ASK.replace("\"v1\"", text);
    let unknown_field = ASK.replace("\"term_s\"", "\"identity\":\"dana\",\"term_s\"");
    let rows: [(&str, &str, u64, &str); 22] = [
        ("ask.bot", "{\"entitlement\":", 400, "json_syntax"),
        ("ask.bot", "", 400, "body_missing"),
        ("ask.bot", "[]", 400, "field_type"),
        ("ask.bot", &unknown_field, 400, "field_unknown"),
        ("ask.bot", &long, 413, "body_too_large"),
        ("ask.bot", &term("\"90\""), 400, "field_type"),
        ("ask.bot", &term("0"), 422, "term_out_of_range"),
        ("ask.bot", &term("-1"), 422, "term_out_of_range"),
        ("ask.bot", &term("1000000000"), 422, "term_out_of_range"),
        ("ask.bot", &term("1e9"), 422, "term_out_of_range"),
        ("ask.bot", &term("3601"), 422, "invalid_request"),
        ("ask.bot", &ASK.replace("deploy", "no-such-thing"), 422, "entitlement_unknown"),
        ("ask.bot", &version("\"x1\""), 422, "invalid_request"),
        ("ask.bot", &version("\"v*\""), 422, "invalid_parameter"),
        ("ask.bot", &version("\"${aws:username}\""), 422, "invalid_parameter"),
        ("ask.bot", &version("1"), 400, "field_type"),
        ("ask.bot", r#"{"entitlement":"deploy","term_s":90}"#, 422, "invalid_request"),
        ("approvals.bot", ASK, 401, "token_audience"),
        ("credentials.bot", ASK, 401, "token_audience"),
        ("garbage", ASK, 401, "token_malformed"),
        ("ask.nobody", ASK, 403, "identity_unregistered"),
        ("ask bot", ASK, 401, "token_header"),
    ];
    let world = World::new();
    let before = world.stored();
    for (token, body, status, code) in rows {
        let (found, headers, problem) = answer(&world, ask(token, "k1", body));
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{token} {body}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(world.stored(), before, "{token} {body}");
    }
}

#[test]
fn intake_refuses_a_bad_key_query_or_media_type_without_storing_it() {
    let world = World::new();
    let before = world.stored();
    let call = || HttpCall::to("POST /v1/grants").token("ask.bot").body(ASK);
    let keyed = || call().header("idempotency-key", "k1");
    for (event, status, code) in [
        (call(), 400, "idempotency_key_missing"),
        (call().header("idempotency-key", "a b"), 400, "idempotency_key"),
        (call().header("idempotency-key", &"k".repeat(65)), 400, "idempotency_key"),
        (keyed().query("dry", "1"), 400, "query"),
        (keyed().header("content-type", "text/plain"), 415, "media_type"),
        (keyed().header("authorization", ""), 401, "token_missing"),
    ] {
        let (found, _, problem) = answer(&world, event.event());
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(world.stored(), before);
    }
}

#[test]
fn intake_refuses_malformed_ids_and_grants_of_others() {
    let world = World::new();
    let id = granted(&world, "ask.bot");
    let before = world.stored();
    for route in ["GET /v1/grants/{id}", "GET /v1/grants/{id}/evidence", "POST /v1/grants/{id}/release"] {
        for (token, id, status, code) in [
            ("ask.bot", "7", 400, "grant_id"),
            ("ask.bot", "grt_x", 400, "grant_id"),
            ("ask.bot", OTHER_ID, 404, "grant_not_found"),
            ("ask.agent", id.as_str(), 404, "grant_not_found"),
            ("credentials.bot", id.as_str(), 401, "token_audience"),
        ] {
            let (found, _, problem) = answer(&world, of_grant(route, token, id).event());
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{route} {token} {id}: {problem}");
        }
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn holder_shows_lists_and_releases_a_grant() {
    let world = World::new();
    let id = granted(&world, "ask.bot");
    for token in ["ask.bot", "ask.dana"] {
        let (status, _, body) = answer(&world, of_grant("GET /v1/grants/{id}", token, &id).event());
        assert_eq!((status, body["id"].as_str()), (200, Some(id.as_str())), "{token}");
    }
    let list = |name: &str, value: &str| HttpCall::to("GET /v1/grants").token("ask.bot").query(name, value).event();
    let (status, _, body) = answer(&world, list("state", "Approved"));
    assert_eq!((status, body["grants"][0]["id"].as_str(), &body["next"]), (200, Some(id.as_str()), &Value::Null));
    assert_eq!(answer(&world, list("state", "Ended")).2["grants"], json!([]));
    let (status, headers, _) =
        answer(&world, of_grant("POST /v1/grants/{id}/release", "ask.bot", &id).body("{}").event());
    assert_eq!((status, headers["retry-after"].as_str()), (202, "2"));
    assert!(world.store.snapshot().has_mark(id.parse().unwrap()));
}

#[test]
fn release_with_a_body_writes_no_mark() {
    let world = World::new();
    let id = granted(&world, "ask.bot");
    let call = of_grant("POST /v1/grants/{id}/release", "ask.bot", &id).body(r#"{"identity":"bot"}"#);
    let (status, _, problem) = answer(&world, call.event());
    assert_eq!((status, problem["code"].as_str()), (400, Some("field_unknown")));
    assert!(!world.store.snapshot().has_mark(id.parse().unwrap()));
}

#[test]
fn evidence_page_carries_the_head_of_its_chain() {
    let world = World::new();
    let id = granted(&world, "ask.bot");
    let call = || of_grant("GET /v1/grants/{id}/evidence", "ask.bot", &id);
    let (status, _, body) = answer(&world, call().event());
    assert_eq!(status, 200);
    let page: EvidencePage = serde_json::from_value(body).unwrap();
    brevet_domain::evidence::verify(page.grant, page.head, &page.entries).unwrap();
    assert_eq!(page.next, None);
    let (_, _, rest) = answer(&world, call().query("after", "1").event());
    assert_eq!(rest["entries"], json!([]));
    for (name, value) in [("after", "-1"), ("after", "x"), ("limit", "3")] {
        assert_eq!(answer(&world, call().query(name, value).event()).0, 400);
    }
}

#[test]
fn health_needs_no_token_and_follows_the_heartbeat() {
    let world = World::new();
    let health = || answer(&world, HttpCall::to("GET /v1/health").event());
    let (status, _, body) = health();
    assert_eq!((status, body["status"].as_str(), body["heartbeat_age_s"].as_u64()), (200, Some("ok"), Some(0)));
    assert!(body.get("stopped_by").is_none(), "{body}");
    world.clock.advance(181);
    let (status, _, body) = health();
    assert_eq!((status, body["status"].as_str(), body["heartbeat_age_s"].as_u64()), (503, Some("stopped"), Some(181)));
    assert_eq!(body["stopped_by"], "no_good_pass");
}

#[test]
fn health_reports_too_many_overdue_grants_and_names_none() {
    let world = World::new();
    for (n, status, stopped_by) in [(2, 200, None), (3, 503, Some("too_many_overdue"))] {
        world.overdue_on(World::PRINCIPAL, n);
        let (found, _, body) = answer(&world, HttpCall::to("GET /v1/health").event());
        assert_eq!((found, body["stopped_by"].as_str()), (status, stopped_by), "{body}");
        assert_eq!((body["n_overdue"].as_u64(), body["n_unacknowledged"].as_u64()), (Some(n), Some(n)));
        assert!(!body.to_string().contains("grt_") && !body.to_string().contains("batch"), "{body}");
    }
}

#[test]
fn unavailable_store_answers_503_with_retry_after() {
    let world = World::new();
    let n_calls = world.faults.n_calls();
    world.faults.plan(n_calls + 1, Fault::NotSent);
    let (status, headers, body) = answer(&world, HttpCall::to("GET /v1/health").event());
    assert_eq!((status, body["type"].as_str()), (503, Some("urn:brevet:problem:unavailable")));
    assert!(headers.contains_key("retry-after"));
    assert_eq!(world.faults.fired().len(), 1);
}

#[test]
fn intake_refuses_routes_of_other_functions_and_events_that_are_not_http() {
    let world = World::new();
    let event = of_grant("POST /v1/grants/{id}/credentials", "credentials.bot", OTHER_ID).event();
    assert_eq!(answer(&world, event).2["code"], "route_unknown");
    for (event, words) in [
        (json!({"evaluate": {"id": OTHER_ID, "proof": "ask.bot"}}), "received a request for a decision"),
        (json!({"hello": 1}), "received an event with the fields [hello]"),
    ] {
        let event = LambdaEvent::new(event, Context::default());
        let error = run(handler(&world).handle(event)).unwrap().unwrap_err();
        assert!(error.error_message.starts_with(words), "{error:?}");
    }
}

#[test]
fn unusable_bundle_stops_requests_once_the_previous_one_is_too_old() {
    let world = World::new();
    granted(&world, "ask.bot");
    let unusable = BundleText { digest: Digest::of_bytes(b"no such index"), parts: BTreeMap::new() };
    world.store.publish(unusable);
    world.clock.advance(World::BUNDLE_MAX_AGE_S);
    assert_eq!(answer(&world, ask("ask.bot", "k2", ASK)).0, 201);
    assert!(world.watched.take().iter().all(|(using, _)| using.is_some()));
    world.clock.advance(1);
    let before = world.stored();
    let (status, _, body) = answer(&world, ask("ask.bot", "k3", ASK));
    assert_eq!((status, world.stored() == before), (503, true), "{body}");
    assert_eq!(world.watched.take()[0].0, None);
}

fn renew(token: &str, id: &str, body: &str) -> Value {
    of_grant("POST /v1/grants/{id}/renew", token, id).header("idempotency-key", "again").body(body).event()
}

#[test]
fn renewal_is_a_new_grant_with_its_own_location() {
    let world = World::new();
    let first = granted(&world, "ask.bot");
    let early = answer(&world, renew("ask.bot", &first, r#"{"term_s":60}"#)).2;
    assert!(early["detail"].as_str().unwrap().contains("is `Approved`"), "{early}");
    let now = world.clock.now();
    let mut grant = world.store.snapshot().grants().find(|grant| grant.id.to_string() == first).unwrap().clone();
    grant.state = State::Active {
        activated_at: now,
        deadline: now.plus(90),
        fence: now,
        vends: Vends::default(),
        plan_digest: None,
        next_check_at: None,
    };
    world.store.overwrite(grant);
    let other = of_grant("POST /v1/grants/{id}/renew", "ask.bot", &first).header("idempotency-key", "other");
    let (status, headers, body) = answer(&world, other.body(r#"{"term_s":60,"ticket":"OPS-2"}"#).event());
    assert_eq!((status, body["state"].as_str()), (201, Some("Approved")), "{body}");
    assert_eq!(headers["location"], format!("/v1/grants/{}", body["id"].as_str().unwrap()));
    assert_ne!(body["id"], json!(first));
    assert_eq!(body["renewal"], json!({ "of": first, "n": 1 }));
    assert_eq!(body["request"], json!({"parameters": {"version": "v1"}, "ticket": "OPS-2", "renews": first}));
    assert_eq!(body["term_s"], 60);
}

#[test]
fn intake_refuses_every_bad_renewal_without_storing_it() {
    let world = World::new();
    let first = granted(&world, "ask.bot");
    let before = world.stored();
    for (event, status, code) in [
        (renew("ask.agent", &first, r#"{"term_s":60}"#), 404, "grant_not_found"),
        (renew("ask.dana", &first, r#"{"term_s":60}"#), 404, "grant_not_found"),
        (renew("credentials.bot", &first, r#"{"term_s":60}"#), 401, "token_audience"),
        (renew("ask.bot", "grt_1", r#"{"term_s":60}"#), 400, "grant_id"),
        (renew("ask.bot", &first, "{}"), 400, "field_missing"),
        (renew("ask.bot", &first, r#"{"term_s":60,"entitlement":"batch"}"#), 400, "field_unknown"),
        (
            of_grant("POST /v1/grants/{id}/renew", "ask.bot", &first).body(r#"{"term_s":60}"#).event(),
            400,
            "idempotency_key_missing",
        ),
    ] {
        let (found, _, problem) = answer(&world, event);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(world.stored(), before, "{code}");
    }
}
