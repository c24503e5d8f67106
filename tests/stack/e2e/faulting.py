"""Faults that the gate injects between the functions and AWS, and restarts of killed functions."""

from __future__ import annotations

import json
import time
from typing import Any

from observer import gate, runner, store
from observer.patience import until

from attachments import Hold

# The SDK makes this many attempts: the function loses an answer only if all of them are lost.
ATTEMPTS = 3
ASSUME = {"service": "sts", "operation": "AssumeRole", "principal": "brevet-dev-issue"}
PUT_DENY = {"service": "iam", "operation": "PutRolePolicy", "principal": "brevet-dev-reap"}
READ_DENY = {"service": "iam", "operation": "GetRolePolicy", "principal": "brevet-dev-reap"}


def strike(rule_id: str, principal: str, function: str, kind: str, operation: str, **more: Any) -> str:
    """Arms a fault on one operation of `function` on `principal`; returns the fault's id."""
    rule = {"id": rule_id, "kind": kind, "service": "iam", "operation": operation, "principal": f"brevet-dev-{function}",
            "resource": f"brevet-dev-{principal}", **more}  # fmt: skip
    gate.arm(rule)
    return rule_id


def await_strike(rule_id: str, times: int = 1) -> None:
    """Waits until a fault has fired `times` times."""
    until(lambda: gate.fired()[rule_id] >= times, f"fault `{rule_id}` fires {times} times", every_s=0.2)


def struck(rule_id: str, hold: Hold) -> list[dict[str, Any]]:
    """The log entries of calls about a grant's policy that a fault has hit."""
    calls = gate.log(hold.since, whole_within_s=0)
    return [c for c in calls if (c["fault"] or {}).get("id") == rule_id and hold.policy in json.dumps(c["wrote"])]


def await_free(role: str) -> None:
    """Waits until a role's lease is free: a reaper that lost an answer keeps the lease until it expires."""

    def is_free() -> bool:
        leases = [i for i in store.items() if i["pk"] == f"DENY#{runner.role_arn(role)}" and i["sk"] == "LEASE"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        return all(str(value) <= stamp for lease in leases for name, value in lease.items() if name == "until")

    until(is_free, f"the lease of {role} is free")


def restart(function: str) -> None:
    """Starts a fresh copy of a function once the killed one is gone."""
    until(lambda: not runner.pids(function), f"{function} is gone after it was killed", every_s=0.1)
    runner.stack("start", function)
