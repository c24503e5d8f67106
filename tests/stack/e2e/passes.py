"""The reaper's good passes, by the gate's log: each ends with a write of its heartbeat."""

from __future__ import annotations

from observer import gate
from observer.calllog import Call, made_by
from observer.patience import until
from observer.world import instant

HEARTBEAT = "HEARTBEAT#reap"


def is_heartbeat(call: Call) -> bool:
    """Whether the reaper wrote its heartbeat with this call."""
    items = (call["wrote"] or {}).get("items") or []
    return made_by("reap", call) and call["upstream_status"] == 200 and any(one["pk"] == HEARTBEAT for one in items)


def begun_after(at: float, log: list[Call]) -> list[float]:
    """The end times of passes that began after `at`, in order. The first pass that ends after `at` began before it."""
    ends = sorted(instant(call["done_at"]) for call in log if is_heartbeat(call))
    return [end for end in ends if end > at][1:]


def await_passes(times: int) -> None:
    """Waits until the reaper has begun and finished `times` good passes from now on."""
    since = gate.last()

    def enough() -> bool:
        # The first heartbeat may belong to a pass that began before.
        return sum(map(is_heartbeat, gate.log(since, whole_within_s=0))) > times

    until(enough, f"the reaper makes {times} good passes")
