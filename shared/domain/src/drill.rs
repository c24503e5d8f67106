//! The expiry drill: it uses a canary grant of each delivery and shows that the access ends.
//!
//! The drill makes a harmless call before, during and after the grant, with the grant's own access. AWS must deny,
//! allow and deny it. So the drill tests AWS and not the records. Each step is a new record, put only if absent, that
//! names the previous one by its digest. The last record is the state of the drill; all records are its evidence.

mod run;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::run::{Fault, NextStep, Observation, Outcome, Probe, Rules, RunStage};
use crate::canonical::{CanonicalError, Digest};
use crate::id::EvidenceId;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drilled {
    /// A vended session.
    Session,
    /// An inline policy.
    Inline,
    /// An attached managed policy.
    Managed,
}

impl Drilled {
    /// All drilled deliveries.
    pub const ALL: [Self; 3] = [Self::Session, Self::Inline, Self::Managed];

    /// The name, as records write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Inline => "inline",
            Self::Managed => "managed",
        }
    }
}

impl fmt::Display for Drilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One record in the chain of one delivery's drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    pub id: EvidenceId,
    pub drilled: Drilled,
    /// The number of the record, from 1.
    pub seq: u64,
    /// The digest of the previous record; zero for the first.
    pub prev: Digest,
    pub at: Timestamp,
    /// The first record of the run. A retried request uses its id as the idempotency key.
    pub run: EvidenceId,
    /// The start of the run.
    pub begun_at: Timestamp,
    /// The progress of the run, with its probes.
    pub stage: RunStage,
    /// The end of the last run that passed.
    pub passed_at: Option<Timestamp>,
    /// The end of the first failed run since the last run that passed.
    pub failing_since: Option<Timestamp>,
}

impl Drill {
    /// The record after `last`, with the run of `drilled` in `stage`. [`RunStage::Begun`] starts a new run.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if `last` has no JSON form.
    pub fn next(
        last: Option<&Self>,
        (id, drilled): (EvidenceId, Drilled),
        stage: RunStage,
        now: Timestamp,
    ) -> Result<Self, CanonicalError> {
        let of_run = last.filter(|_| stage != RunStage::Begun);
        let (passed_before, failing_before) =
            (last.and_then(|last| last.passed_at), last.and_then(|last| last.failing_since));
        let (has_passed, has_failed) =
            (matches!(stage, RunStage::Passed { .. }), matches!(stage, RunStage::Failed { .. }));
        Ok(Self {
            id,
            drilled,
            seq: last.map_or(0, |last| last.seq).saturating_add(1),
            prev: last.map_or(Ok(Digest::ZERO), Digest::of)?,
            at: now,
            run: of_run.map_or(id, |last| last.run),
            begun_at: of_run.map_or(now, |last| last.begun_at),
            passed_at: if has_passed { Some(now) } else { passed_before },
            failing_since: if has_passed { None } else { failing_before.or(has_failed.then_some(now)) },
            stage,
        })
    }

    /// The next step at `now`.
    #[must_use]
    pub fn next_step(last: Option<&Self>, now: Timestamp, rules: &Rules) -> NextStep {
        last.map_or(NextStep::Begin, |last| last.stage.next_step(last.begun_at, last.at, now, rules))
    }

    /// The stage after the observation `seen`; `None` if it does not change.
    #[must_use]
    pub fn after(&self, seen: Observation, now: Timestamp, rules: &Rules) -> Option<RunStage> {
        self.stage.after(seen, self.begun_at, now, rules)
    }
}

/// A drill that does not show that access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unproved {
    pub drilled: Drilled,
    pub why: DrillFailure,
    /// The instant from which the drill shows nothing.
    pub since: Timestamp,
}

/// The reason why a drill does not show that access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillFailure {
    /// A run failed and none has passed since.
    Failed,
    /// No run ever passed, or the last one passed too long ago.
    Late,
}

impl Unproved {
    /// Judges at `now` the drill whose last record is `last`. A good drill passed at most `max_age_s` seconds ago and
    /// did not fail since. An entry in `before` keeps its instant.
    ///
    /// INVARIANT: fail closed. A drill that never passed does not show that access ends.
    #[must_use]
    pub fn of(
        (drilled, last): (Drilled, Option<&Drill>),
        before: &[Self],
        max_age_s: u32,
        now: Timestamp,
    ) -> Option<Self> {
        if let Some(since) = last.and_then(|last| last.failing_since) {
            return Some(Self { drilled, why: DrillFailure::Failed, since });
        }
        let known = before.iter().find(|before| before.drilled == drilled && before.why == DrillFailure::Late);
        let since = match last.and_then(|last| last.passed_at) {
            Some(passed_at) => passed_at.plus(max_age_s),
            None => known.map_or(now, |known| known.since),
        };
        (since <= now).then_some(Self { drilled, why: DrillFailure::Late, since })
    }
}

#[cfg(test)]
mod tests;
