"""Grants that nobody is going to end: begun before the first test, looked at when issue and reap are dead."""

from __future__ import annotations

import time

from observer import gate
from observer.store import TABLE, admin

from attachments import Hold, Tasks
from faulting import strike

NAMES = ("down", "naked", "fuse")
# How long before a deadline everything must begin to go down, to be down in time.
GOING_DOWN_S = 20


def time_to_live(enabled: bool) -> None:
    """Turns DynamoDB's own deletions on or off."""
    known = admin().describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if known != ("ENABLED" if enabled else "DISABLED"):
        wanted = {"Enabled": enabled, "AttributeName": "ttl"}
        admin().update_time_to_live(TableName=TABLE, TimeToLiveSpecification=wanted)


class Doomed:
    """An inline grant, one whose policy is enforced without its time limit, and a managed one."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        # What burns down later is looked for from then on, not at the end of a look round the table that began before.
        time_to_live(enabled=False)
        gate.disarm()
        strike("no-time-limit", "naked", "issue", "strip_time_limit", "PutRolePolicy", times=2)
        self._begin(80)

    def _begin(self, term_s: int) -> None:
        self._holds = {name: self._tasks.ask(name, term_s=term_s) for name in NAMES}
        for hold in self._holds.values():
            hold.await_active()

    def while_they_live(self) -> dict[str, Hold]:
        """They, with enough time left to take everything down; others, if what came first took too long."""
        if self.first_deadline() - time.time() < GOING_DOWN_S:
            self._begin(60)
        assert gate.fired()["no-time-limit"] >= 1
        return self._holds

    def first_deadline(self) -> float:
        """The first of their deadlines."""
        return min(hold.deadline() for hold in self._holds.values())

    def last_deadline(self) -> float:
        """The last of their deadlines."""
        return max(hold.deadline() for hold in self._holds.values())
