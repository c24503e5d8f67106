//! The fault plan: which port call fails, how it fails, and whether the fault fired.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{locked, polling};
use crate::port::{PortError, PortResult};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The call was never sent: surely not done.
    NotSent,
    /// The call was throttled: surely not done.
    Throttled,
    /// The call was refused, and every retry will be.
    Refused,
    /// The call lost against another transaction in progress: surely not done. Writes only.
    Contended,
    /// Another writer was first. Conditional writes of grants only.
    Conflict,
    /// The request was lost: not done, but the caller cannot know.
    RequestLost,
    /// The call was done, but its answer was lost.
    AnswerLost,
    /// The call gets no answer and is done this many seconds later. Calls that change AWS only.
    LandsLate(u32),
    /// The call was done, and then the caller crashed: see [`super::run`].
    CrashAfter,
    /// The call answers as if the last write had not reached the index yet. Index reads only.
    StaleRead,
    /// The call is done at once, but answers only at the caller's next poll. Other callers may act in between.
    AnswersLate,
    /// Like `AnswersLate`, but the call is done only at the next poll. Not for calls that change AWS: those have a
    /// timeout, see `LandsLate`.
    SentLate,
}

impl Fault {
    /// Every kind that ends by itself, to inject at each call of a use case. A kind that a call cannot have does not
    /// fire.
    pub const ALL: [Self; 10] = [
        Self::NotSent,
        Self::Throttled,
        Self::Refused,
        Self::Contended,
        Self::Conflict,
        Self::RequestLost,
        Self::AnswerLost,
        Self::LandsLate(5),
        Self::CrashAfter,
        Self::StaleRead,
    ];

    /// The kinds that look like a crash unless the caller is polled again.
    pub const LATE: [Self; 2] = [Self::AnswersLate, Self::SentLate];

    /// The kind's name, without its seconds.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not sent",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Contended => "contended",
            Self::Conflict => "conflict",
            Self::RequestLost => "request lost",
            Self::AnswerLost => "answer lost",
            Self::LandsLate(_) => "lands late",
            Self::CrashAfter => "crash after",
            Self::StaleRead => "stale read",
            Self::AnswersLate => "answers late",
            Self::SentLate => "sent late",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    pub number: u64,
    /// The name of the port's method.
    pub call: &'static str,
    pub fault: Fault,
}

/// The kind of a port call. It decides which faults the call can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A consistent read.
    Read,
    /// A read of an index, which may lag.
    IndexRead,
    /// A write of the table.
    Write,
    /// A conditional write of a grant.
    GrantWrite,
    /// A call that changes IAM or STS.
    RoleWrite,
}

impl CallKind {
    /// Whether the call changes nothing.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::IndexRead)
    }
}

impl CallKind {
    fn can_have(self, fault: Fault) -> bool {
        match fault {
            Fault::StaleRead => self == Self::IndexRead,
            Fault::Conflict => self == Self::GrantWrite,
            Fault::LandsLate(_) => self == Self::RoleWrite,
            Fault::Contended => self == Self::GrantWrite || self == Self::Write,
            Fault::SentLate => self != Self::RoleWrite,
            Fault::NotSent
            | Fault::Throttled
            | Fault::Refused
            | Fault::RequestLost
            | Fault::AnswerLost
            | Fault::CrashAfter
            | Fault::AnswersLate => true,
        }
    }
}

/// The speed of the simulated world.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Returns once `call` may be made. A fault that it returns happens to the call.
    async fn turn(&self, call: &'static str, kind: CallKind) -> Option<Fault>;
}

/// How a call that succeeds is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallMode {
    Now,
    Stale,
    Late(u32),
}

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Plan {
    by_number: BTreeMap<u64, Fault>,
    by_name: Vec<(&'static str, Fault)>,
    meanwhile: BTreeMap<u64, Action>,
    calls: Vec<&'static str>,
    fired: Vec<Fired>,
    not_applicable: Vec<(u64, Fault)>,
    n_crashed: u64,
    is_stepwise: bool,
    upcoming: Option<(&'static str, CallKind)>,
    pace: Option<Arc<dyn Pace>>,
}

/// The plan and the record of every port call. All fakes of a test share it.
#[derive(Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = locked(&self.plan);
        f.debug_struct("Faults")
            .field("planned", &plan.by_number)
            .field("calls", &plan.calls)
            .field("fired", &plan.fired)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// A plan without faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A plan in which port call `number` (from 1) fails with `fault`.
    #[must_use]
    pub fn at(number: u64, fault: Fault) -> Self {
        let faults = Self::default();
        faults.plan(number, fault);
        faults
    }

    /// Makes port call `number` (from 1) fail with `fault`.
    pub fn plan(&self, number: u64, fault: Fault) {
        locked(&self.plan).by_number.insert(number, fault);
    }

    /// Makes the next call of the port method `call` that can have `fault` fail with it.
    pub fn plan_next(&self, call: &'static str, fault: Fault) {
        locked(&self.plan).by_name.push((call, fault));
    }

    /// Runs `action` right before port call `number`, as a concurrent caller would.
    pub fn meanwhile(&self, number: u64, action: impl FnOnce() + Send + 'static) {
        locked(&self.plan).meanwhile.insert(number, Box::new(action));
    }

    /// The port calls so far, in order. Call `n` has index `n - 1`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        locked(&self.plan).calls.clone()
    }

    /// The number of port calls so far.
    #[must_use]
    pub fn n_calls(&self) -> u64 {
        u64::try_from(locked(&self.plan).calls.len()).unwrap_or(u64::MAX)
    }

    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        locked(&self.plan).fired.clone()
    }

    /// The faults planned by number whose call was made but cannot have them.
    #[must_use]
    pub fn not_applicable(&self) -> Vec<(u64, Fault)> {
        locked(&self.plan).not_applicable.clone()
    }

    /// The number of crashed callers. If two callers are pending after a poll, the crashed one must not be polled
    /// again.
    #[must_use]
    pub fn n_crashed(&self) -> u64 {
        locked(&self.plan).n_crashed
    }

    /// Makes every port call wait for one more poll first, or stops that. The test that polls decides which calls come
    /// before it.
    pub fn step_by_step(&self, is_stepwise: bool) {
        let mut plan = locked(&self.plan);
        (plan.is_stepwise, plan.upcoming) = (is_stepwise, None);
    }

    /// The next call of the caller that last began to wait. `None` if no caller began to wait since the last query.
    #[must_use]
    pub fn take_upcoming(&self) -> Option<(&'static str, CallKind)> {
        locked(&self.plan).upcoming.take()
    }

    /// Removes the planned faults and actions that have not fired.
    pub fn clear(&self) {
        let mut plan = locked(&self.plan);
        plan.by_number.clear();
        plan.by_name.clear();
        plan.meanwhile.clear();
    }

    /// Makes calls take as long as `pace` says from now on.
    pub fn at_pace(&self, pace: Arc<dyn Pace>) {
        locked(&self.plan).pace = Some(pace);
    }

    fn begin(&self, call: &'static str, kind: CallKind) -> Option<Fault> {
        let mut plan = locked(&self.plan);
        plan.calls.push(call);
        let number = u64::try_from(plan.calls.len()).unwrap_or(u64::MAX);
        if let Some(action) = plan.meanwhile.remove(&number) {
            // Unlocked, because the action makes port calls of its own.
            drop(plan);
            action();
            plan = locked(&self.plan);
        }
        let planned = plan.by_number.get(&number).copied();
        let numbered = planned.filter(|fault| kind.can_have(*fault));
        if numbered.is_none() {
            plan.not_applicable.extend(planned.map(|fault| (number, fault)));
        }
        let fault = numbered.or_else(|| {
            let index = plan.by_name.iter().position(|(name, fault)| *name == call && kind.can_have(*fault))?;
            Some(plan.by_name.remove(index).1)
        })?;
        plan.fired.push(Fired { number, call, fault });
        Some(fault)
    }

    fn count_crash(&self) {
        let n_crashed = &mut locked(&self.plan).n_crashed;
        *n_crashed = n_crashed.saturating_add(1);
    }

    fn waits(&self, call: &'static str, kind: CallKind) -> bool {
        let mut plan = locked(&self.plan);
        if plan.is_stepwise {
            plan.upcoming = Some((call, kind));
        }
        plan.is_stepwise
    }

    /// Makes one port call. `act` performs it in the fake's memory.
    pub(super) async fn call<T>(
        &self,
        call: &'static str,
        kind: CallKind,
        act: impl FnOnce(CallMode) -> PortResult<T> + Send,
    ) -> PortResult<T>
    where
        T: Send,
    {
        polling::while_alive().await;
        if self.waits(call, kind) {
            polling::pause().await;
            // Another concurrent part of the same caller may have crashed since.
            polling::while_alive().await;
        }
        let pace = locked(&self.plan).pace.clone();
        let paced = match pace {
            Some(pace) => pace.turn(call, kind).await,
            None => None,
        };
        let Some(fault) = self.begin(call, kind).or(paced) else {
            return act(CallMode::Now);
        };
        let not_done = |reason: &str| Err(PortError::NotDone { operation: call, source: reason.into() });
        let unknown = || Err(PortError::Unknown { operation: call, source: "the connection was lost".into() });
        match fault {
            Fault::NotSent => not_done("the connection was refused"),
            Fault::Throttled => not_done("the rate was exceeded"),
            Fault::Contended => not_done("another transaction is in progress"),
            Fault::Refused => Err(PortError::Refused { operation: call, source: "access was denied".into() }),
            Fault::Conflict => Err(PortError::Conflict { operation: call }),
            Fault::RequestLost => unknown(),
            Fault::AnswerLost => {
                // The answer is lost, whatever it is.
                drop(act(CallMode::Now));
                unknown()
            }
            Fault::LandsLate(seconds) => {
                drop(act(CallMode::Late(seconds)));
                unknown()
            }
            Fault::CrashAfter => {
                drop(act(CallMode::Now));
                self.count_crash();
                polling::die();
                std::future::pending().await
            }
            Fault::StaleRead => act(CallMode::Stale),
            Fault::AnswersLate => {
                let answer = act(CallMode::Now);
                polling::pause().await;
                answer
            }
            Fault::SentLate => {
                polling::pause().await;
                act(CallMode::Now)
            }
        }
    }
}
