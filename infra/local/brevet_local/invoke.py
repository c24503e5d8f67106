"""Lambda's Invoke, for the local counterparts of the services that call functions (API, schedule, stream)."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from typing import Any

from . import places


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
    """Invokes a function and waits for its answer, at most `timeout_s`."""
    connection = http.client.HTTPConnection("127.0.0.1", places.port("lambda"), timeout=timeout_s)
    with BUSY:
        try:
            connection.request(
                "POST",
                f"/2015-03-31/functions/{function['name']}/invocations",
                json.dumps(event).encode(),
                {"content-type": "application/json"},
            )
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
