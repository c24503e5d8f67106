"""Switches of the running stack, as files: `tick`, `pump` and `standby` can be turned off for each function they drive.

Standard library only.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import places
from .process import Trouble

NAMES = ("tick", "pump", "standby")
"""The schedules; the stream of the main table; the stream of the reaper's standby ticks."""
_CRASH_NOTICED_S = 30.0
"""The stack notices within this many seconds that a function has died while it handled an event."""


def longest_event_s(facts: dict[str, Any]) -> float:
    """The longest time in seconds for which an event can be under way."""
    return max(one["timeout_s"] for one in facts["functions"]) + _CRASH_NOTICED_S


def driven(facts: dict[str, Any], name: str, function: str | None = None) -> list[str]:
    """The functions that switch `name` drives, or just `function`. Raises `Trouble` if it does not drive `function`."""
    ticked = facts["schedules"] if name == "tick" else []
    known = [one["function"] for one in (*ticked, *(one for one in facts["streams"] if one["switch"] == name))]
    if function is None:
        return known
    if function not in known:
        raise Trouble(f"{name} does not drive `{function}`; it drives {', '.join(known)}")
    return [function]


def is_on(name: str, function: str) -> bool:
    """Whether `name` drives `function` now. Switches are on unless they were turned off."""
    return not _off(name, function).exists()


@contextmanager
def event(name: str, function: str) -> Iterator[bool]:
    """Yields whether `name` drives `function` now. `turn` to off waits until the block has ended."""
    with open(_lock(name, function), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield is_on(name, function)


def turn(name: str, on: bool, functions: Iterable[str], within_s: float) -> None:
    """Turns `name` on or off for `functions`; the running stack sees it within a fraction of a second.

    Turning it off waits until no event of this switch is under way. If that takes more than `within_s` seconds it
    raises `Trouble`, and the switch stays off.
    """
    places.LOCAL.mkdir(parents=True, exist_ok=True)
    functions = list(functions)
    for function in functions:
        if on:
            _off(name, function).unlink(missing_ok=True)
        else:
            _off(name, function).touch()
    until = time.monotonic() + within_s
    for function in () if on else functions:
        while _is_under_way(name, function):
            if time.monotonic() > until:
                raise Trouble(f"{name} is off for {function}, but {function} still handles an event after {within_s:g} s")
            time.sleep(0.05)


def _is_under_way(name: str, function: str) -> bool:
    with open(_lock(name, function), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def all_on() -> None:
    """Turns every switch on, also those that an earlier run left off."""
    for name in NAMES:
        for switch in places.LOCAL.glob(f"{name}.*off"):
            switch.unlink()


def _off(name: str, function: str) -> Path:
    return places.LOCAL / f"{name}.{function}.off"


def _lock(name: str, function: str) -> Path:
    return places.LOCAL / f"{name}.{function}.lock"
