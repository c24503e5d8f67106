"""Call log and table of one moment, in which nobody writes: what is compared must not change meanwhile."""

from __future__ import annotations

import time

from . import gate, runner, store
from .calllog import Call

UNCHANGED_S = 3


def at_rest(*, within_s: float = 120) -> tuple[list[Call], store.Snapshot]:
    """Both, once neither has changed for a while without a schedule.

    A pass that was under way goes on to its end; and of what has ended, secrets are still rotated.
    """
    runner.stack("tick", "off")
    try:
        until, before = time.monotonic() + within_s, None
        while True:
            now = gate.log(), store.snapshot()
            if now == before:
                return now
            if time.monotonic() > until:
                raise AssertionError(f"calls go on {within_s:.0f} s after the schedule was stopped: {now[0][-1]}")
            before = now
            time.sleep(UNCHANGED_S)
    finally:
        runner.stack("tick", "on")
