//! One run of a drill: a state machine that is pure and total.

use serde::{Deserialize, Serialize};

use super::Drilled;
use crate::id::GrantId;
use crate::time::Timestamp;

/// How long a run waits for its grant to be live, in seconds.
const START_S: u32 = 180;

/// How long a run that has to wait no longer may take until what it looks for is seen, in seconds: some ticks.
const GRACE_S: u32 = 180;

/// After how many seconds at most a run follows one that did not pass.
const AGAIN_S: u32 = 60;

/// How a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The term that is asked for, in seconds.
    pub term_s: u32,
    /// From the begin of one run to that of the next, in seconds.
    pub period_s: u32,
    /// How far two clocks may differ, in seconds.
    pub skew_s: u32,
    /// How long after the deadline access may last, in seconds: nothing but for what depends on the reaper.
    pub lasts_s: u32,
}

impl Rules {
    /// The same for `drilled`, where an end may take `overdue_s` seconds if it depends on the reaper.
    #[must_use]
    pub fn of(self, drilled: Drilled, overdue_s: u32) -> Self {
        let lasts_s = match drilled {
            Drilled::Session | Drilled::Inline => 0,
            Drilled::Managed => overdue_s,
        };
        Self { lasts_s, ..self }
    }

    /// When a run that began at `begun_at` should have come to its end.
    fn ends_by(&self, begun_at: Timestamp) -> Timestamp {
        [START_S, self.term_s, self.skew_s, self.lasts_s, GRACE_S].into_iter().fold(begun_at, Timestamp::plus)
    }
}

/// What came of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was let through.
    Allowed,
    /// AWS said that it is not authorized.
    Denied,
    /// Anything else: throttled, no answer, another error. It shows nothing.
    Unclear,
}

/// The call, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What came of it.
    pub outcome: Outcome,
    /// When it was begun.
    pub at: Timestamp,
    /// AWS's id of the answer, if there was one.
    pub request_id: Option<String>,
}

/// Why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call was allowed before anything was asked for.
    AllowedBefore,
    /// The grant was over before it was used.
    NotGranted,
    /// The call was never allowed as long as the grant lived.
    NeverAllowed,
    /// The call was allowed when access must be gone.
    AllowedAfter,
    /// It did not come to its end in time.
    Unfinished,
}

/// How far a run has come, and what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Nothing was done.
    Begun,
    /// The call was denied.
    Barred {
        /// That it was.
        before: Probe,
    },
    /// The grant was asked for.
    Asked {
        /// That the call was denied.
        before: Probe,
        /// The grant.
        grant: GrantId,
    },
    /// The grant is live.
    Live {
        /// That the call was denied before.
        before: Probe,
        /// The grant.
        grant: GrantId,
        /// When its access must be gone.
        deadline: Timestamp,
    },
    /// The call was allowed.
    Used {
        /// That it was denied before.
        before: Probe,
        /// The grant.
        grant: GrantId,
        /// When its access must be gone.
        deadline: Timestamp,
        /// That it was allowed.
        during: Probe,
    },
    /// It is denied again. The run is over.
    Passed {
        /// That it was denied before.
        before: Probe,
        /// The grant.
        grant: GrantId,
        /// When its access had to be gone.
        deadline: Timestamp,
        /// That it was allowed.
        during: Probe,
        /// That it is denied.
        after: Probe,
    },
    /// Something was seen that must not be, or was not seen that must. The run is over.
    Failed {
        /// What.
        fault: Fault,
        /// The grant, if there is one.
        grant: Option<GrantId>,
        /// What was seen last, if anything.
        last: Option<Probe>,
    },
    /// What the grant's credentials are is not known any more: they are kept nowhere. The run is over, and shows nothing.
    Lost {
        /// The grant.
        grant: GrantId,
    },
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing yet.
    Wait,
    /// Begin a run.
    Begin,
    /// Try the call without the grant.
    ProbeWithout,
    /// Ask for the grant.
    Ask,
    /// Look at the grant.
    Look(GrantId),
    /// Keep what the grant's access is, until it must be gone.
    Keep(GrantId),
    /// Try the call with the grant.
    ProbeWith(GrantId),
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that says anything.
    Nothing,
    /// What came of the call.
    Probed(Probe),
    /// The grant was asked for.
    Asked(GrantId),
    /// The grant is live, until then.
    Live(Timestamp),
    /// The grant is over.
    Over,
    /// The credentials are not known any more.
    Forgotten,
}

impl Stage {
    /// Its name, as it is written.
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

    /// The grant, if there is one.
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

    pub(super) fn want(&self, begun_at: Timestamp, at: Timestamp, now: Timestamp, rules: &Rules) -> Want {
        let next_at = match self {
            Self::Begun => return Want::ProbeWithout,
            Self::Barred { .. } => return Want::Ask,
            Self::Asked { grant, .. } => return Want::Look(*grant),
            Self::Live { grant, .. } => return Want::ProbeWith(*grant),
            Self::Used { grant, deadline, .. } if now < *deadline => return Want::Keep(*grant),
            // Later than the deadline by every clock.
            Self::Used { grant, deadline, .. } if now > deadline.plus(rules.skew_s) => return Want::ProbeWith(*grant),
            Self::Used { .. } => return Want::Wait,
            Self::Passed { .. } => begun_at.plus(rules.period_s),
            Self::Failed { .. } => at.plus(rules.period_s.min(AGAIN_S)),
            Self::Lost { .. } => at,
        };
        if now >= next_at { Want::Begin } else { Want::Wait }
    }

    /// The stage after something was `seen`; nothing if it stays where it is.
    pub(super) fn after(&self, seen: Seen, begun_at: Timestamp, now: Timestamp, rules: &Rules) -> Option<Self> {
        let failed = |fault, last| Some(Self::Failed { fault, grant: self.grant(), last });
        let next = match (self.clone(), seen) {
            (Self::Begun, Seen::Probed(before)) => match before.outcome {
                Outcome::Allowed => failed(Fault::AllowedBefore, Some(before)),
                Outcome::Denied => Some(Self::Barred { before }),
                Outcome::Unclear => None,
            },
            (Self::Barred { before }, Seen::Asked(grant)) => Some(Self::Asked { before, grant }),
            (Self::Asked { before, grant }, Seen::Live(deadline)) => Some(Self::Live { before, grant, deadline }),
            (Self::Asked { .. }, Seen::Over) => failed(Fault::NotGranted, None),
            (Self::Live { before, grant, deadline }, Seen::Probed(probe)) if probe.at < deadline => {
                let is_used = probe.outcome == Outcome::Allowed;
                is_used.then_some(Self::Used { before, grant, deadline, during: probe })
            }
            // INVARIANT: what was never seen to be allowed is not seen to end.
            (Self::Live { .. }, Seen::Probed(probe)) => failed(Fault::NeverAllowed, Some(probe)),
            (Self::Used { before, grant, deadline, during }, Seen::Probed(after)) => match after.outcome {
                Outcome::Denied if after.at > deadline.plus(rules.skew_s) => {
                    Some(Self::Passed { before, grant, deadline, during, after })
                }
                Outcome::Allowed if after.at > deadline.plus(rules.skew_s).plus(rules.lasts_s) => {
                    failed(Fault::AllowedAfter, Some(after))
                }
                Outcome::Allowed | Outcome::Denied | Outcome::Unclear => None,
            },
            (Self::Live { grant, deadline, .. }, Seen::Forgotten) if now >= deadline => Some(Self::Lost { grant }),
            (Self::Used { grant, deadline, .. }, Seen::Forgotten) if now >= deadline => Some(Self::Lost { grant }),
            // Others are fetched, and must be seen to be allowed too.
            (Self::Used { before, grant, deadline, .. }, Seen::Forgotten) => {
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
                Seen::Nothing | Seen::Probed(_) | Seen::Asked(_) | Seen::Live(_) | Seen::Over | Seen::Forgotten,
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
