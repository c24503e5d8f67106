"""What is compared: the gate's call log with the table's grants and evidence, and what came of it.

Times are compared as texts: both sides write RFC 3339 in UTC with milliseconds, by the clock of one machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .store import Snapshot

Call = dict[str, Any]
Entry = dict[str, Any]

# How soon after it was recorded a call must have come, where nothing else bounds it.
SOON_S = 15


def later(at: str, seconds: float) -> str:
    """The instant `seconds` after `at`."""
    moved = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moved.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moved.microsecond // 1000:03d}Z"


@dataclass
class Report:
    """What was compared, how often, and what does not fit."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{n} {what}" for what, n in sorted(self.counts.items()))
        return told + "".join(f"\n  UNEXPLAINED {finding}" for finding in self.findings)


def made_by(function: str, call: Call, deployment: str = "dev") -> bool:
    """Whether `function` of `deployment` made the call."""
    return f":assumed-role/brevet-{deployment}-{function}/" in call["principal"]


class Comparison:
    """One side and the other, for whoever compares a part of them."""

    def __init__(self, calls: list[Call], snapshot: Snapshot, deployment: str, report: Report) -> None:
        self.calls, self.snapshot, self.deployment = calls, snapshot, deployment
        self.report = report
        self.reserved = f"brevet-{deployment}-ended"
        # Looked through again for nearly every entry: what is asked for most is sorted out once.
        self._of: dict[tuple[str, ...], list[Call]] = {}
        self._faulty = [call for call in calls if call["fault"]]

    def find(self, text: str) -> None:
        """Something does not fit."""
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
        """The entries of a grant that tell of one of `events`."""
        return [e for e in self.snapshot.evidence.get(grant, []) if e["event"] in events]

    def faulty_after(self, function: str, at: str, within_s: float = SOON_S) -> bool:
        """Whether a fault hit a call of `function` soon after `at`: then what should follow may be missing."""
        until = later(at, within_s)
        return any(self.by(function, c) and at <= c["done_at"] and c["at"] <= until for c in self._faulty)
