"""A caller who tries one call again and again, and what the gate recorded of it.

Nobody has to try at the right instant: the call log tells when each try came and how it was judged.
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

OFTEN_S, SELDOM_S = 0.5, 2.0
# How close to a deadline it is tried often.
CLOSE_S = 10.0


class Tries:
    """Makes one call all the time in the background until it is stopped; more often around `around`, once that is set."""

    def __init__(self, use: Callable[[], Seen], around: float | None = None) -> None:
        self._use, self.around = use, around
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._try, daemon=True)
        self._thread.start()

    def _try(self) -> None:
        while not self._stopping.is_set():
            self._use()
            is_close = self.around is None or abs(time.time() - self.around) < CLOSE_S
            self._stopping.wait(OFTEN_S if is_close else SELDOM_S)

    def stop(self) -> None:
        """Ends it once the call that is under way was answered."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> Tries:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop()


@dataclass(frozen=True)
class Judged:
    """Calls that the gate judged by policies, each as when it came, when it was answered, and `allowed` or `denied`."""

    calls: list[tuple[float, float, str]]

    def before(self, instant: float) -> set[str]:
        """How those were judged that were answered before `instant`."""
        return {decision for _, done_at, decision in self.calls if done_at < instant}

    def between(self, start: float, end: float) -> set[str]:
        """How those were judged that came at `start` or later, and were answered before `end`."""
        return {decision for at, done_at, decision in self.calls if start <= at and done_at < end}

    def since(self, instant: float) -> set[str]:
        """How those were judged that came at `instant` or later."""
        return {decision for at, _, decision in self.calls if at >= instant}


def judged(log: list[dict[str, Any]], access_key: str, action: str, resource: str) -> Judged:
    """What the gate made of one action on `resource` (`*` stands for anything) with one access key.

    A call that the gate refused because it could not read what is in force was not judged.
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
    """What the gate made of the granted call of `case` with one access key."""
    return judged(log, access_key, *case.asks(case.uses))


def calls(since: int = 0) -> list[dict[str, Any]]:
    """The call log as it is, from number `since` on: other calls may be under way, and those that were answered are in it."""
    return gate.log(since, whole_within_s=0)
