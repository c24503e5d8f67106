"""The reaper's good passes, by what the gate recorded: each ends with a write of its heartbeat."""

from __future__ import annotations

from observer import gate
from observer.calllog import Call, made_by
from observer.patience import until
from observer.world import instant

HEARTBEAT = "HEART#reap"


def is_heartbeat(call: Call) -> bool:
    """Whether the reaper wrote its heartbeat with this call."""
    items = (call["wrote"] or {}).get("items") or []
    return made_by("reap", call) and call["upstream_status"] == 200 and any(one["pk"] == HEARTBEAT for one in items)


def begun_after(at: float, log: list[Call]) -> list[float]:
    """When those passes were over that had begun after `at`, in order: the first that ends after it began before it."""
    ends = sorted(instant(call["done_at"]) for call in log if is_heartbeat(call))
    return [end for end in ends if end > at][1:]


def await_passes(times: int) -> None:
    """Waits until the reaper has begun and finished so many good passes from now on."""
    since = gate.last()

    def enough() -> bool:
        # The first of them may have begun before.
        return sum(map(is_heartbeat, gate.log(since, whole_within_s=0))) > times

    until(enough, f"the reaper makes {times} good passes")
