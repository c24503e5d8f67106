use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::EndCause;
use brevet_engine::fake::{Fault, MemoryAccountListing, MemoryStandbyTicks, run};
use brevet_engine::port::{GrantReader, Mark, RequestStore};
use brevet_engine::reap::{Attachments, Drills, KillSwitchPorts, PASS_BUDGET_S, Ports, Reaper, Sweep};
use brevet_lambda::testing::World;
use lambda_runtime::Context;
use serde_json::json;

use super::*;

fn handle(world: &World, event: Value) -> Result<Value, Diagnostic> {
    let listing =
        MemoryAccountListing::new(world.principals.clone(), (world.roles.clone(), Vec::new()), world.faults.clone());
    let ports = Ports {
        reader: world.store.clone(),
        store: world.store.clone(),
        due: world.store.clone(),
        reviews: world.store.clone(),
        deny: world.store.clone(),
        kill_switch: KillSwitchPorts { reader: world.store.clone(), progress: world.store.clone() },
        sweep: Sweep { listing: Arc::new(listing), findings: world.store.clone() },
        service: world.store.clone(),
        reaper_health: world.store.clone(),
        drills: Drills::none(world.store.clone()),
        roles: world.roles.clone(),
        attachments: Attachments {
            principals: world.principals.clone(),
            deprovisioner: world.principals.clone(),
            holders: world.store.clone(),
        },
        rotator: world.secrets.clone(),
        catalogue: world.catalogue.clone(),
        clock: world.clock.clone(),
        ids: world.ids.clone(),
    };
    let (bounds, issuance_policy) = ((world.bounds, PASS_BUDGET_S), World::ISSUANCE_POLICY);
    let reaper = Reaper::new(ports, world.deployment.clone(), "test".to_owned(), bounds, issuance_policy);
    let standby_ticks = Arc::new(MemoryStandbyTicks::new(15, world.faults.clone()));
    let reaper = ReaperWithStandby::new(reaper, standby_ticks, world.clock.clone(), 75);
    let handler = Handler::new(reaper, world.deployment.id.clone(), world.clock.clone());
    run(handler.handle(LambdaEvent::new(event, Context::default()))).unwrap()
}

fn tick() -> Value {
    json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"})
}

fn record(key: &str) -> Value {
    json!({"Records": [{"eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": key}}}}]})
}

fn state(world: &World, id: GrantId) -> &'static str {
    run(world.store.grant(id)).unwrap().unwrap().unwrap().state.name()
}

/// Stores an approved grant with its holder's release mark.
fn marked(world: &World) -> GrantId {
    let id = world.decided("ask.bot");
    let by = "bot".parse().unwrap();
    let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by, at: world.clock.now() };
    run(world.store.put_mark(&Mark { id, block })).unwrap().unwrap();
    id
}

fn heartbeat_at(world: &World) -> brevet_domain::time::Timestamp {
    run(world.store.reaper_health()).unwrap().unwrap().unwrap().read_up_to
}

#[test]
fn tick_makes_a_pass_and_records_a_heartbeat() {
    let world = World::new();
    let id = marked(&world);
    world.clock.advance(60);
    let report = handle(&world, tick()).unwrap();
    assert_eq!((report["good"].as_bool(), report["n_failed"].as_u64()), (Some(true), Some(0)), "{report}");
    assert_eq!(state(&world, id), "Withdrawn");
    assert_eq!(heartbeat_at(&world), world.clock.now());
}

#[test]
fn stream_record_processes_only_the_grant_that_it_names() {
    for key in ["BLOCK#grant/", "GRANT#"] {
        let world = World::new();
        let (named, other) = (marked(&world), marked(&world));
        let reaper_health = heartbeat_at(&world);
        world.clock.advance(1);
        handle(&world, record(&format!("{key}{named}"))).unwrap();
        assert_eq!((state(&world, named), state(&world, other)), ("Withdrawn", "Approved"), "{key}");
        assert_eq!(heartbeat_at(&world), reaper_health, "a stream record does not count as a pass");
    }
}

#[test]
fn standby_tick_makes_the_pass_that_the_schedule_missed() {
    let world = World::new();
    let id = marked(&world);
    world.clock.advance(60);
    // This process has made no pass before.
    let report = handle(&world, record("STANDBY#reap")).unwrap();
    assert_eq!((report["good"].as_bool(), state(&world, id)), (Some(true), "Withdrawn"), "{report}");
    assert_eq!(heartbeat_at(&world), world.clock.now());
    world.faults.plan_next("put_standby_tick", Fault::NotSent);
    let error = handle(&world, record("STANDBY#reap")).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "StandbyTickFailed"));
    world.faults.plan_next("due", Fault::NotSent);
    let error = handle(&world, record("STANDBY#reap")).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (2, "BadPass"));
}

#[test]
fn stream_record_fails_when_its_grant_cannot_be_read() {
    let world = World::new();
    let named = marked(&world);
    world.faults.plan_next("grant", Fault::NotSent);
    let error = handle(&world, record(&format!("BACKSTOP#{named}"))).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "BadWake"));
    handle(&world, record(&format!("BACKSTOP#{named}"))).unwrap();
    assert_eq!(state(&world, named), "Withdrawn");
}

#[test]
fn failed_pass_fails_the_event_and_records_no_heartbeat() {
    let world = World::new();
    let reaper_health = heartbeat_at(&world);
    world.clock.advance(60);
    world.faults.plan_next("due", Fault::NotSent);
    let error = handle(&world, tick()).unwrap_err();
    assert_eq!(world.faults.fired().len(), 1);
    assert_eq!(error.error_type, "BadPass");
    assert_eq!(heartbeat_at(&world), reaper_health);
}

#[test]
fn reap_refuses_events_that_are_neither_a_tick_nor_a_record() {
    let world = World::new();
    let before = world.stored();
    for (event, words) in [
        (json!({}), "received an event with the fields []"),
        (json!({"routeKey": "GET /v1/health", "requestContext": {"http": {}}}), "received HTTP call `GET /v1/health`"),
        (json!({"Records": [{"eventSource": "aws:sqs"}]}), "received an event with the fields [Records]"),
    ] {
        let error = handle(&world, event).unwrap_err();
        assert_eq!(error.error_type, "UnexpectedEvent");
        assert!(error.error_message.starts_with(words), "{error:?}");
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn kill_switch_record_makes_a_pass_over_all_covered_grants() {
    let world = World::new();
    let (covered, marked) = (world.decided("ask.bot"), marked(&world));
    let (scope, by) = (BlockScope::Identity("bot".parse().unwrap()), "omar".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at: world.clock.now() });
    world.clock.advance(1);
    let report = handle(&world, record("REVOCATION#latest")).unwrap();
    assert_eq!((report["n_blocks"].as_u64(), report["n_blocked_alive"].as_u64()), (Some(1), Some(0)), "{report}");
    assert_eq!((state(&world, covered), state(&world, marked)), ("Withdrawn", "Withdrawn"));
    assert_eq!(heartbeat_at(&world), world.clock.now());
}

#[test]
fn function_timeout_leaves_room_after_a_pass_and_keeps_waiting_ticks() {
    let template = include_str!("../../../../infra/template.yaml");
    let function = template.split("  ReapFunction:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let number = |name: &str| -> u32 {
        let (_, rest) = function.split_once(&format!(" {name}: ")).unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    };
    let (timeout_s, oldest_s) = (number("Timeout"), number("MaximumEventAgeInSeconds"));
    assert!(
        timeout_s >= PASS_BUDGET_S + 7 * brevet_aws::config::CALL_BOUND_S,
        "the pass can complete the grant that it begins last"
    );
    let standby_tick = function.split("        StandbyTick:\n").nth(1).unwrap();
    let window = standby_tick.split("MaximumBatchingWindowInSeconds: ").nth(1).unwrap();
    let held_back_s: u32 = window.lines().next().unwrap().parse().unwrap();
    let after = template.split("  StandbyAfterSeconds:\n").nth(1).unwrap().split("Description").next().unwrap();
    let after_s: u32 = after.split("Default: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!(after_s > 60, "the standby tick starts no pass while the schedule works");
    assert!(
        after_s.next_multiple_of(held_back_s) < 120,
        "the standby tick ends due access within two minutes if the schedule fails"
    );
    const { assert!(PASS_BUDGET_S < 60, "a longer pass would delay every tick") };
    assert!(timeout_s < oldest_s, "a tick survives a pass that hangs");
    assert_eq!(number("ReservedConcurrentExecutions"), 1);
}
