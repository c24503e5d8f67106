"""Call log and table of one moment, in which nobody writes: what is compared must not change meanwhile."""

from __future__ import annotations

import time

from . import gate, runner, store
from .calllog import Call, made_by

UNCHANGED_S = 3
# Holders may go on trying what they had, and the observer reads.
FUNCTIONS = ("intake", "evaluate", "issue", "reap", "drill")


def at_rest(*, within_s: float = 120) -> tuple[list[Call], store.Snapshot]:
    """Both, once no function has called or written anything for a while without a clock.

    A pass that was under way goes on to its end; and of what has ended, secrets are still rotated.
    """
    with runner.off("tick", "echo"):
        until, before = time.monotonic() + within_s, None
        while True:
            log, snapshot = gate.log(), store.snapshot()
            made = [call["n"] for call in log if any(made_by(name, call) for name in FUNCTIONS)]
            if (made, snapshot) == before:
                return log, snapshot
            if time.monotonic() > until:
                raise AssertionError(f"functions go on {within_s:.0f} s after every clock was stopped: {made[-5:]}")
            before = made, snapshot
            time.sleep(UNCHANGED_S)
