"""Switches of the running stack, as files: `tick`, `pump` and `echo` may be off, for each function that they drive. Standard
library only."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import places
from .process import Trouble

NAMES = ("tick", "pump", "echo")
"""The schedules; the stream of the one table; the stream of the reaper's echoes."""
_SEEN_DEAD_S = 30.0
"""How long it takes at the most to see that a function has died over an event."""


def longest_event_s(facts: dict[str, Any]) -> float:
    """No event is under way for longer."""
    return max(one["timeout_s"] for one in facts["functions"]) + _SEEN_DEAD_S


def driven(facts: dict[str, Any], name: str, function: str | None = None) -> list[str]:
    """The functions that `name` drives, or just `function`. Raises `Trouble` if it does not drive that one."""
    ticked = facts["schedules"] if name == "tick" else []
    known = [one["function"] for one in (*ticked, *(one for one in facts["streams"] if one["switch"] == name))]
    if function is None:
        return known
    if function not in known:
        raise Trouble(f"{name} does not drive `{function}`; it drives {', '.join(known)}")
    return [function]


def is_on(name: str, function: str) -> bool:
    """Whether `name` drives `function` now; it does, unless it was turned off."""
    return not _off(name, function).exists()


@contextmanager
def event(name: str, function: str) -> Iterator[bool]:
    """Whether `name` drives `function` now. Whoever turns it off meanwhile waits for the block to end."""
    with open(_lock(name, function), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield is_on(name, function)


def turn(name: str, on: bool, functions: Iterable[str], within_s: float) -> None:
    """Turns `name` on or off for `functions`; the running stack sees it within a fraction of a second.

    Once it is off, nothing of its doing is under way. Raises `Trouble` if that is not so `within_s` seconds; it is off
    then all the same.
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
        while _is_at_an_event(name, function):
            if time.monotonic() > until:
                raise Trouble(f"{name} is off for {function}, but {function} is still at what it was given {within_s:g} s ago")
            time.sleep(0.05)


def _is_at_an_event(name: str, function: str) -> bool:
    with open(_lock(name, function), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def all_on() -> None:
    """Turns everything on, whatever an earlier run left."""
    for name in NAMES:
        for switch in places.LOCAL.glob(f"{name}.*off"):
            switch.unlink()


def _off(name: str, function: str) -> Path:
    return places.LOCAL / f"{name}.{function}.off"


def _lock(name: str, function: str) -> Path:
    return places.LOCAL / f"{name}.{function}.lock"
