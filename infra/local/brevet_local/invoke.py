"""Lambda's Invoke, for the local counterparts of the services that call functions (API, schedules, streams)."""

from __future__ import annotations

import http.client
import json
import select
import threading
import time
from dataclasses import dataclass
from typing import Any

from . import places, process

_POLL_S = 0.25
_GRACE_S = 2.0
"""After a copy of the function has died, its siblings have this many seconds to answer."""


@dataclass(frozen=True)
class Answer:
    """The result of an invocation: `ok`, `failed` (by the function), `timeout`, or `unavailable` (no emulator)."""

    outcome: str
    payload: Any
    detail: str = ""


class _Busy:
    """Counts the invocations that are under way in this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n = 0

    def __enter__(self) -> None:
        with self._lock:
            self._n += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n -= 1

    @property
    def idle(self) -> bool:
        return self._n == 0


BUSY = _Busy()


def invoke(function: dict[str, Any], event: Any, timeout_s: float) -> Answer:
    """Invokes a function and waits for its answer, at most `timeout_s`.

    Lambda reports at once that a function crashed; the emulator would let its caller wait for ever. So the invocation
    fails if a copy dies while we wait, unless another copy answers shortly. That includes copies that started while we
    waited: the emulator hands an event that no copy has taken to the next one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", places.port("lambda"), timeout=timeout_s)
    with BUSY:
        copies = _Copies(function)
        try:
            connection.request(
                "POST",
                f"/2015-03-31/functions/{function['name']}/invocations",
                json.dumps(event).encode(),
                {"content-type": "application/json"},
            )
            if failure := _wait(connection, copies, timeout_s):
                return failure
            answer = connection.getresponse()
            body = answer.read()
        except TimeoutError:
            return Answer("timeout", None, f"no answer in {timeout_s:g} s")
        except (OSError, http.client.HTTPException) as problem:
            return Answer("unavailable", None, str(problem))
        finally:
            connection.close()
    text = body.decode(errors="replace")
    if answer.status == 408:
        return Answer("timeout", None, "the emulator gave up waiting")
    if answer.status != 200:
        return Answer("failed", None, f"{answer.status} {text[:500]}")
    try:
        return Answer("ok", json.loads(text) if text else None)
    except ValueError:
        return Answer("failed", None, f"the function's answer is not JSON: {text[:200]}")


class _Copies:
    """The copies of a function that live now or start later."""

    def __init__(self, function: dict[str, Any]) -> None:
        self._prefix = f"fn-{function['id']}-"
        recorded = self._recorded()
        self._dead_before = {one for one in recorded if not one.alive}
        # The record of a copy that is killed at once is deleted before the next poll.
        self._seen = recorded - self._dead_before

    def crashed(self) -> process.Process | None:
        """A copy that has died since, if any has."""
        self._seen |= self._recorded() - self._dead_before
        return next((one for one in self._seen if not one.alive), None)

    def _recorded(self) -> set[process.Process]:
        return {one for one in process.recorded() if one.name.startswith(self._prefix)}


def _wait(connection: http.client.HTTPConnection, copies: _Copies, timeout_s: float) -> Answer | None:
    """Waits until the answer begins. Returns an `Answer` with the reason if it does not."""
    until = time.monotonic() + timeout_s
    crashed: process.Process | None = None
    while not select.select([connection.sock], [], [], _POLL_S)[0]:
        if time.monotonic() > until:
            if crashed:
                return Answer("failed", None, f"{crashed.name} ended before it answered")
            return Answer("timeout", None, f"no answer in {timeout_s:g} s")
        if crashed is None and (crashed := copies.crashed()):
            until = min(until, time.monotonic() + _GRACE_S)
    return None
