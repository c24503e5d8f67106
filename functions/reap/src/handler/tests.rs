use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::EndCause;
use brevet_engine::fake::{Fault, MemoryEchoes, MemoryEstate, run};
use brevet_engine::port::{GrantReader, Mark, RequestStore};
use brevet_engine::reap::{Attachments, Drills, Kills, PASS_BUDGET_S, Ports, Reaper, Sweep};
use brevet_lambda::testing::World;
use lambda_runtime::Context;
use serde_json::json;

use super::*;

fn handle(world: &World, event: Value) -> Result<Value, Diagnostic> {
    let estate = MemoryEstate::new(world.principals.clone(), (world.roles.clone(), Vec::new()), world.faults.clone());
    let ports = Ports {
        reader: world.store.clone(),
        store: world.store.clone(),
        due: world.store.clone(),
        reviews: world.store.clone(),
        deny: world.store.clone(),
        kills: Kills { reader: world.store.clone(), progress: world.store.clone() },
        sweep: Sweep { estate: Arc::new(estate), findings: world.store.clone() },
        service: world.store.clone(),
        heart: world.store.clone(),
        drills: Drills::none(world.store.clone()),
        roles: world.roles.clone(),
        attachments: Attachments {
            principals: world.principals.clone(),
            deprovisioner: world.principals.clone(),
            counts: world.store.clone(),
        },
        rotator: world.secrets.clone(),
        catalogue: world.catalogue.clone(),
        clock: world.clock.clone(),
        ids: world.ids.clone(),
    };
    let (bounds, tolerance) = ((world.bounds, PASS_BUDGET_S), World::TOLERANCE);
    let reaper = Reaper::new(ports, world.deployment.clone(), "test".to_owned(), bounds, tolerance);
    let echoes = Arc::new(MemoryEchoes::new(15, world.faults.clone()));
    let reaper = EchoingReaper::new(reaper, echoes, world.clock.clone(), 75);
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

/// An approved grant that its holder has given back.
fn marked(world: &World) -> GrantId {
    let id = world.decided("ask.bot");
    let by = "bot".parse().unwrap();
    let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by, at: world.clock.now() };
    run(world.store.put_mark(&Mark { id, block })).unwrap().unwrap();
    id
}

fn heart_at(world: &World) -> brevet_domain::time::Timestamp {
    run(world.store.heart()).unwrap().unwrap().unwrap().read_up_to
}

#[test]
fn a_tick_makes_a_pass_and_beats() {
    let world = World::new();
    let id = marked(&world);
    world.clock.advance(60);
    let report = handle(&world, tick()).unwrap();
    assert_eq!((report["good"].as_bool(), report["n_failed"].as_u64()), (Some(true), Some(0)), "{report}");
    assert_eq!(state(&world, id), "Withdrawn");
    assert_eq!(heart_at(&world), world.clock.now());
}

#[test]
fn a_record_of_a_mark_or_a_grant_wakes_for_that_grant_alone() {
    for key in ["BLOCK#grant/", "GRANT#"] {
        let world = World::new();
        let (named, other) = (marked(&world), marked(&world));
        let heart = heart_at(&world);
        world.clock.advance(1);
        handle(&world, record(&format!("{key}{named}"))).unwrap();
        assert_eq!((state(&world, named), state(&world, other)), ("Withdrawn", "Approved"), "{key}");
        assert_eq!(heart_at(&world), heart, "being woken is no pass");
    }
}

#[test]
fn an_echo_makes_the_pass_that_the_schedule_did_not() {
    let world = World::new();
    let id = marked(&world);
    world.clock.advance(60);
    // This process knows of no pass.
    let report = handle(&world, record("ECHO#reap")).unwrap();
    assert_eq!((report["good"].as_bool(), state(&world, id)), (Some(true), "Withdrawn"), "{report}");
    assert_eq!(heart_at(&world), world.clock.now());
    world.faults.plan_next("leave_echo", Fault::NotSent);
    let error = handle(&world, record("ECHO#reap")).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "EchoFailed"));
    world.faults.plan_next("due", Fault::NotSent);
    let error = handle(&world, record("ECHO#reap")).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (2, "BadPass"));
}

#[test]
fn what_the_stream_named_and_could_not_be_looked_at_is_named_again() {
    let world = World::new();
    let named = marked(&world);
    world.faults.plan_next("grant", Fault::NotSent);
    let error = handle(&world, record(&format!("FUSE#{named}"))).unwrap_err();
    assert_eq!((world.faults.fired().len(), error.error_type.as_str()), (1, "BadWake"));
    handle(&world, record(&format!("FUSE#{named}"))).unwrap();
    assert_eq!(state(&world, named), "Withdrawn");
}

#[test]
fn a_pass_that_is_not_good_fails_and_does_not_beat() {
    let world = World::new();
    let heart = heart_at(&world);
    world.clock.advance(60);
    world.faults.plan_next("due", Fault::NotSent);
    let error = handle(&world, tick()).unwrap_err();
    assert_eq!(world.faults.fired().len(), 1);
    assert_eq!(error.error_type, "BadPass");
    assert_eq!(heart_at(&world), heart);
}

#[test]
fn what_is_neither_a_tick_nor_a_record_is_refused() {
    let world = World::new();
    let before = world.stored();
    for (event, words) in [
        (json!({}), "an event with the fields [] came"),
        (json!({"routeKey": "GET /v1/health", "requestContext": {"http": {}}}), "HTTP call `GET /v1/health` came"),
        (json!({"Records": [{"eventSource": "aws:sqs"}]}), "an event with the fields [Records] came"),
    ] {
        let error = handle(&world, event).unwrap_err();
        assert_eq!(error.error_type, "UnexpectedEvent");
        assert!(error.error_message.starts_with(words), "{error:?}");
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn a_move_of_the_kill_switch_wakes_for_a_pass_over_all_that_it_covers() {
    let world = World::new();
    let (covered, marked) = (world.decided("ask.bot"), marked(&world));
    let (scope, by) = (BlockScope::Identity("bot".parse().unwrap()), "omar".parse().unwrap());
    world.store.block(Block { scope, cause: EndCause::Killed, by, at: world.clock.now() });
    world.clock.advance(1);
    let report = handle(&world, record("REVOCATION#latest")).unwrap();
    assert_eq!((report["n_blocks"].as_u64(), report["n_blocked_alive"].as_u64()), (Some(1), Some(0)), "{report}");
    assert_eq!((state(&world, covered), state(&world, marked)), ("Withdrawn", "Withdrawn"));
    assert_eq!(heart_at(&world), world.clock.now());
}

#[test]
fn the_functions_time_leaves_room_behind_a_pass_and_no_tick_gets_too_old_meanwhile() {
    let template = include_str!("../../../../infra/template.yaml");
    let function = template.split("  ReapFunction:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let number = |name: &str| -> u32 {
        let (_, rest) = function.split_once(&format!(" {name}: ")).unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    };
    let (timeout_s, oldest_s) = (number("Timeout"), number("MaximumEventAgeInSeconds"));
    assert!(
        timeout_s >= PASS_BUDGET_S + 7 * brevet_aws::config::CALL_BOUND_S,
        "what is begun last is brought to its end"
    );
    let echo = function.split("        Echo:\n").nth(1).unwrap();
    let window = echo.split("MaximumBatchingWindowInSeconds: ").nth(1).unwrap();
    let held_back_s: u32 = window.lines().next().unwrap().parse().unwrap();
    let after = template.split("  EchoAfterSeconds:\n").nth(1).unwrap().split("Description").next().unwrap();
    let after_s: u32 = after.split("Default: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!(after_s > 60, "while the schedule comes an echo calls for no pass");
    assert!(after_s.next_multiple_of(held_back_s) < 120, "what no schedule ends is over within two minutes");
    const { assert!(PASS_BUDGET_S < 60, "or every tick would wait") };
    assert!(timeout_s < oldest_s, "a tick behind a pass that hangs is not lost");
    assert_eq!(number("ReservedConcurrentExecutions"), 1);
}
