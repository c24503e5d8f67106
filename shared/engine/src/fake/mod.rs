//! In-memory stand-ins for the ports, with a fault plan: they keep the contracts that the adapters keep.
//!
//! All of one test's fakes share one [`Faults`], which numbers the port calls across them, and one [`ManualClock`].
//! No fake ever waits, but for [`Fault::CrashAfter`]: [`run`] shows that as a crash.

mod faults;
mod principals;
mod roles;
mod store;
mod sts;
mod tables;
mod time;
mod watch;

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use faults::{Fault, Faults, Fired};
pub use principals::{MemoryPrincipals, PlaceWrite};
pub use roles::{DenyWrite, MemoryRoles};
pub use store::MemoryStore;
pub use sts::{MemorySts, Session};
pub use tables::Snapshot;
pub use time::{ManualClock, SeqIds};
pub use watch::Watched;

/// Runs a use case over fakes to its end; nothing if a planned crash stopped it.
pub fn run<F: Future>(use_case: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(use_case).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Locks, also after another test thread panicked while it held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
