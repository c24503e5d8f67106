"""Lambda's Invoke, for the local counterparts of the services that call functions (API, schedule, stream)."""

from __future__ import annotations

import http.client
import json
import select
import threading
import time
from dataclasses import dataclass
from typing import Any

from . import places, process

_LOOK_S = 0.25
_GRACE_S = 2.0
"""When a copy of the function died, how long its siblings may still take to answer."""


@dataclass(frozen=True)
class Answer:
    """What an invocation came to: `ok`, `failed` (the function said so), `timeout`, or `unavailable` (nobody there)."""

    outcome: str
    payload: Any
    detail: str = ""


class _Busy:
    """How many invocations are under way in this program."""

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

    Lambda says at once that a function crashed; the emulator would let its caller wait for ever. So a copy that dies
    while we wait ends the wait as a failure, unless another copy answers shortly: also a copy that only came while we
    waited, since the emulator hands what nobody has taken to the next one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", places.port("lambda"), timeout=timeout_s)
    with BUSY:
        known = set(_copies(function))
        dead = {copy for copy in known if not copy.alive}
        try:
            connection.request(
                "POST",
                f"/2015-03-31/functions/{function['name']}/invocations",
                json.dumps(event).encode(),
                {"content-type": "application/json"},
            )
            if missed := _wait(connection, function, (known - dead, dead), timeout_s):
                return missed
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
        return Answer("failed", None, f"no JSON: {text[:200]}")


def _copies(function: dict[str, Any]) -> list[process.Process]:
    return [one for one in process.recorded() if one.name.startswith(f"fn-{function['id']}-")]


def _wait(
    connection: http.client.HTTPConnection,
    function: dict[str, Any],
    present_and_dead: tuple[set[process.Process], set[process.Process]],
    timeout_s: float,
) -> Answer | None:
    """Waits until the answer begins; an `Answer` says why it will not. Who was dead before has nothing to do with it."""
    until = time.monotonic() + timeout_s
    # Those that were there at first too: the record of one that is killed at once is gone before it is looked for.
    copies, dead = present_and_dead
    crashed: process.Process | None = None
    while not select.select([connection.sock], [], [], _LOOK_S)[0]:
        if time.monotonic() > until:
            if crashed:
                return Answer("failed", None, f"{crashed.name} ended before it answered")
            return Answer("timeout", None, f"no answer in {timeout_s:g} s")
        if crashed is None:
            copies = copies | set(_copies(function))
            crashed = next((one for one in copies - dead if not one.alive), None)
            if crashed:
                until = min(until, time.monotonic() + _GRACE_S)
    return None
