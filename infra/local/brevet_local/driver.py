"""One process that plays API Gateway, EventBridge Scheduler and Lambda's stream poller.

Run as `python -m brevet_local.driver <facts.json> <gate: 0 or 1>`.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from . import expiry, front, functions, pump, tick
from .invoke import BUSY
from .process import Trouble

_RECYCLE_PERIOD_S = 30


def _recycling(facts: dict[str, Any], gate: bool, stopping: threading.Event) -> None:
    """Replaces copies whose credentials are about to expire while no invocation is under way."""
    while not stopping.wait(_RECYCLE_PERIOD_S):
        if BUSY.idle:
            try:
                for name in functions.recycle(facts, gate):
                    print(f"recycle: {name} replaced by a copy with fresh credentials", flush=True)
            except Trouble as problem:
                print(f"recycle: {problem}", flush=True)


def main(facts_file: str, gate: str) -> None:
    """Runs until SIGTERM."""
    facts = json.loads(Path(facts_file).read_text())
    stopping = threading.Event()
    # The pumps are positioned at the end of their streams before the first request can arrive.
    pumps = [pump.Pump(facts, mapping) for mapping in facts["streams"]]
    for one in pumps:
        one.open()
    work = [threading.Thread(target=pump.run, args=(one, stopping), daemon=True) for one in pumps]
    work += [
        threading.Thread(target=tick.run, args=(facts, schedule, stopping), daemon=True)
        for schedule in facts["schedules"]
    ]
    work.append(threading.Thread(target=expiry.run, args=(facts, stopping), daemon=True))
    work.append(threading.Thread(target=_recycling, args=(facts, gate == "1", stopping), daemon=True))
    served = front.server(facts)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=served.shutdown).start())
    for thread in work:
        thread.start()
    print("driver: ready", flush=True)
    served.serve_forever(poll_interval=0.1)
    stopping.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
