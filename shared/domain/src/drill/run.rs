//! One run of a drill: a pure and total state machine.

use serde::{Deserialize, Serialize};

use super::Drilled;
use crate::id::GrantId;
use crate::time::Timestamp;

/// The time that a run waits for its grant to become live, in seconds.
const START_S: u32 = 180;

/// The time that a run has after its last wait to make its observation, in seconds: a few ticks.
const GRACE_S: u32 = 180;

/// The maximum time between a failed run and the next one, in seconds.
const AGAIN_S: u32 = 60;

/// The settings of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The requested term, in seconds.
    pub term_s: u32,
    /// The time from the start of one run to the start of the next, in seconds.
    pub period_s: u32,
    /// The maximum difference between two clocks, in seconds.
    pub skew_s: u32,
    /// The time that access may last after the deadline, in seconds: 0, except for a reaper-dependent delivery.
    pub lasts_s: u32,
}

impl Rules {
    /// These rules for `drilled`. A reaper-dependent end may take `overdue_s` seconds.
    #[must_use]
    pub fn of(self, drilled: Drilled, overdue_s: u32) -> Self {
        let lasts_s = match drilled {
            Drilled::Session | Drilled::Inline => 0,
            Drilled::Managed => overdue_s,
        };
        Self { lasts_s, ..self }
    }

    /// The instant by which a run that began at `begun_at` must be over.
    fn ends_by(&self, begun_at: Timestamp) -> Timestamp {
        [START_S, self.term_s, self.skew_s, self.lasts_s, GRACE_S].into_iter().fold(begun_at, Timestamp::plus)
    }
}

/// The outcome of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// AWS allowed the call.
    Allowed,
    /// AWS answered that the call is not authorized.
    Denied,
    /// Any other outcome: throttled, no answer, another error. It shows nothing.
    Unclear,
}

/// One attempt of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What came of it.
    pub outcome: Outcome,
    /// The start of the attempt.
    pub at: Timestamp,
    /// The AWS request id of the answer, if there was one.
    pub request_id: Option<String>,
}

/// The reason why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call was allowed before the grant was requested.
    AllowedBefore,
    /// The grant ended before it was used.
    NotGranted,
    /// The call was never allowed during the grant.
    NeverAllowed,
    /// The call was allowed after access had to be gone.
    AllowedAfter,
    /// The run did not end in time.
    Unfinished,
}

/// The progress of a run, with its probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum RunStage {
    /// Nothing is done yet.
    Begun,
    /// The call was denied before the grant.
    Barred {
        /// The denied call before the grant.
        before: Probe,
    },
    /// The grant was requested.
    Asked {
        /// The denied call before the grant.
        before: Probe,
        grant: GrantId,
    },
    /// The grant is live.
    Live {
        /// The denied call before the grant.
        before: Probe,
        grant: GrantId,
        /// The instant at which access must be gone.
        deadline: Timestamp,
    },
    /// The call was allowed during the grant.
    Used {
        /// The denied call before the grant.
        before: Probe,
        grant: GrantId,
        /// The instant at which access must be gone.
        deadline: Timestamp,
        /// The allowed call during the grant.
        during: Probe,
    },
    /// The call is denied again. The run is over.
    Passed {
        /// The denied call before the grant.
        before: Probe,
        grant: GrantId,
        /// The instant at which access had to be gone.
        deadline: Timestamp,
        /// The allowed call during the grant.
        during: Probe,
        /// The denied call after the grant.
        after: Probe,
    },
    /// An observation was wrong or a required one was missing. The run is over.
    Failed {
        fault: Fault,
        grant: Option<GrantId>,
        /// The last attempt of the call, if there was one.
        last: Option<Probe>,
    },
    /// The drill lost the grant's credentials, because it stores them nowhere. The run is over and shows nothing.
    Lost { grant: GrantId },
}

/// The next step of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Do nothing yet.
    Wait,
    /// Begin a run.
    Begin,
    /// Make the call without the grant.
    ProbeWithout,
    /// Request the grant.
    Ask,
    /// Read the grant.
    Look(GrantId),
    /// Keep the grant's credentials until its access must be gone.
    Keep(GrantId),
    /// Make the call with the grant.
    ProbeWith(GrantId),
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Nothing conclusive.
    Nothing,
    Probed(Probe),
    /// The grant was requested.
    Asked(GrantId),
    /// The grant is live until this deadline.
    Live(Timestamp),
    /// The grant has ended.
    Over,
    /// The drill lost the credentials.
    Forgotten,
}

impl RunStage {
    /// The name, as records write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Barred { .. } => "barred",
            Self::Asked { .. } => "asked",
            Self::Live { .. } => "live",
            Self::Used { .. } => "used",
            Self::Passed { .. } => "passed",
            Self::Failed { .. } => "failed",
            Self::Lost { .. } => "lost",
        }
    }

    #[must_use]
    pub fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Begun | Self::Barred { .. } => None,
            Self::Asked { grant, .. }
            | Self::Live { grant, .. }
            | Self::Used { grant, .. }
            | Self::Passed { grant, .. }
            | Self::Lost { grant } => Some(*grant),
            Self::Failed { grant, .. } => *grant,
        }
    }

    pub(super) fn next_step(&self, begun_at: Timestamp, at: Timestamp, now: Timestamp, rules: &Rules) -> NextStep {
        let next_at = match self {
            Self::Begun => return NextStep::ProbeWithout,
            Self::Barred { .. } => return NextStep::Ask,
            Self::Asked { grant, .. } => return NextStep::Look(*grant),
            Self::Live { grant, .. } => return NextStep::ProbeWith(*grant),
            Self::Used { grant, deadline, .. } if now < *deadline => return NextStep::Keep(*grant),
            // Every clock is past the deadline.
            Self::Used { grant, deadline, .. } if now > deadline.plus(rules.skew_s) => {
                return NextStep::ProbeWith(*grant);
            }
            Self::Used { .. } => return NextStep::Wait,
            Self::Passed { .. } => begun_at.plus(rules.period_s),
            Self::Failed { .. } => at.plus(rules.period_s.min(AGAIN_S)),
            Self::Lost { .. } => at,
        };
        if now >= next_at { NextStep::Begin } else { NextStep::Wait }
    }

    /// The stage after the observation `seen`; `None` if it does not change.
    pub(super) fn after(&self, seen: Observation, begun_at: Timestamp, now: Timestamp, rules: &Rules) -> Option<Self> {
        let failed = |fault, last| Some(Self::Failed { fault, grant: self.grant(), last });
        let next = match (self.clone(), seen) {
            (Self::Begun, Observation::Probed(before)) => match before.outcome {
                Outcome::Allowed => failed(Fault::AllowedBefore, Some(before)),
                Outcome::Denied => Some(Self::Barred { before }),
                Outcome::Unclear => None,
            },
            (Self::Barred { before }, Observation::Asked(grant)) => Some(Self::Asked { before, grant }),
            (Self::Asked { before, grant }, Observation::Live(deadline)) => {
                Some(Self::Live { before, grant, deadline })
            }
            (Self::Asked { .. }, Observation::Over) => failed(Fault::NotGranted, None),
            (Self::Live { before, grant, deadline }, Observation::Probed(probe)) if probe.at < deadline => {
                let is_used = probe.outcome == Outcome::Allowed;
                is_used.then_some(Self::Used { before, grant, deadline, during: probe })
            }
            // INVARIANT: the drill cannot show the end of access that it never saw allowed.
            (Self::Live { .. }, Observation::Probed(probe)) => failed(Fault::NeverAllowed, Some(probe)),
            (Self::Used { before, grant, deadline, during }, Observation::Probed(after)) => match after.outcome {
                Outcome::Denied if after.at > deadline.plus(rules.skew_s) => {
                    Some(Self::Passed { before, grant, deadline, during, after })
                }
                Outcome::Allowed if after.at > deadline.plus(rules.skew_s).plus(rules.lasts_s) => {
                    failed(Fault::AllowedAfter, Some(after))
                }
                Outcome::Allowed | Outcome::Denied | Outcome::Unclear => None,
            },
            (Self::Live { grant, deadline, .. }, Observation::Forgotten) if now >= deadline => {
                Some(Self::Lost { grant })
            }
            (Self::Used { grant, deadline, .. }, Observation::Forgotten) if now >= deadline => {
                Some(Self::Lost { grant })
            }
            // The drill fetches new credentials, and must see them allowed too.
            (Self::Used { before, grant, deadline, .. }, Observation::Forgotten) => {
                Some(Self::Live { before, grant, deadline })
            }
            (
                Self::Begun
                | Self::Barred { .. }
                | Self::Asked { .. }
                | Self::Live { .. }
                | Self::Used { .. }
                | Self::Passed { .. }
                | Self::Failed { .. }
                | Self::Lost { .. },
                Observation::Nothing
                | Observation::Probed(_)
                | Observation::Asked(_)
                | Observation::Live(_)
                | Observation::Over
                | Observation::Forgotten,
            ) => None,
        };
        let is_late = !self.is_over() && now > rules.ends_by(begun_at);
        next.or_else(|| if is_late { failed(Fault::Unfinished, None) } else { None })
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Passed { .. } | Self::Failed { .. } | Self::Lost { .. } => true,
            Self::Begun | Self::Barred { .. } | Self::Asked { .. } | Self::Live { .. } | Self::Used { .. } => false,
        }
    }
}
