use ulid::Ulid;

use super::*;
use crate::id::GrantId;

const RULES: Rules = Rules { term_s: 300, period_s: 900, skew_s: 60, lasts_s: 0 };
const MANAGED: Rules = Rules { lasts_s: 180, ..RULES };

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn evidence(n: u128) -> EvidenceId {
    EvidenceId::from_ulid(Ulid(n))
}

fn grant() -> GrantId {
    GrantId::from_ulid(Ulid(7))
}

fn probe(outcome: Outcome, seconds: u32) -> Probe {
    Probe { outcome, at: at(seconds), request_id: Some("r".to_owned()) }
}

fn before() -> Probe {
    probe(Outcome::Denied, 0)
}

/// One stage of each kind, in a run that began at 0 with a deadline at 400.
fn stages() -> Vec<RunStage> {
    let (grant, deadline, during) = (grant(), at(400), probe(Outcome::Allowed, 110));
    vec![
        RunStage::Begun,
        RunStage::Barred { before: before() },
        RunStage::Asked { before: before(), grant },
        RunStage::Live { before: before(), grant, deadline },
        RunStage::Used { before: before(), grant, deadline, during: during.clone() },
        RunStage::Passed { before: before(), grant, deadline, during, after: probe(Outcome::Denied, 461) },
        RunStage::Failed { fault: Fault::Unfinished, grant: Some(grant), last: None },
        RunStage::Lost { grant },
    ]
}

fn drill(stage: RunStage) -> Drill {
    let begun = Drill::next(None, (evidence(1), Drilled::Session), RunStage::Begun, at(0)).unwrap();
    if stage == RunStage::Begun {
        return begun;
    }
    Drill::next(Some(&begun), (evidence(2), Drilled::Session), stage, at(0)).unwrap()
}

/// Each stage after each observation, at 120, at 430 (past the deadline, within the skew) and at 470.
#[test]
fn run_stage_follows_the_table_for_every_observation() {
    let mut table = String::new();
    for stage in stages() {
        for seconds in [120, 430, 470] {
            let mut seen = vec![
                ("nothing", Observation::Nothing),
                ("asked", Observation::Asked(grant())),
                ("live", Observation::Live(at(400))),
                ("over", Observation::Over),
                ("forgotten", Observation::Forgotten),
            ];
            for (name, outcome) in
                [("allowed", Outcome::Allowed), ("denied", Outcome::Denied), ("unclear", Outcome::Unclear)]
            {
                seen.push((name, Observation::Probed(probe(outcome, seconds))));
            }
            for (name, seen) in seen {
                let Some(next) = drill(stage.clone()).after(seen, at(seconds), &RULES) else { continue };
                let fault =
                    if let RunStage::Failed { fault, .. } = &next { format!(" {fault:?}") } else { String::new() };
                table.push_str(&format!("{} {name} {seconds}: {}{fault}\n", stage.name(), next.name()));
            }
        }
    }
    let expected = "\
begun allowed 120: failed AllowedBefore
begun denied 120: barred
begun allowed 430: failed AllowedBefore
begun denied 430: barred
begun allowed 470: failed AllowedBefore
begun denied 470: barred
barred asked 120: asked
barred asked 430: asked
barred asked 470: asked
asked live 120: live
asked over 120: failed NotGranted
asked live 430: live
asked over 430: failed NotGranted
asked live 470: live
asked over 470: failed NotGranted
live allowed 120: used
live forgotten 430: lost
live allowed 430: failed NeverAllowed
live denied 430: failed NeverAllowed
live unclear 430: failed NeverAllowed
live forgotten 470: lost
live allowed 470: failed NeverAllowed
live denied 470: failed NeverAllowed
live unclear 470: failed NeverAllowed
used forgotten 120: live
used forgotten 430: lost
used forgotten 470: lost
used allowed 470: failed AllowedAfter
used denied 470: passed
";
    assert_eq!(table, expected);
}

#[test]
fn reaper_dependent_access_may_last_until_overdue_and_no_longer() {
    let used = drill(stages().remove(4));
    let seen = |outcome, seconds, rules: &Rules| {
        used.after(Observation::Probed(probe(outcome, seconds)), at(seconds), rules).map(|stage| stage.name())
    };
    assert_eq!(seen(Outcome::Allowed, 461, &RULES), Some("failed"));
    assert_eq!(seen(Outcome::Allowed, 640, &MANAGED), None);
    assert_eq!(seen(Outcome::Denied, 470, &MANAGED), Some("passed"));
    assert_eq!(seen(Outcome::Allowed, 641, &MANAGED), Some("failed"));
    assert_eq!((RULES.of(Drilled::Inline, 180), RULES.of(Drilled::Managed, 180)), (RULES, MANAGED));
}

#[test]
fn run_fails_in_any_stage_when_it_does_not_end_in_time() {
    for stage in stages() {
        let is_over = stage.is_over();
        let run = drill(stage);
        // Start, term, skew and grace.
        assert_eq!(run.after(Observation::Nothing, at(720), &RULES), None);
        let late = run.after(Observation::Nothing, at(721), &RULES);
        match is_over {
            true => assert_eq!(late, None),
            false => assert!(matches!(late, Some(RunStage::Failed { fault: Fault::Unfinished, .. })), "{late:?}"),
        }
        // A late observation still counts.
        let unclear = run.after(Observation::Probed(probe(Outcome::Unclear, 900)), at(900), &MANAGED);
        assert_eq!(unclear, if run.stage.name() == "live" { unclear.clone() } else { None });
    }
}

#[test]
fn run_stage_has_one_next_step() {
    let next_step = |stage: usize, seconds| Drill::next_step(Some(&drill(stages().remove(stage))), at(seconds), &RULES);
    assert_eq!(Drill::next_step(None, at(0), &RULES), NextStep::Begin);
    assert_eq!(next_step(0, 0), NextStep::ProbeWithout);
    assert_eq!(next_step(1, 0), NextStep::Ask);
    assert_eq!(next_step(2, 0), NextStep::Look(grant()));
    assert_eq!(next_step(3, 0), NextStep::ProbeWith(grant()));
    // Only after every clock is past the deadline.
    assert_eq!((next_step(4, 399), next_step(4, 400)), (NextStep::Keep(grant()), NextStep::Wait));
    assert_eq!((next_step(4, 460), next_step(4, 461)), (NextStep::Wait, NextStep::ProbeWith(grant())));
    // The next run begins a period after the start of a passed run, a minute after a failed one, at once after a lost
    // one.
    assert_eq!((next_step(5, 899), next_step(5, 900)), (NextStep::Wait, NextStep::Begin));
    assert_eq!((next_step(6, 59), next_step(6, 60)), (NextStep::Wait, NextStep::Begin));
    assert_eq!(next_step(7, 0), NextStep::Begin);
}

#[test]
fn drill_records_form_a_chain_with_failing_since_and_passed_at() {
    let mut chain: Vec<Drill> = Vec::new();
    let stages = stages();
    for (n, stage) in [(0, 0), (1, 6), (2, 0), (3, 6), (4, 0), (5, 5), (6, 0), (7, 7), (8, 0), (9, 6)] {
        let now = at(100 * u32::try_from(n).unwrap());
        let next = Drill::next(chain.last(), (evidence(n), Drilled::Inline), stages[stage].clone(), now).unwrap();
        assert_eq!(next.prev, chain.last().map_or(Digest::ZERO, |last| Digest::of(last).unwrap()));
        assert_eq!(next.seq, u64::try_from(n).unwrap() + 1);
        chain.push(next);
    }
    let failing: Vec<_> = chain.iter().map(|record| record.failing_since).collect();
    let (first, second) = (Some(at(100)), Some(at(900)));
    assert_eq!(failing, [None, first, first, first, first, None, None, None, None, second]);
    let passed: Vec<_> = chain.iter().map(|record| record.passed_at.is_some()).collect();
    assert_eq!(passed, [false, false, false, false, false, true, true, true, true, true]);
    assert_eq!(chain[9].passed_at, Some(at(500)));
    // A run has the id of its first record and keeps its start.
    assert_eq!((chain[5].run, chain[5].begun_at), (evidence(4), at(400)));
    assert_eq!((chain[6].run, chain[6].begun_at), (evidence(6), at(600)));
    let text = serde_json::to_string(&chain[5]).unwrap();
    assert_eq!(serde_json::from_str::<Drill>(&text).unwrap(), chain[5]);
}

#[test]
fn drill_is_unproved_when_it_never_passed_or_passed_too_long_ago() {
    let of = |last: Option<&Drill>, before: &[Unproved], seconds| {
        Unproved::of((Drilled::Session, last), before, 3_600, at(seconds))
            .map(|unproved| (unproved.why, unproved.since))
    };
    assert_eq!(of(None, &[], 50), Some((DrillFailure::Late, at(50))));
    let known = [Unproved { drilled: Drilled::Session, why: DrillFailure::Late, since: at(20) }];
    let other = [Unproved { drilled: Drilled::Inline, ..known[0] }];
    assert_eq!(of(None, &known, 50), Some((DrillFailure::Late, at(20))));
    assert_eq!(of(Some(&drill(RunStage::Begun)), &other, 50), Some((DrillFailure::Late, at(50))));
    let passed = drill(stages().remove(5));
    assert_eq!(
        (of(Some(&passed), &known, 3_599), of(Some(&passed), &[], 3_600)),
        (None, Some((DrillFailure::Late, at(3_600))))
    );
    let failed = Drill::next(Some(&passed), (evidence(3), Drilled::Session), stages().remove(6), at(70)).unwrap();
    assert_eq!(of(Some(&failed), &known, 71), Some((DrillFailure::Failed, at(70))));
}
