use std::collections::BTreeMap;

use brevet_domain::drill::{Drilled, Rules};
use brevet_domain::time::{Term, Timestamp};
use brevet_engine::drill::{DrillPlan, Ports};
use brevet_engine::fake::{Faults, ManualClock, MemoryCanary, MemoryStore, SeqIds, run};
use lambda_runtime::Context;
use serde_json::json;

use super::*;

fn handle(drilled: &[Drilled], event: Value) -> Result<Value, Diagnostic> {
    let faults = Arc::new(Faults::none());
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_348_800)));
    let canary = Arc::new(MemoryCanary::new(clock.clone(), faults.clone()));
    let ports = Ports {
        store: Arc::new(MemoryStore::new(faults)),
        grants: canary.clone(),
        canary,
        clock: clock.clone(),
        ids: Arc::new(SeqIds::new()),
    };
    let named = |drilled: &Drilled| (*drilled, format!("canary-{drilled}").parse().unwrap());
    let plan = DrillPlan {
        entitlements: drilled.iter().map(named).collect::<BTreeMap<_, _>>(),
        term: Term::from_seconds(300).unwrap(),
        rules: Rules { term_s: 300, period_s: 900, skew_s: 2, lasts_s: 0 },
        overdue_s: 180,
        max_age_s: 3_600,
    };
    let handler = Handler::new(Driller::new(ports, plan), "dev".parse().unwrap(), clock);
    run(handler.handle(LambdaEvent::new(event, Context::default()))).unwrap()
}

fn tick() -> Value {
    json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"})
}

#[test]
fn tick_advances_each_drill_as_far_as_possible() {
    let report = handle(&[Drilled::Session, Drilled::Managed], tick()).unwrap();
    assert_eq!(report["stages"], json!({"session": "used", "managed": "asked"}), "{report}");
    assert_eq!((report["n_unproved"].as_u64(), report["n_problems"].as_u64()), (Some(2), Some(0)), "{report}");
}

#[test]
fn tick_does_nothing_when_drills_are_off() {
    let report = handle(&[], tick()).unwrap();
    assert_eq!(report, json!({"stages": {}, "n_passed": 0, "n_failed": 0, "n_unproved": 0, "n_problems": 0}));
}

#[test]
fn drill_refuses_every_event_but_a_tick() {
    for event in [
        json!({"schedule": {"id": "nightly-batch"}}),
        json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": "REVOCATION#latest"}}}}]}),
        json!({"anything": "else"}),
    ] {
        assert_eq!(handle(&[], event).unwrap_err().error_type, "UnexpectedEvent");
    }
}
