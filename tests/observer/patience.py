"""How tests wait: for a condition, with one bound that a slow machine does not reach.

A bound here is only there so that a broken run ends. Whether something came in time is judged by times on record (in
evidence, in the gate's call log), never by when a test noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 300.0
"""How long a test waits for something that must come."""

T = TypeVar("T")


def until(look: Callable[[], T], what: str, *, within_s: float = PATIENCE_S, every_s: float = 0.5) -> T:
    """Looks again and again until `look()` answers something true, and returns that.

    Raises `AssertionError` that says `what` was waited for and what was seen last.
    """
    end = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:.0f} s: {what}; last seen: {seen!r}")
        time.sleep(every_s)
    return seen
