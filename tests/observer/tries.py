"""A caller that repeats one call in the background, and the gate's decisions on those calls.

No call has to hit the right instant: the call log says when each call arrived and whether it was allowed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any

from . import gate
from .aws import Seen
from .world import Case, instant

SHORT_PAUSE_S, LONG_PAUSE_S = 0.5, 2.0
# The pauses are short from this long before the deadline until this long after it.
CLOSE_S = 10.0


class Tries:
    """Repeats one call in the background until it is stopped, more often around the instant `around` if set."""

    def __init__(self, use: Callable[[], Seen], around: float | None = None) -> None:
        self._use, self.around = use, around
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._try, daemon=True)
        self._thread.start()

    def _try(self) -> None:
        while not self._stopping.is_set():
            self._use()
            is_close = self.around is None or abs(time.time() - self.around) < CLOSE_S
            self._stopping.wait(SHORT_PAUSE_S if is_close else LONG_PAUSE_S)

    def stop(self) -> None:
        """Stops once the call that is under way has been answered."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> Tries:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop()


@dataclass(frozen=True)
class Judged:
    """Calls that the gate decided by policies: arrival, answer, and the decision, `allowed` or `denied`."""

    calls: list[tuple[float, float, str]]

    def before(self, instant: float) -> set[str]:
        """The decisions on calls that were answered before `instant`."""
        return {decision for _, done_at, decision in self.calls if done_at < instant}

    def between(self, start: float, end: float) -> set[str]:
        """The decisions on calls that arrived at `start` or later and were answered before `end`."""
        return {decision for at, done_at, decision in self.calls if start <= at and done_at < end}

    def since(self, instant: float) -> set[str]:
        """The decisions on calls that arrived at `instant` or later."""
        return {decision for at, _, decision in self.calls if at >= instant}


def judged(log: list[dict[str, Any]], access_key: str, action: str, resource: str) -> Judged:
    """The gate's decisions on one action on `resource` (`*` matches anything) with one access key.

    Calls that the gate refused because it could not read the IAM documents are left out.
    """
    return Judged(
        [
            (instant(call["at"]), instant(call["done_at"]), call["decision"])
            for call in log
            if call["access_key_id"] == access_key
            and call["decision"] in ("allowed", "denied")
            and call["denied_by"] != "gate"
            and any(one["action"] == action and fnmatchcase(one["resource"], resource) for one in call["actions"])
        ]
    )


def uses(log: list[dict[str, Any]], case: Case, access_key: str) -> Judged:
    """The gate's decisions on the granted call of `case` with one access key."""
    return judged(log, access_key, *case.asks(case.uses))


def calls(since: int = 0) -> list[dict[str, Any]]:
    """The call log from number `since` on, without waiting for calls that are under way."""
    return gate.log(since, whole_within_s=0)
