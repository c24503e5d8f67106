"""Issue and reap die at the worst instants of an attachment. Nobody cleans up after them but the next tick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from observer import gate, runner

from attachments import MANAGED, Hold, Tasks
from faulting import await_strike, restart, strike

PUT, ATTACH, DELETE, DETACH = "PutRolePolicy", "AttachRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"
READ, LIST = "GetRolePolicy", "ListAttachedRolePolicies"

# Where issue dies: principal, and the fault.
ISSUE_DIES = {
    "before its put": ("kills", {"kind": "kill_before", "operation": PUT}),
    "after its put": ("kills", {"kind": "kill_after", "operation": PUT}),
    # The call was on its way, and arrives without its caller.
    "before its put lands": ("kills", {"kind": "delay", "ms": 8_000, "operation": PUT}),
    "before its second write": ("kills", {}),
    "before its attaching": ("attach-before", {"kind": "kill_before", "operation": ATTACH}),
    "after its attaching": ("attach-after", {"kind": "kill_after", "operation": ATTACH}),
}
# What it was about to ask of AWS was never asked.
NEVER_THERE = ("before its put", "before its attaching")

REAP_DIES = {
    "before its deletion": ("kills", {"kind": "kill_before", "operation": DELETE}),
    "after its deletion": ("kills", {"kind": "kill_after", "operation": DELETE}),
    "between its two reads": ("kills", {"kind": "kill_before", "operation": READ}),
    "before its detaching": ("detach-before", {"kind": "kill_before", "operation": DETACH}),
    "after its detaching": ("detach-after", {"kind": "kill_after", "operation": DETACH}),
    "between its two lists": ("detach-between", {"kind": "kill_before", "operation": LIST}),
}


def pid_of(function: str) -> int:
    (pid,) = runner.pids(function)
    return pid


def kill_issue(tasks: Tasks, name: str) -> Hold:
    """A grant at whose activation issue dies, as it says."""
    principal, fault = ISSUE_DIES[name]
    rule, pid = f"issue {name}", pid_of("issue")
    if fault:
        strike(rule, principal, "issue", pid=pid, **fault)
        hold = tasks.ask(principal)
    else:
        with runner.left_alone("issue"):
            hold = tasks.ask(principal)
            # The first write records the attempt, the second what was seen.
            gate.arm({"id": rule, "kind": "kill_before", "pid": pid, "service": "dynamodb", "nth": 2,
                      "operation": "TransactWriteItems", "principal": "brevet-dev-issue",
                      "pk_prefix": f"GRANT#{hold.grant}"})  # fmt: skip
    await_strike(rule)
    restart("issue")
    return hold


def kill_reap(hold: Hold, name: str) -> None:
    """Gives a grant back; reap dies at its removal, as it says."""
    principal, fault = REAP_DIES[name]
    rule, pid = f"reap {name}", pid_of("reap")
    # A list is about the role, every other call about this grant's own policy too.
    policy = {} if fault["operation"] == LIST else {"policy": hold.policy}
    if "between" in name:
        with runner.left_alone("reap", "tick", "echo"):
            hold.release()
            hold.await_revoking("first_absence")
            strike(rule, principal, "reap", pid=pid, **fault, **policy)
    else:
        strike(rule, principal, "reap", pid=pid, **fault, **policy)
        hold.release()
    await_strike(rule)
    assert hold.show()["state"] == "Revoking"
    restart("reap")


@pytest.fixture(scope="module")
def orphans(tasks: Tasks) -> dict[str, Hold]:
    """What dead functions left behind; all of it is settled by whoever runs next, at the same time."""
    gate.disarm()
    found = {name: tasks.ask(principal) for name, (principal, _) in REAP_DIES.items()}
    for hold in found.values():
        hold.await_active()
    with ThreadPoolExecutor(max_workers=2) as pool:
        reap_dies = pool.submit(lambda: [kill_reap(found[name], name) for name in REAP_DIES])
        issue_dies = pool.submit(lambda: {name: kill_issue(tasks, name) for name in ISSUE_DIES})
        reap_dies.result()
        found |= issue_dies.result()
    for name in ISSUE_DIES:
        if name not in NEVER_THERE:
            found[name].await_active().release()
    return found


@pytest.mark.parametrize("name", NEVER_THERE)
def test_what_a_dead_issue_never_asked_for_is_proved_not_to_be_there(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    hold.ended("activation_failed")
    assert not hold.allowed() and "PresenceObserved" not in hold.events()


@pytest.mark.parametrize("name", [name for name in ISSUE_DIES if name not in NEVER_THERE])
def test_what_a_dead_issue_left_behind_is_found_and_ends(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    hold.ended("released")
    assert hold.events().count("ActivationRecorded") == 1, "what may have happened is read, not done again"
    assert hold.allowed()


@pytest.mark.parametrize("name", REAP_DIES)
def test_what_a_dead_reaper_had_begun_is_ended_by_the_next(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    end = hold.ended("released")
    assert end["ended_by"] == "removal"


def test_nobody_is_counted_on_any_principal_when_all_is_over(orphans: dict[str, Hold], tasks: Tasks) -> None:
    tasks.nobody_holds([hold.principal for hold in orphans.values() if hold.principal in MANAGED])
