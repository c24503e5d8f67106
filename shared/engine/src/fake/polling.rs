//! Who polls decides: a caller's turn is one poll of the whole of it, however much it does at the same time.
//!
//! A use case that works on several grants at once polls each of them by its own rules, some more than once in a turn.
//! What waits for its caller's next turn, and what a crash stops, goes by turns, so that both mean the same for it.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A caller's turn.
#[derive(Clone, Copy)]
struct Turn {
    number: u64,
    /// Whether the caller died in it: then it does nothing more, whatever else of it is polled.
    is_dead: bool,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn { number: 0, is_dead: false }) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// Polls a use case over fakes once: its next turn. Turns may lie within each other.
pub fn poll_once<F: Future + ?Sized>(use_case: Pin<&mut F>) -> Poll<F::Output> {
    let number = LAST.get().wrapping_add(1);
    LAST.set(number);
    let around = TURN.replace(Turn { number, is_dead: false });
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
        // Whoever polls only what was woken is to come back to it.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The caller dies: nothing of it goes on in this turn.
pub(super) fn die() {
    TURN.set(Turn { is_dead: true, ..TURN.get() });
}

/// Never over for a caller that has died in this turn.
pub(super) async fn while_alive() {
    if TURN.get().is_dead {
        pending().await
    }
}
