"""One case as it is told: each step with what was expected and seen, and at the end the whole timeline of its grant."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_PRINTING = threading.Lock()
_BEGAN = time.monotonic()


class StepFailed(Exception):
    """A step was not as expected; the text says which, what was expected and what was seen."""


@dataclass(frozen=True)
class Line:
    """One line of a timeline: when, whose doing, and what."""

    at: float
    who: str
    what: str
    state: str = ""


class Story:
    """The steps of one case."""

    def __init__(self, name: str) -> None:
        self.name, self.grant, self.lines = name, "", []
        self.n_steps = 0

    def tell(self, who: str, what: str, at: float | None = None) -> None:
        """Adds a line, and shows it at once."""
        self.lines.append(Line(at or time.time(), who, what))
        with _PRINTING:
            print(f"{time.monotonic() - _BEGAN:6.1f} s  {self.name:<9} {who:<18} {what}", flush=True)

    def expect(self, step: str, expected: Any, seen: Any, *, who: str = "", told: str = "") -> None:
        """Checks a step and tells it."""
        self.n_steps += 1
        if expected != seen:
            raise StepFailed(f"{self.name}, step {self.n_steps} ({step}): expected {expected}, saw {seen} {told}".rstrip())
        self.tell(who or "caller", f"{step}: {told or seen}")


def clock(at: float) -> str:
    """The time of day in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def evidence_lines(entries: list[dict[str, Any]]) -> list[Line]:
    """What a chain tells, entry by entry."""
    lines = []
    for entry in entries:
        at = datetime.fromisoformat(entry["at"]).timestamp()
        lines.append(Line(at, entry["by"], f"evidence {entry['seq']}: {entry['event']}{_about(entry)}", entry["state"]))
    return lines


def _about(entry: dict[str, Any]) -> str:
    detail = entry["detail"]
    match entry["event"]:
        case "Decided":
            return f" ({detail['outcome']['outcome']}, by {', '.join(detail['determining']) or 'no policy'})"
        case "VendRecorded":
            return f" (deadline {detail['deadline']}, policy {detail['policy_digest'][:12]}…)"
        case "VendAnswered":
            return f" ({detail['answer']['kind']} {detail['answer'].get('access_key_id', '')})"
        case "ApprovalGiven" | "Stopped":
            return f" (by {detail.get('by')})"
        case "RemovalRecorded":
            return f" ({detail['operation']} of {detail['policy']})"
        case "AbsenceObserved":
            return f" (read back denied, request {detail['request_id']})"
        case "DeadlineProved":
            return f" (AWS's date {detail['aws_date']}, request {detail['request_id']})"
    return ""


def aws_lines(calls: list[dict[str, Any]], grant: str, role: str, first: float, last: float) -> list[Line]:
    """What AWS was asked and answered about a grant: vends, the reserved deny on its role, uses of its session."""
    session = f"dev.{grant.removeprefix('grt_')}"
    lines: list[Line] = []
    for call in calls:
        at = datetime.fromisoformat(call["at"]).timestamp()
        wrote = call["wrote"] or {}
        resource = call["actions"][0]["resource"] if call["actions"] else ""
        answer = call["decision"] if call["decision"] != "allowed" else f"answered {call['upstream_status']}"
        if call["operation"] == "AssumeRole" and wrote.get("session_name") == session:
            about = f"AssumeRole {role.split('/')[-1]} for {wrote['duration_s']} s → key {wrote.get('access_key_id')}"
        elif ":assumed-role/brevet-dev-reap/" in call["principal"] and call["service"] == "iam" and resource == role:
            if not first <= at <= last:
                continue
            about = f"{call['operation']} {call['request_id'] or ''}"
        elif call["principal"].endswith(f"/{session}"):
            action = call["actions"][0]["action"] if call["actions"] else call["operation"]
            because = f" by {call['denied_by']}" if call["denied_by"] else ""
            about, answer = f"{action} {resource.split(':::')[-1].split(':')[-1]}", answer + because
        else:
            continue
        who = "holder" if call["principal"].endswith(session) else call["principal"].split("/")[1].removeprefix("brevet-dev-")
        lines.append(Line(at, f"{who} → AWS", f"{about}: {answer}"))
    return lines


def print_timeline(story: Story, entries: list[dict[str, Any]], calls: list[dict[str, Any]], role: str) -> None:
    """The whole life of the story's grant, in order; the state is that of the last entry before each line."""
    told = evidence_lines(entries)
    steps = [line for line in story.lines if not line.what.startswith("use ")]
    lines = steps + told + aws_lines(calls, story.grant, role, told[0].at, told[-1].at)
    print(f"\n{story.name}: {story.grant}")
    print(f"  {'time (UTC)':<13} {'state':<16} {'who':<18} what")
    state = "-"
    for line in sorted(lines, key=lambda line: line.at):
        state = line.state or state
        print(f"  {clock(line.at):<13} {state:<16} {line.who:<18} {line.what}")
