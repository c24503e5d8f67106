//! Polling by turns: a caller's turn is one poll of its whole use case, however much it does concurrently.
//!
//! A use case that handles several grants at once polls each of them by its own rules, some more than once in a turn. A
//! pause and a crash last until the caller's next turn, so both act on the whole use case alike.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[derive(Clone, Copy)]
struct CallerTurn {
    number: u64,
    /// Whether the caller crashed in this turn. Then nothing else of it runs, whatever is polled.
    is_dead: bool,
}

thread_local! {
    static TURN: Cell<CallerTurn> = const { Cell::new(CallerTurn { number: 0, is_dead: false }) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// Polls a use case over fakes once, as its next turn. Turns may nest.
pub fn poll_once<F: Future + ?Sized>(use_case: Pin<&mut F>) -> Poll<F::Output> {
    let number = LAST.get().wrapping_add(1);
    LAST.set(number);
    let around = TURN.replace(CallerTurn { number, is_dead: false });
    let polled = use_case.poll(&mut Context::from_waker(Waker::noop()));
    TURN.set(around);
    polled
}

/// Waits for the caller's next turn.
pub(super) async fn pause() {
    let began_in = TURN.get().number;
    poll_fn(|context| {
        if TURN.get().number != began_in {
            return Poll::Ready(());
        }
        // An executor that polls only woken tasks must come back to this one.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Crashes the caller: nothing of it continues in this turn.
pub(super) fn die() {
    TURN.set(CallerTurn { is_dead: true, ..TURN.get() });
}

/// Never returns for a caller that crashed in this turn.
pub(super) async fn while_alive() {
    if TURN.get().is_dead {
        pending().await
    }
}
