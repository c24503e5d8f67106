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
    """The ratio of the schedules' period to the template's: 0.5 if they run twice as fast.

    Batching windows scale too.
    """
    return min(period_s(one) / one["period_s"] for one in facts["schedules"])


def event(schedule: dict[str, Any], account: str, region: str, now: float) -> dict[str, Any]:
    """The event that EventBridge Scheduler sends to a Lambda target without an `Input`."""
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
    """Ticks once now, whether the switch is on or off."""
    function = next(one for one in facts["functions"] if one["id"] == schedule["function"])
    made = event(schedule, facts["account"], facts["region"], time.time())
    return invoke(function, made, function["timeout_s"])


def run(facts: dict[str, Any], schedule: dict[str, Any], stopping: threading.Event) -> None:
    """Ticks until `stopping` is set, first at once. A late answer delays the next tick; ticks never pile up."""
    due = time.monotonic()
    while not stopping.wait(max(0.0, min(0.2, due - time.monotonic()))):
        if time.monotonic() < due:
            continue
        due = max(due + period_s(schedule), time.monotonic())
        with switches.event("tick", schedule["function"]) as is_on:
            answer = once(facts, schedule) if is_on else None
            if answer and answer.outcome != "ok":
                print(f"tick: {schedule['function']}: {answer.outcome}: {answer.detail}", flush=True)
