//! In-memory implementations of the ports with a fault plan. They keep the same contracts as the adapters.
//!
//! All fakes of one test share one [`Faults`], which numbers the port calls across them, and one [`ManualClock`]. A
//! fake waits only for [`Fault::CrashAfter`], for [`Fault::LATE`], and after [`Faults::step_by_step`] or
//! [`Faults::at_pace`]. [`run`] polls once and reports such a wait as a crash.

mod account_listing;
mod bundle;
mod canary;
mod direct;
mod faults;
mod hands;
mod index_view;
mod polling;
mod principals;
mod roles;
mod secrets;
mod standby_ticks;
mod store;
mod sts;
mod tables;
mod time;
mod watch;

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

pub use account_listing::MemoryAccountListing;
pub use bundle::bundle_of;
pub use canary::{MemoryCanary, Probed};
pub use direct::Direct;
pub use faults::{CallKind, Fault, Faults, Fired, Pace};
pub use hands::TwoHands;
pub use polling::poll_once;
pub use principals::{MemoryPrincipals, TargetRead, TargetWrite};
pub use roles::{DenyRead, DenyWrite, MemoryRoles};
pub use secrets::{MemorySecrets, Rotated};
pub use standby_ticks::MemoryStandbyTicks;
pub use store::MemoryStore;
pub use sts::{MemorySts, Session, is_denied};
pub use tables::Snapshot;
pub use time::{ManualClock, SeqIds, SkewedClock};
pub use watch::{RecordedUses, Watched};

/// Runs a use case over fakes to its end. `None` if a planned crash stopped it.
pub fn run<F: Future>(use_case: F) -> Option<F::Output> {
    match poll_once(pin!(use_case)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Locks, even if another test thread panicked while it held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
