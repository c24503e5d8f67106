//! The expiry drill: a canary grant of each delivery is really used, and really ends.
//!
//! A harmless call is tried with the grant's own access before, during and after it: it must be denied, allowed, denied.
//! Whatever the records say, this is what AWS does. Each step is a record of its own, put where none is, that names the one
//! before by its digest: the last one is the state of the drill, and all of them are its evidence.

mod run;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::run::{Fault, Outcome, Probe, Rules, Seen, Stage, Want};
use crate::canonical::{CanonicalError, Digest};
use crate::id::EvidenceId;
use crate::time::Timestamp;

/// What is drilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drilled {
    /// A session that is vended.
    Session,
    /// An inline policy that is put.
    Inline,
    /// A managed policy that is attached.
    Managed,
}

impl Drilled {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Session, Self::Inline, Self::Managed];

    /// As it is written.
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

/// One record of the chain of one delivery's drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// Its name.
    pub id: EvidenceId,
    /// What is drilled.
    pub drilled: Drilled,
    /// Its number, from 1 on.
    pub seq: u64,
    /// The digest of the one before; zero for the first.
    pub prev: Digest,
    /// When it was written.
    pub at: Timestamp,
    /// The first record of the run that it belongs to: what a retry asks for again goes by its name.
    pub run: EvidenceId,
    /// When the run began.
    pub begun_at: Timestamp,
    /// How far the run has come, and what was seen.
    pub stage: Stage,
    /// When a run last passed.
    pub passed_at: Option<Timestamp>,
    /// Since when runs fail: from the first failed one until one passes.
    pub failing_since: Option<Timestamp>,
}

impl Drill {
    /// The record after `last` in which the run of `drilled` has come to `stage`; where that is [`Stage::Begun`], a new run.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if `last` has no JSON form.
    pub fn next(
        last: Option<&Self>,
        (id, drilled): (EvidenceId, Drilled),
        stage: Stage,
        now: Timestamp,
    ) -> Result<Self, CanonicalError> {
        let of_run = last.filter(|_| stage != Stage::Begun);
        let (passed_before, failing_before) =
            (last.and_then(|last| last.passed_at), last.and_then(|last| last.failing_since));
        let (has_passed, has_failed) = (matches!(stage, Stage::Passed { .. }), matches!(stage, Stage::Failed { .. }));
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

    /// What is to be done at `now`.
    #[must_use]
    pub fn want(last: Option<&Self>, now: Timestamp, rules: &Rules) -> Want {
        last.map_or(Want::Begin, |last| last.stage.want(last.begun_at, last.at, now, rules))
    }

    /// The stage after something was `seen`; nothing if it stays where it is.
    #[must_use]
    pub fn after(&self, seen: Seen, now: Timestamp, rules: &Rules) -> Option<Stage> {
        self.stage.after(seen, self.begun_at, now, rules)
    }
}

/// A drill that does not show that access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unproved {
    /// Which.
    pub drilled: Drilled,
    /// Why.
    pub why: Lack,
    /// Since when.
    pub since: Timestamp,
}

/// Why a drill shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// A run failed, and none has passed since.
    Failed,
    /// None has ever passed, or not for too long.
    Late,
}

impl Unproved {
    /// Whether the drill of which `last` is the last record lacks something at `now`: a run that passed at most `max_age_s`
    /// seconds ago, and none that failed since. What was said `before` keeps its instant.
    ///
    /// INVARIANT: fail closed. A drill that never passed shows nothing.
    #[must_use]
    pub fn of(
        (drilled, last): (Drilled, Option<&Drill>),
        before: &[Self],
        max_age_s: u32,
        now: Timestamp,
    ) -> Option<Self> {
        if let Some(since) = last.and_then(|last| last.failing_since) {
            return Some(Self { drilled, why: Lack::Failed, since });
        }
        let known = before.iter().find(|before| before.drilled == drilled && before.why == Lack::Late);
        let since = match last.and_then(|last| last.passed_at) {
            Some(passed_at) => passed_at.plus(max_age_s),
            None => known.map_or(now, |known| known.since),
        };
        (since <= now).then_some(Self { drilled, why: Lack::Late, since })
    }
}

#[cfg(test)]
mod tests;
