"""The story of one case: each step with its expected and actual result, and the timeline of its grant."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_PRINTING = threading.Lock()
_BEGAN = time.monotonic()


class StepFailed(Exception):
    """A step was not as expected; the text names the step, the expected and the actual result."""


@dataclass(frozen=True)
class Line:
    """One line of a timeline: the time, the actor, the event, and the grant's state."""

    at: float
    who: str
    what: str
    state: str = ""


class Story:

    def __init__(self, name: str) -> None:
        self.name, self.grant, self.lines = name, "", []
        self.access_key_id = ""
        """Attachments only: the access key that the principal uses throughout."""
        self.n_steps = 0

    def add(self, who: str, what: str, at: float | None = None) -> None:
        """Adds a line and prints it at once."""
        self.lines.append(Line(at or time.time(), who, what))
        with _PRINTING:
            print(f"{time.monotonic() - _BEGAN:6.1f} s  {self.name:<12} {who:<18} {what}", flush=True)

    def expect(self, step: str, expected: Any, seen: Any, *, who: str = "", detail: str = "") -> None:
        """Checks a step and adds its line. Raises `StepFailed` if it is not as expected."""
        self.n_steps += 1
        if expected != seen:
            raise StepFailed(f"{self.name}, step {self.n_steps} ({step}): expected {expected}, saw {seen} {detail}".rstrip())
        self.add(who or "caller", f"{step}: {detail or seen}")


def clock(at: float) -> str:
    """The time of day in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def evidence_lines(entries: list[dict[str, Any]]) -> list[Line]:
    """A line for each entry of a chain."""
    lines = []
    session = any(entry["event"] == "VendRecorded" for entry in entries)
    for entry in entries:
        at = datetime.fromisoformat(entry["at"]).timestamp()
        lines.append(Line(at, entry["by"], f"evidence {entry['seq']}: {entry['event']}{_about(entry, session)}", entry["state"]))
    return lines


def _about(entry: dict[str, Any], session: bool) -> str:
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
        case "ActivationRecorded":
            return f" (digest {detail['plan_digest'][:12]}…, fence {detail['fence']}, before: {detail['before']})"
        case "PresenceObserved":
            return f" (read back present, request {detail['request_id']})"
        case "AbsenceObserved":
            seen = "denied" if session else "absent"
            return f" (read back {seen}, request {detail['request_id']})"
        case "RemovalRecorded":
            return f" ({detail['operation']} of {detail['policy'].split('/')[-1]})"
        case "EffectiveAccessChecked":
            return f" ({detail['outcome']})"
        case "HandedOver":
            return f" (to {', '.join(detail['holders'])}, request {detail['seen']['request_id']})"
        case "DeadlineProved":
            return f" (AWS's date {detail['aws_date']}, request {detail['request_id']})"
    return ""


class GrantCalls:
    """The AWS calls about one grant, and their answers."""

    def __init__(self, story: Story, entries: list[dict[str, Any]], role: str) -> None:
        self.role, self.key = role, story.access_key_id
        self.session = f"dev.{story.grant.removeprefix('grt_')}"
        self.first, self.last = (datetime.fromisoformat(entries[n]["at"]).timestamp() for n in (0, -1))
        details = [entry["detail"] for entry in entries]
        self.readings = {one.get("request_id") or one.get("seen", {}).get("request_id") for one in details} - {None}

    def lines(self, calls: list[dict[str, Any]]) -> list[Line]:
        """A line for each call about the grant."""
        lines = []
        for call in calls:
            at = datetime.fromisoformat(call["at"]).timestamp()
            if (about := self._about(call, at)) is not None:
                answer = call["decision"] if call["decision"] != "allowed" else f"answered {call['upstream_status'] or 200}"
                if call["denied_by"] and about[0] == "holder":
                    answer += f" by {call['denied_by']}"
                lines.append(Line(at, f"{about[0]} → AWS", f"{about[1]}: {answer}"))
        return lines

    def _about(self, call: dict[str, Any], at: float) -> tuple[str, str] | None:
        operation, wrote = call["operation"], call["wrote"] or {}
        action, resource = ((one := call["actions"][0])["action"], one["resource"]) if call["actions"] else (operation, "")
        who = call["principal"].split("/")[1].removeprefix("brevet-dev-") if "/" in call["principal"] else ""
        name = self.role.split("/")[-1]
        if operation == "AssumeRole" and wrote.get("session_name") == self.session:
            return who, f"AssumeRole {name} for {wrote['duration_s']} s → key {wrote.get('access_key_id')}"
        if call["principal"].endswith(f"/{self.session}") or (self.key and call["access_key_id"] == self.key):
            return "holder", f"{action} {resource.split(':::')[-1].split(':')[-1]}"
        if who not in ("issue", "reap") or call["service"] != "iam" or resource != self.role:
            return None
        policy = str(wrote.get("policy_name") or wrote.get("policy_arn") or "").split("/")[-1]
        if self.key and operation in ("PutRolePolicy", "AttachRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"):
            return who, f"{operation} {policy} {'on' if who == 'issue' else 'from'} {name} {call['request_id'] or ''}"
        if self.key and operation == "SimulatePrincipalPolicy" and self.first <= at <= self.last:
            tried = ", ".join(f"{one['action']} {one['decision']}" for one in call.get("simulated") or [])
            return who, f"{operation} ({tried})"
        # Attachments: the readings that evidence names. Sessions: all of the reaper's calls on the role.
        cited = call["request_id"] in self.readings
        if cited or (not self.key and who == "reap" and self.first <= at <= self.last):
            return who, f"{operation} {call['request_id'] or ''}"
        return None


def print_timeline(story: Story, entries: list[dict[str, Any]], calls: list[dict[str, Any]], role: str) -> None:
    """Prints the grant's timeline. The state of a line is that of the last entry before it."""
    steps = [line for line in story.lines if not line.what.startswith("use ")]
    lines = steps + evidence_lines(entries) + GrantCalls(story, entries, role).lines(calls)
    print(f"\n{story.name}: {story.grant}")
    print(f"  {'time (UTC)':<13} {'state':<16} {'who':<18} what")
    state = "-"
    for line in sorted(lines, key=lambda line: line.at):
        state = line.state or state
        print(f"  {clock(line.at):<13} {state:<16} {line.who:<18} {line.what}")
