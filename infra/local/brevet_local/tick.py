"""The schedules: invokes a function at its rate, as EventBridge Scheduler does."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Any

from . import switches
from .invoke import Answer, invoke


def period_s(schedule: dict[str, Any]) -> float:
    """Seconds between ticks: the template's, or `BREVET_LOCAL_TICK_S`."""
    text = os.environ.get("BREVET_LOCAL_TICK_S", "")
    return float(text) if text else float(schedule["period_s"])


def pace(facts: dict[str, Any]) -> float:
    """By how much the schedules are faster than the template has them: what else goes with them is, too."""
    return min(period_s(one) / one["period_s"] for one in facts["schedules"])


def event(schedule: dict[str, Any], account: str, region: str, now: float) -> dict[str, Any]:
    """What the scheduler sends a Lambda target that has no input of its own."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": account,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "region": region,
        "resources": [schedule["arn"]],
        "detail": "{}",
    }


def once(facts: dict[str, Any], schedule: dict[str, Any]) -> Answer:
    """One tick, now, whether ticking is on or off."""
    function = next(one for one in facts["functions"] if one["id"] == schedule["function"])
    made = event(schedule, facts["account"], facts["region"], time.time())
    return invoke(function, made, function["timeout_s"])


def run(facts: dict[str, Any], schedule: dict[str, Any], stopping: threading.Event) -> None:
    """Ticks until told to stop; the first tick comes at once. A late answer delays the next tick, never doubles it."""
    due = time.monotonic()
    while not stopping.wait(max(0.0, min(0.2, due - time.monotonic()))):
        if time.monotonic() < due:
            continue
        due = max(due + period_s(schedule), time.monotonic())
        with switches.event("tick", schedule["function"]) as wanted:
            answer = once(facts, schedule) if wanted else None
            if answer and answer.outcome != "ok":
                print(f"tick: {schedule['function']}: {answer.outcome}: {answer.detail}", flush=True)
