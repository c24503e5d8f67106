"""Takes the call log and the table at one moment in which no function writes, so that the comparison is stable."""

from __future__ import annotations

import time

from . import gate, runner, store
from .calllog import Call, made_by

UNCHANGED_S = 3
# Calls of holders and of the observer do not count.
FUNCTIONS = ("intake", "evaluate", "issue", "reap", "drill")


def at_rest(*, within_s: float = 120) -> tuple[list[Call], store.Snapshot]:
    """Returns both once no function has made a call for `UNCHANGED_S` with the tick and the standby tick off.

    A pass that is under way finishes, and rotations of ended grants may still go on.
    """
    with runner.off("tick", "standby"):
        until, before = time.monotonic() + within_s, None
        while True:
            log, snapshot = gate.log(), store.snapshot()
            made = [call["n"] for call in log if any(made_by(name, call) for name in FUNCTIONS)]
            if (made, snapshot) == before:
                return log, snapshot
            if time.monotonic() > until:
                raise AssertionError(f"functions still make calls {within_s:.0f} s after every clock was stopped: {made[-5:]}")
            before = made, snapshot
            time.sleep(UNCHANGED_S)
