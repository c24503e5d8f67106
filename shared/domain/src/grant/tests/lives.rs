//! Random lives: lists of events from any start, at any time, whether the grant accepts them or not.

use proptest::prelude::*;

use super::super::*;
use super::samples::{at, events, failed, grant_id, issued, new_vend, person, reading, right_deadline, starts};

/// One step of a life: `wait_ms` pass, then `happening` follows.
#[derive(Clone, Debug)]
pub(super) struct Step {
    wait_ms: i64,
    happening: Happening,
}

#[derive(Clone, Debug)]
enum Happening {
    /// The sample event of this number, built for the grant's current state.
    Sample(usize),
    /// An answer to the vend of this number.
    Answer(u32),
    /// A vend with this deadline and fence, in seconds after noon.
    Vend(u32, u32),
    /// A stop, with the instant until which a call may still take effect.
    Stop(u32),
    /// A reading of this age in seconds (the future if negative): present, altered or absent.
    Read(i64, u8),
    /// AWS's date at this many seconds after noon.
    Proved(u32),
    /// A hand-over to the grant of this number.
    HandedOver(u128),
}

/// One event and its result.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) before: Grant,
    pub(super) event: Event,
    pub(super) now: Timestamp,
    pub(super) result: Result<Applied, TransitionError>,
}

impl Moment {
    /// The grant afterwards, if it changed.
    pub(super) fn after(&self) -> Option<&Grant> {
        match &self.result {
            Ok(Applied::Changed(after)) => Some(after),
            Ok(Applied::NoOp) | Err(_) => None,
        }
    }
}

/// Up to 40 steps from one of the starts.
pub(super) fn lives() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let wait_ms = prop_oneof![
        8 => 0_i64..2_000,
        3 => (0_i64..15).prop_map(|seconds| seconds * 1000),
        1 => 0_i64..400_000,
        1 => -5_000_i64..0,
    ];
    let n_events = events(&starts()[0].1, at(0)).len();
    let happening = prop_oneof![
        6 => (0..n_events).prop_map(Happening::Sample),
        1 => (0_u32..14).prop_map(Happening::Answer),
        2 => (0_u32..700, 0_u32..100).prop_map(|(deadline, fence)| Happening::Vend(deadline, fence)),
        1 => (0_u32..700).prop_map(Happening::Stop),
        4 => (-15_i64..15, 0_u8..8).prop_map(|(age, what)| Happening::Read(age, what)),
        1 => (0_u32..700).prop_map(Happening::Proved),
        1 => (1_u128..4).prop_map(Happening::HandedOver),
    ];
    let step = (wait_ms, happening).prop_map(|(wait_ms, happening)| Step { wait_ms, happening });
    (0..starts().len(), proptest::collection::vec(step, 1..40))
}

/// Applies the steps of one life and returns its moments.
pub(super) fn live((start, steps): &(usize, Vec<Step>)) -> Vec<Moment> {
    let (_, mut grant, seconds) = starts().swap_remove(*start);
    let mut now = at(seconds[0]);
    let mut moments = Vec::new();
    for step in steps {
        now = Timestamp::from_millis(now.as_millis() + step.wait_ms);
        let event = happen(&step.happening, &grant, now);
        let result = grant.apply(&event, now);
        let moment = Moment { before: grant.clone(), event, now, result };
        if let Some(after) = moment.after() {
            grant = after.clone();
        }
        moments.push(moment);
    }
    moments
}

fn happen(happening: &Happening, grant: &Grant, now: Timestamp) -> Event {
    match happening {
        Happening::Sample(n) => events(grant, now).swap_remove(*n).1,
        Happening::Answer(seq) => {
            Event::VendAnswered { seq: *seq, answer: if seq % 2 == 0 { issued() } else { failed() } }
        }
        Happening::Vend(deadline, fence) => {
            // Mostly the right deadline, so that vends with odd fences happen too.
            let deadline = if deadline % 4 == 0 { at(*deadline) } else { right_deadline(grant, now) };
            match new_vend(deadline, now) {
                Event::VendRecorded(vend) => Event::VendRecorded(NewVend { fence: at(*fence), ..vend }),
                other => other,
            }
        }
        Happening::Stop(fence) => {
            Event::Stopped { cause: EndCause::Revoked, by: Some(person("olga")), fence: at(*fence) }
        }
        Happening::Read(age_s, what) => {
            let reading = reading(Timestamp::from_millis(now.as_millis() - age_s * 1000));
            match what {
                0 => Event::PresenceObserved(reading),
                1 => Event::DriftObserved(reading),
                _ => Event::AbsenceObserved(reading),
            }
        }
        Happening::Proved(date) => Event::DeadlineProved { aws_date: at(*date), request_id: "read".to_owned() },
        Happening::HandedOver(to) => Event::HandedOver { holders: vec![grant_id(*to)], reading: reading(now) },
    }
}
