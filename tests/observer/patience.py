"""How tests wait: for a condition, with one bound that a slow machine does not reach.

The bound only makes a broken run end. Tests judge whether something came in time by recorded times (in evidence, in the
gate's call log), never by when they noticed it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 300.0
"""A test waits this many seconds for something that must happen."""

T = TypeVar("T")


def until(check: Callable[[], T], what: str, *, within_s: float = PATIENCE_S, every_s: float = 0.5) -> T:
    """Calls `check()` until it returns a true value, and returns that value.

    Raises `AssertionError` that names `what` the test waited for and the last value.
    """
    end = time.monotonic() + within_s
    while not (seen := check()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {within_s:.0f} s in vain: {what}; last seen: {seen!r}")
        time.sleep(every_s)
    return seen
