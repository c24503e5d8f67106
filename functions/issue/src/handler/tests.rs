use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Once};

use brevet_engine::activate::Ports;
use brevet_engine::fake::{Fault, run};
use brevet_engine::port::GrantReader;
use brevet_lambda::testing::{HttpCall, World, taken_apart};
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
        World::TOLERANCE,
    );
    let ports = Ports {
        reader: world.store.clone(),
        catalogue: world.catalogue.clone(),
        service: world.store.clone(),
        store: world.store.clone(),
        due: world.store.clone(),
        principals: world.principals.clone(),
        provisioner: world.principals.clone(),
        counts: world.store.clone(),
        clock: world.clock.clone(),
        ids: world.ids.clone(),
    };
    Handler::new(issuer, Activator::new(ports, world.deployment.clone(), World::TOLERANCE, 15))
}

fn answer(world: &World, call: HttpCall) -> (u64, BTreeMap<String, String>, Value) {
    let event = LambdaEvent::new(call.event(), Context::default());
    taken_apart(&run(handler(world).handle(event)).unwrap().unwrap())
}

fn fetch(token: &str, id: impl ToString) -> HttpCall {
    HttpCall::to(ROUTE).token(token).id(&id.to_string())
}

#[test]
fn a_holder_fetches_credentials_that_no_cache_keeps() {
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
fn whoever_may_not_gets_nothing_and_nothing_is_stored() {
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
fn a_stopped_heart_answers_503_and_vends_nothing() {
    let world = World::new();
    let id = world.decided("ask.bot");
    world.clock.advance(181);
    let (status, headers, problem) = answer(&world, fetch("credentials.bot", id));
    assert_eq!((status, problem["type"].as_str()), (503, Some("urn:brevet:problem:issuing-stopped")), "{problem}");
    assert!(headers.contains_key("retry-after") && world.sts.vended().is_empty());
}

#[test]
fn an_overdue_grant_answers_503_on_its_own_principal_and_more_than_two_on_any() {
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
        assert!(detail.contains(" since ") && detail.contains("by itself") && detail.contains("ask again"), "{detail}");
        assert!(!detail.contains("grt_"), "{detail}");
    }
    assert_eq!(world.sts.vended().len(), 1);
}

#[test]
fn no_problem_carries_a_credential_when_the_answer_could_not_be_recorded() {
    let world = World::new();
    let id = world.decided("ask.bot");
    // From one call on nothing answers, later in each run, until a run goes through.
    let n_before = world.faults.n_calls();
    let mut n_withheld = 0;
    for number in 1..40 {
        let world = World::new();
        let id = world.decided("ask.bot");
        (number..100).for_each(|later| world.faults.plan(n_before + later, Fault::NotSent));
        let (status, _, body) = answer(&world, fetch("credentials.bot", id));
        if world.faults.fired().is_empty() {
            assert_eq!(status, 200);
            assert!(n_withheld > 0, "no fault came after the call to STS: nothing was shown");
            return;
        }
        assert!(status == 200 || body.get("SecretAccessKey").is_none(), "{number}: {status}");
        n_withheld += u32::from(status != 200 && !world.sts.vended().is_empty());
    }
    panic!("no run of `{id}` went through without a fault");
}

thread_local! {
    /// What this test's thread has logged.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to [`LOG`].
struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that `act` logs, at the finest level.
fn logged(act: impl FnOnce()) -> String {
    static STARTED: Once = Once::new();
    // For all threads: one of a single thread would miss what another thread's test logged first.
    STARTED.call_once(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(|| Kept).init();
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
        assert!(log.contains("answered `POST /v1/grants/{id}/credentials`"), "{number}: the log is seen: {log}");
        for secret in ["secret of", "token of", "credentials.bot"] {
            assert!(!log.contains(secret), "{number}: `{secret}` is in the log: {log}");
        }
        if number > 0 && world.faults.fired().is_empty() {
            assert!(number > 6, "only {number} calls failed, one by one");
            return;
        }
    }
    panic!("no run went through without a fault");
}

fn handle(world: &World, event: Value) -> Result<Value, Diagnostic> {
    run(handler(world).handle(LambdaEvent::new(event, Context::default()))).unwrap()
}

fn record(id: impl ToString) -> Value {
    let key = format!("GRANT#{}", id.to_string());
    json!({"Records": [{"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": key}}}}]})
}

#[test]
fn a_record_of_an_approved_attachment_wakes_for_that_grant_and_a_tick_for_all() {
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
fn a_pass_that_is_not_good_fails() {
    let world = World::new();
    world.faults.plan(world.faults.n_calls() + 1, Fault::NotSent);
    let error = handle(&world, json!({"detail-type": "Scheduled Event"})).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "BadPass"));
}

#[test]
fn events_of_other_functions_are_refused() {
    let world = World::new();
    let id = world.request().id;
    let error = handle(&world, json!({"evaluate": {"id": id, "proof": "ask.bot"}})).unwrap_err();
    assert!(error.error_message.starts_with("a request for a decision came"), "{}", error.error_message);
    let other = Arc::new(world);
    assert_eq!(answer(&other, HttpCall::to("GET /v1/grants")).2["code"], "route_unknown");
}
