//! The fault plan: which port call fails, how, and whether it did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{locked, polling};
use crate::port::{PortError, PortResult};

/// A way in which one port call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It never left: surely not done.
    NotSent,
    /// It was throttled: surely not done.
    Throttled,
    /// It was refused, and will be again.
    Refused,
    /// It lost against another transaction that was under way: surely not done. Writes only.
    Contended,
    /// Somebody else was first. Conditional writes of grants only.
    Conflict,
    /// It got lost on its way: not done, but nobody can tell.
    RequestLost,
    /// It was done, but its answer got lost.
    AnswerLost,
    /// It got no answer, and is done only this many seconds later. Calls that change AWS only.
    LandsLate(u32),
    /// It was done, and then the caller died: see [`super::run`].
    CrashAfter,
    /// It answers as if the last write had not reached the index yet. Index reads only.
    StaleRead,
    /// It was done, but its answer comes only once its caller is polled again: somebody else's step lies between.
    AnswersLate,
    /// The same, and it is done only then. Not for calls that change AWS: those have a time-out, see `LandsLate`.
    SentLate,
}

impl Fault {
    /// Every kind that ends by itself, to put each at each call of a use case; those that a call cannot have do not fire.
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

    /// The kinds that only a caller who is polled again can tell from a crash.
    pub const LATE: [Self; 2] = [Self::AnswersLate, Self::SentLate];

    /// Its name, without its figures.
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

/// A fault that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The number of the port call, from 1.
    pub number: u64,
    /// The port call, as the port's method is named.
    pub call: &'static str,
    /// What happened to it.
    pub fault: Fault,
}

/// What kind of call it is: decides which faults it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A reading.
    Read,
    /// A reading of an index, which may lag.
    IndexRead,
    /// A write of the table.
    Write,
    /// A conditional write of a grant.
    GrantWrite,
    /// A call that changes AWS: IAM or STS.
    RoleWrite,
}

impl Nature {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::IndexRead)
    }
}

impl Nature {
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

/// How fast the model of the world is.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Over once `call` may be made; what befalls it instead, if anything.
    async fn turn(&self, call: &'static str, nature: Nature) -> Option<Fault>;
}

/// How a call that goes through is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
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
    unfit: Vec<(u64, Fault)>,
    n_crashed: u64,
    is_stepwise: bool,
    upcoming: Option<(&'static str, Nature)>,
    pace: Option<Arc<dyn Pace>>,
}

/// The plan, and the record of every port call made. Shared by all fakes of a test.
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
    /// Nothing fails.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Port call `number` (from 1) fails with `fault`.
    #[must_use]
    pub fn at(number: u64, fault: Fault) -> Self {
        let faults = Self::default();
        faults.plan(number, fault);
        faults
    }

    /// Lets port call `number` (from 1) fail with `fault`.
    pub fn plan(&self, number: u64, fault: Fault) {
        locked(&self.plan).by_number.insert(number, fault);
    }

    /// Lets the next call of the port method `call` that can have it fail with `fault`.
    pub fn plan_next(&self, call: &'static str, fault: Fault) {
        locked(&self.plan).by_name.push((call, fault));
    }

    /// Does `action` right before port call `number`: what somebody else does at the same time.
    pub fn meanwhile(&self, number: u64, action: impl FnOnce() + Send + 'static) {
        locked(&self.plan).meanwhile.insert(number, Box::new(action));
    }

    /// The port calls so far, in order; call `n` is at place `n - 1`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        locked(&self.plan).calls.clone()
    }

    /// How many port calls were made so far.
    #[must_use]
    pub fn n_calls(&self) -> u64 {
        u64::try_from(locked(&self.plan).calls.len()).unwrap_or(u64::MAX)
    }

    /// The faults that fired, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        locked(&self.plan).fired.clone()
    }

    /// The numbered faults whose call was reached and cannot have them.
    #[must_use]
    pub fn unfit(&self) -> Vec<(u64, Fault)> {
        locked(&self.plan).unfit.clone()
    }

    /// How many callers have died: of two that are pending after a poll, the one that died is never to be polled again.
    #[must_use]
    pub fn n_crashed(&self) -> u64 {
        locked(&self.plan).n_crashed
    }

    /// From now on every port call first waits to be polled once more, so that whoever polls decides what comes before
    /// it; or no longer.
    pub fn step_by_step(&self, is_stepwise: bool) {
        let mut plan = locked(&self.plan);
        (plan.is_stepwise, plan.upcoming) = (is_stepwise, None);
    }

    /// The call that the last one who waited will make once it is polled; nothing if nobody began to wait since this was
    /// last asked.
    #[must_use]
    pub fn take_upcoming(&self) -> Option<(&'static str, Nature)> {
        locked(&self.plan).upcoming.take()
    }

    /// Forgets what was planned and has not fired.
    pub fn clear(&self) {
        let mut plan = locked(&self.plan);
        plan.by_number.clear();
        plan.by_name.clear();
        plan.meanwhile.clear();
    }

    /// From now on calls take as long as `pace` says.
    pub fn at_pace(&self, pace: Arc<dyn Pace>) {
        locked(&self.plan).pace = Some(pace);
    }

    fn begin(&self, call: &'static str, nature: Nature) -> Option<Fault> {
        let mut plan = locked(&self.plan);
        plan.calls.push(call);
        let number = u64::try_from(plan.calls.len()).unwrap_or(u64::MAX);
        if let Some(action) = plan.meanwhile.remove(&number) {
            // Unlocked: the action makes port calls of its own.
            drop(plan);
            action();
            plan = locked(&self.plan);
        }
        let planned = plan.by_number.get(&number).copied();
        let numbered = planned.filter(|fault| nature.can_have(*fault));
        if numbered.is_none() {
            plan.unfit.extend(planned.map(|fault| (number, fault)));
        }
        let fault = numbered.or_else(|| {
            let place = plan.by_name.iter().position(|(name, fault)| *name == call && nature.can_have(*fault))?;
            Some(plan.by_name.remove(place).1)
        })?;
        plan.fired.push(Fired { number, call, fault });
        Some(fault)
    }

    fn count_crash(&self) {
        let n_crashed = &mut locked(&self.plan).n_crashed;
        *n_crashed = n_crashed.saturating_add(1);
    }

    fn waits(&self, call: &'static str, nature: Nature) -> bool {
        let mut plan = locked(&self.plan);
        if plan.is_stepwise {
            plan.upcoming = Some((call, nature));
        }
        plan.is_stepwise
    }

    /// Makes one port call: `act` does it in the fake's memory.
    pub(super) async fn call<T>(
        &self,
        call: &'static str,
        nature: Nature,
        act: impl FnOnce(Manner) -> PortResult<T> + Send,
    ) -> PortResult<T>
    where
        T: Send,
    {
        polling::while_alive().await;
        if self.waits(call, nature) {
            polling::pause().await;
            // Of what the caller does at the same time, something else may have died since.
            polling::while_alive().await;
        }
        let pace = locked(&self.plan).pace.clone();
        let held_up = match pace {
            Some(pace) => pace.turn(call, nature).await,
            None => None,
        };
        let Some(fault) = self.begin(call, nature).or(held_up) else {
            return act(Manner::Now);
        };
        let not_done = |why: &str| Err(PortError::NotDone { operation: call, source: why.into() });
        let unknown = || Err(PortError::Unknown { operation: call, source: "the connection was lost".into() });
        match fault {
            Fault::NotSent => not_done("the connection was refused"),
            Fault::Throttled => not_done("the rate was exceeded"),
            Fault::Contended => not_done("another transaction is under way"),
            Fault::Refused => Err(PortError::Refused { operation: call, source: "access was denied".into() }),
            Fault::Conflict => Err(PortError::Conflict { operation: call }),
            Fault::RequestLost => unknown(),
            Fault::AnswerLost => {
                // Whatever it answered, nobody heard it.
                drop(act(Manner::Now));
                unknown()
            }
            Fault::LandsLate(seconds) => {
                drop(act(Manner::Late(seconds)));
                unknown()
            }
            Fault::CrashAfter => {
                drop(act(Manner::Now));
                self.count_crash();
                polling::die();
                std::future::pending().await
            }
            Fault::StaleRead => act(Manner::Stale),
            Fault::AnswersLate => {
                let answer = act(Manner::Now);
                polling::pause().await;
                answer
            }
            Fault::SentLate => {
                polling::pause().await;
                act(Manner::Now)
            }
        }
    }
}
