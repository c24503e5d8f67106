use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Once};

use brevet_engine::fake::{Fault, run};
use brevet_engine::issue::attachment::Ports;
use brevet_engine::port::GrantReader;
use brevet_lambda::testing::{HttpCall, World, split_answer};
use lambda_runtime::Context;
use serde_json::json;

use super::*;

const ROUTE: &str = "POST /v1/grants/{id}/credentials";

fn handler(world: &World) -> Handler {
    let issuer = Issuer::new(
        world.proofs.clone(),
        (world.store.clone(), world.catalogue.clone(), world.store.clone()),
        (world.store.clone(), world.ids.clone()),
        world.sts.clone(),
        world.clock.clone(),
        World::ISSUANCE_POLICY,
    );
    let ports = Ports {
        reader: world.store.clone(),
        catalogue: world.catalogue.clone(),
        service: world.store.clone(),
        store: world.store.clone(),
        due: world.store.clone(),
        principals: world.principals.clone(),
        provisioner: world.principals.clone(),
        holders: world.store.clone(),
        clock: world.clock.clone(),
        ids: world.ids.clone(),
    };
    Handler::new(issuer, Activator::new(ports, world.deployment.clone(), World::ISSUANCE_POLICY, 15))
}

fn answer(world: &World, call: HttpCall) -> (u64, BTreeMap<String, String>, Value) {
    let event = LambdaEvent::new(call.event(), Context::default());
    split_answer(&run(handler(world).handle(event)).unwrap().unwrap())
}

fn fetch(token: &str, id: impl ToString) -> HttpCall {
    HttpCall::to(ROUTE).token(token).id(&id.to_string())
}

#[test]
fn holder_fetches_credentials_that_must_not_be_cached() {
    let world = World::new();
    let id = world.decided("ask.bot");
    let (status, headers, body) = answer(&world, fetch("credentials.bot", id).body("{}"));
    assert_eq!((status, body["Version"].as_u64()), (200, Some(1)));
    assert_eq!(headers["cache-control"], "no-store");
    let names: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken", "Version"].into());
    assert_eq!(world.sts.vended().len(), 1);
    assert!(!world.stored().contains(body["SecretAccessKey"].as_str().unwrap()));
    assert!(!world.stored().contains(body["SessionToken"].as_str().unwrap()));
}

#[test]
fn issue_refuses_every_unauthorized_fetch_without_storing_anything() {
    let world = World::new();
    let (approved, awaited) = (world.decided("ask.bot"), world.decided("ask.agent"));
    let before = world.stored();
    for (call, status, code) in [
        (fetch("ask.bot", approved), 401, "token_audience"),
        (fetch("approvals.bot", approved), 401, "token_audience"),
        (fetch("credentials.agent", approved), 404, "grant_not_found"),
        (fetch("credentials.nobody", approved), 403, "identity_unregistered"),
        (HttpCall::to(ROUTE).id(&approved.to_string()), 401, "token_missing"),
        (fetch("credentials.bot", "grt_7"), 400, "grant_id"),
        (fetch("credentials.bot", "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404, "grant_not_found"),
        (fetch("credentials.bot", approved).body(r#"{"duration":1}"#), 400, "field_unknown"),
        (fetch("credentials.bot", approved).body("x"), 400, "json_syntax"),
        (fetch("credentials.bot", approved).query("as", "dana"), 400, "query"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let (status, _, problem) = answer(&world, fetch("credentials.agent", awaited));
    assert_eq!((status, problem["type"].as_str()), (409, Some("urn:brevet:problem:conflict")), "{problem}");
    assert_eq!(world.stored(), before);
    assert!(world.sts.vended().is_empty());
}

#[test]
fn stale_heartbeat_answers_503_and_vends_nothing() {
    let world = World::new();
    let id = world.decided("ask.bot");
    world.clock.advance(181);
    let (status, headers, problem) = answer(&world, fetch("credentials.bot", id));
    assert_eq!((status, problem["type"].as_str()), (503, Some("urn:brevet:problem:issuing-stopped")), "{problem}");
    assert!(headers.contains_key("retry-after") && world.sts.vended().is_empty());
}

#[test]
fn overdue_grant_stops_its_own_principal_and_more_than_two_stop_all() {
    let world = World::new();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let id = world.decided("ask.bot");
    for (principal, n, code) in [
        (role.as_str(), 1, Some("principal_overdue")),
        (World::PRINCIPAL, 2, None),
        (World::PRINCIPAL, 3, Some("too_many_overdue")),
    ] {
        world.overdue_on(principal, n);
        let (status, headers, body) = answer(&world, fetch("credentials.bot", id));
        let Some(code) = code else {
            assert_eq!(status, 200, "{body}");
            continue;
        };
        assert_eq!((status, body["type"].as_str()), (503, Some("urn:brevet:problem:issuing-stopped")), "{body}");
        assert_eq!((body["code"].as_str(), headers["retry-after"].as_str()), (Some(code), "60"));
        let detail = body["detail"].as_str().unwrap();
        for words in [" since ", "it resumes once", "try again then"] {
            assert!(detail.contains(words), "{words}: {detail}");
        }
        assert!(!detail.contains("grt_"), "{detail}");
    }
    assert_eq!(world.sts.vended().len(), 1);
}

#[test]
fn problem_never_carries_a_credential_when_the_vend_cannot_be_recorded() {
    let world = World::new();
    let id = world.decided("ask.bot");
    // From one port call on, every call fails. Each run fails later than the one before, until one succeeds.
    let n_before = world.faults.n_calls();
    let mut n_withheld = 0;
    for number in 1..40 {
        let world = World::new();
        let id = world.decided("ask.bot");
        (number..100).for_each(|later| world.faults.plan(n_before + later, Fault::NotSent));
        let (status, _, body) = answer(&world, fetch("credentials.bot", id));
        if world.faults.fired().is_empty() {
            assert_eq!(status, 200);
            assert!(n_withheld > 0, "no fault hit a call after STS, so the test shows nothing");
            return;
        }
        assert!(status == 200 || body.get("SecretAccessKey").is_none(), "{number}: {status}");
        n_withheld += u32::from(status != 200 && !world.sts.vended().is_empty());
    }
    panic!("no run of `{id}` succeeded without a fault");
}

thread_local! {
    /// The log of this test's thread.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to [`LOG`].
struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns everything that `act` logs, at level `TRACE`.
fn logged(act: impl FnOnce()) -> String {
    static STARTED: Once = Once::new();
    // The subscriber is global: one per thread would miss events whose call site another thread's test reached first.
    STARTED.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| LogWriter)
            .init();
    });
    LOG.take();
    act();
    String::from_utf8(LOG.take()).unwrap()
}

#[test]
fn invariant_06_neither_credentials_nor_the_token_are_logged() {
    for number in 0..30 {
        let world = World::new();
        let id = world.decided("ask.bot");
        if number > 0 {
            world.faults.plan(world.faults.n_calls() + number, Fault::AnswerLost);
        }
        let log = logged(|| drop(answer(&world, fetch("credentials.bot", id))));
        assert!(log.contains("answered `POST /v1/grants/{id}/credentials`"), "{number}: no log captured: {log}");
        for secret in ["secret of", "token of", "credentials.bot"] {
            assert!(!log.contains(secret), "{number}: `{secret}` is in the log: {log}");
        }
        if number > 0 && world.faults.fired().is_empty() {
            assert!(number > 6, "only {number} calls failed, one by one");
            return;
        }
    }
    panic!("no run succeeded without a fault");
}

fn handle(world: &World, event: Value) -> Result<Value, Diagnostic> {
    run(handler(world).handle(LambdaEvent::new(event, Context::default()))).unwrap()
}

fn record(id: impl ToString) -> Value {
    let key = format!("GRANT#{}", id.to_string());
    json!({"Records": [{"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": key}}}}]})
}

#[test]
fn stream_record_activates_its_own_attachment_and_a_tick_all() {
    let world = World::new();
    let ids = [world.decided_for("ask.bot", "batch"), world.decided_for("ask.bot", "batch")];
    let states = || ids.map(|id| run(world.store.grant(id)).unwrap().unwrap().unwrap().state.name());
    assert_eq!(handle(&world, record(ids[1])).unwrap()["n_due"], 1);
    assert_eq!(states(), ["Approved", "Active"]);
    let report = handle(&world, json!({"detail-type": "Scheduled Event"})).unwrap();
    assert_eq!((report["n_due"].as_u64(), report["n_left"].as_u64()), (Some(1), Some(0)));
    assert_eq!(states(), ["Active", "Active"]);
    let (status, _, problem) = answer(&world, fetch("credentials.bot", ids[0]));
    assert_eq!((status, problem["code"].as_str()), (409, Some("attachment")), "{problem}");
}

#[test]
fn incomplete_pass_fails_the_event() {
    let world = World::new();
    world.faults.plan(world.faults.n_calls() + 1, Fault::NotSent);
    let error = handle(&world, json!({"detail-type": "Scheduled Event"})).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "BadPass"));
}

#[test]
fn issue_refuses_events_and_routes_of_other_functions() {
    let world = World::new();
    let id = world.request().id;
    let error = handle(&world, json!({"evaluate": {"id": id, "proof": "ask.bot"}})).unwrap_err();
    assert!(error.error_message.starts_with("received a request for a decision"), "{}", error.error_message);
    let other = Arc::new(world);
    assert_eq!(answer(&other, HttpCall::to("GET /v1/grants")).2["code"], "route_unknown");
}
