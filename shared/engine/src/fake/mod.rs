//! In-memory stand-ins for the ports, with a fault plan: they keep the contracts that the adapters keep.
//!
//! All of one test's fakes share one [`Faults`], which numbers the port calls across them, and one [`ManualClock`].
//! No fake ever waits, but for [`Fault::CrashAfter`], [`Fault::LATE`] and where [`Faults::step_by_step`] or
//! [`Faults::at_pace`] was asked for: [`run`], which polls once, shows that as a crash.

mod bundle;
mod canary;
mod direct;
mod echoes;
mod estate;
mod faults;
mod hands;
mod polling;
mod principals;
mod roles;
mod secrets;
mod shown;
mod store;
mod sts;
mod tables;
mod time;
mod watch;

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

pub use bundle::bundle_of;
pub use canary::{MemoryCanary, Probed};
pub use direct::Direct;
pub use echoes::MemoryEchoes;
pub use estate::MemoryEstate;
pub use faults::{Fault, Faults, Fired, Nature, Pace};
pub use hands::TwoHands;
pub use polling::poll_once;
pub use principals::{MemoryPrincipals, PlaceRead, PlaceWrite};
pub use roles::{DenyRead, DenyWrite, MemoryRoles};
pub use secrets::{MemorySecrets, Rotated};
pub use store::MemoryStore;
pub use sts::{MemorySts, Session, is_denied};
pub use tables::Snapshot;
pub use time::{ManualClock, SeqIds, SkewedClock};
pub use watch::{ToldUses, Watched};

/// Runs a use case over fakes to its end; nothing if a planned crash stopped it.
pub fn run<F: Future>(use_case: F) -> Option<F::Output> {
    match poll_once(pin!(use_case)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Locks, also after another test thread panicked while it held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
