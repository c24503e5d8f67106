"""Issue and reap crash at critical points of an attachment; only the next tick cleans up after them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from observer import gate, runner

from attachments import MANAGED, Hold, Tasks
from faulting import await_strike, restart, strike

PUT, ATTACH, DELETE, DETACH = "PutRolePolicy", "AttachRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"
READ, LIST = "GetRolePolicy", "ListAttachedRolePolicies"

# The crash points of issue: principal, and fault.
ISSUE_DIES = {
    "before its put": ("kills", {"kind": "kill_before", "operation": PUT}),
    "after its put": ("kills", {"kind": "kill_after", "operation": PUT}),
    # The call is delayed, and reaches AWS after its caller has crashed.
    "before its put lands": ("kills", {"kind": "delay", "ms": 8_000, "operation": PUT}),
    "before its second write": ("kills", {}),
    "before its attaching": ("attach-before", {"kind": "kill_before", "operation": ATTACH}),
    "after its attaching": ("attach-after", {"kind": "kill_after", "operation": ATTACH}),
}
# In these cases the call never reached AWS.
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
    """Requests a grant at whose activation issue crashes at the named point."""
    principal, fault = ISSUE_DIES[name]
    rule, pid = f"issue {name}", pid_of("issue")
    if fault:
        strike(rule, principal, "issue", pid=pid, **fault)
        hold = tasks.ask(principal)
    else:
        with runner.left_alone("issue"):
            hold = tasks.ask(principal)
            # The first transaction records the attempt, the second the reading.
            gate.arm({"id": rule, "kind": "kill_before", "pid": pid, "service": "dynamodb", "nth": 2,
                      "operation": "TransactWriteItems", "principal": "brevet-dev-issue",
                      "pk_prefix": f"GRANT#{hold.grant}"})  # fmt: skip
    await_strike(rule)
    restart("issue")
    return hold


def kill_reap(hold: Hold, name: str) -> None:
    """Releases a grant at whose removal reap crashes at the named point."""
    principal, fault = REAP_DIES[name]
    rule, pid = f"reap {name}", pid_of("reap")
    # A list call names only the role; every other call also names this grant's policy.
    policy = {} if fault["operation"] == LIST else {"policy": hold.policy}
    if "between" in name:
        with runner.left_alone("reap", "tick", "standby"):
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
    """The grants that crashed functions left unfinished; later passes finish all of them at the same time."""
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
def test_attachment_that_a_crashed_issue_never_put_is_proved_absent(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    hold.ended("activation_failed")
    assert not hold.allowed() and "PresenceObserved" not in hold.events()


@pytest.mark.parametrize("name", [name for name in ISSUE_DIES if name not in NEVER_THERE])
def test_attachment_that_a_crashed_issue_left_is_found_and_ends(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    hold.ended("released")
    assert hold.events().count("ActivationRecorded") == 1, "a possible put must be read back, not repeated"
    assert hold.allowed()


@pytest.mark.parametrize("name", REAP_DIES)
def test_removal_that_a_crashed_reaper_began_is_finished_by_the_next_pass(orphans: dict[str, Hold], name: str) -> None:
    hold = orphans[name]
    end = hold.ended("released")
    assert end["ended_by"] == "removal"


def test_principals_have_no_holders_after_all_grants_ended(orphans: dict[str, Hold], tasks: Tasks) -> None:
    tasks.no_holders_on([hold.principal for hold in orphans.values() if hold.principal in MANAGED])
