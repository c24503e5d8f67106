"""A pytest plugin that adds each test's CPU time and waiting time to the JUnit report.

Load it with `-p measure`, with this folder on `PYTHONPATH`. Times are properties of the test case, in seconds:
`cpu_s` is the CPU time of the test process (its background threads included); `slept_s` is the time that its main
thread spent in `time.sleep`, `Event.wait` and `Future.result`. Set-up and tear-down count towards the test that needed
them.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_waits: list[float] = []
_depth = 0


def _measured(wait: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `wait` to record how long the main thread spent in it. A wait inside a wait counts once."""

    @functools.wraps(wait)
    def measured(*arguments: Any, **named: Any) -> Any:
        global _depth  # noqa: PLW0603
        if threading.current_thread() is not threading.main_thread():
            return wait(*arguments, **named)
        began, _depth = time.monotonic(), _depth + 1
        try:
            return wait(*arguments, **named)
        finally:
            _depth -= 1
            if _depth == 0:
                _waits.append(time.monotonic() - began)

    return measured


def pytest_configure(config: pytest.Config) -> None:
    """Replaces the functions that wait, in this process only."""
    time.sleep = _measured(time.sleep)
    threading.Event.wait = _measured(threading.Event.wait)  # type: ignore[method-assign]
    concurrent.futures.Future.result = _measured(concurrent.futures.Future.result)  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Records the counters when a test begins."""
    item.stash[_BEGAN] = (time.process_time(), len(_waits))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds the figures to a test's last report, from which the JUnit report takes them."""
    if call.when == "teardown":
        cpu, n_waits = item.stash[_BEGAN]
        item.user_properties.append(("cpu_s", round(time.process_time() - cpu, 3)))
        item.user_properties.append(("slept_s", round(sum(_waits[n_waits:]), 3)))
    return (yield)


_BEGAN = pytest.StashKey[tuple[float, int]]()
