//! Virtual time: it stands still while any task can proceed, and then jumps to the next timer.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use brevet_domain::time::Timestamp;
use brevet_engine::fake::ManualClock;
use brevet_engine::port::Clock;

/// The waiting tasks by their instants. Tasks with the same instant are in the order of their waits.
type Timers = BTreeMap<(Timestamp, u64), Waker>;

/// Moves a clock. It runs on one thread, in the same order in every run.
#[derive(Debug)]
pub struct VirtualTime {
    clock: Arc<ManualClock>,
    timers: Mutex<(u64, Timers)>,
}

impl VirtualTime {
    /// Virtual time shown by `clock`.
    #[must_use]
    pub fn shown_by(clock: Arc<ManualClock>) -> Self {
        Self { clock, timers: Mutex::default() }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits for `millis` milliseconds.
    pub async fn sleep(&self, millis: i64) {
        let until = Timestamp::from_millis(self.now().as_millis().saturating_add(millis));
        poll_fn(|context| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            let (number, timers) = &mut *self.timers.lock().unwrap_or_else(PoisonError::into_inner);
            *number = number.wrapping_add(1);
            timers.insert((until, *number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Runs `work` to its end. `None` if it waits for something other than time.
    pub fn run<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Some(output);
            }
            let first = self.timers.lock().unwrap_or_else(PoisonError::into_inner).1.pop_first();
            let ((at, _), waker) = first?;
            self.clock.set(self.now().max(at));
            waker.wake();
        }
    }
}
