"""The two sides of reconciliation (the gate's call log; grants and evidence) and its report.

Times are compared as text: both sides write RFC 3339 in UTC with milliseconds, by the clock of one machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .store import Snapshot

Call = dict[str, Any]
Entry = dict[str, Any]

# A call must follow its record within this many seconds, unless something else bounds it.
SOON_S = 15


def later(at: str, seconds: float) -> str:
    """The instant `seconds` after `at`."""
    moved = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moved.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moved.microsecond // 1000:03d}Z"


@dataclass
class Report:
    """The number of comparisons by kind, and the discrepancies."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items()))
        return counts + "".join(f"\n  UNEXPLAINED {finding}" for finding in self.findings)


def made_by(function: str, call: Call, deployment: str = "dev") -> bool:
    """Whether `function` of `deployment` made the call."""
    return f":assumed-role/brevet-{deployment}-{function}/" in call["principal"]


class Comparison:
    """Both sides, and the helpers that every comparison uses."""

    def __init__(self, calls: list[Call], snapshot: Snapshot, deployment: str, report: Report) -> None:
        self.calls, self.snapshot, self.deployment = calls, snapshot, deployment
        self.report = report
        self.reserved = f"brevet-{deployment}-ended"
        # Nearly every entry needs these lists, so they are computed once.
        self._of: dict[tuple[str, ...], list[Call]] = {}
        self._faulty = [call for call in calls if call["fault"]]

    def find(self, text: str) -> None:
        """Reports a discrepancy."""
        self.report.findings.append(text)

    def by(self, function: str, call: Call) -> bool:
        """Whether `function` made the call."""
        return made_by(function, call, self.deployment)

    def of(self, function: str, *operations: str) -> list[Call]:
        """The calls of `function`, in order of arrival."""
        if (function,) not in self._of:
            self._of[function,] = [c for c in self.calls if self.by(function, c)]
        if (function, *operations) not in self._of:
            self._of[function, *operations] = [c for c in self._of[function,] if c["operation"] in operations]
        return self._of[function, *operations]

    def entries(self, grant: str, *events: str) -> list[Entry]:
        """The entries of a grant that record one of `events`."""
        return [e for e in self.snapshot.evidence.get(grant, []) if e["event"] in events]

    def faulty_after(self, function: str, at: str, within_s: float = SOON_S) -> bool:
        """Whether a fault hit a call of `function` soon after `at`. Then the expected call may be missing."""
        until = later(at, within_s)
        return any(self.by(function, c) and at <= c["done_at"] and c["at"] <= until for c in self._faulty)
