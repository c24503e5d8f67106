"""Functions that die at the worst instant, and two that run at once. Nobody cleans up after them but the next tick."""

from __future__ import annotations

import time

import pytest

from observer import gate, runner, store
from observer.aws import Session
from observer.world import AGENT, ONCALL, PIPELINE, Case, World, instant

from lives import deny_of, early_release, ended_early, in_use
from faulting import ASSUME, PUT_DENY, await_free, restart


AFTER_THE_END = {"RemovalRecorded", "RotationRecorded", "RotationObserved", "RotationTroubled"}


def released_into_a_kill(world: World, case: Case, kind: str) -> tuple[Case, str, Session]:
    """A released grant whose reaper dies at its write of the deny, before or after AWS got it."""
    await_free(case.role)
    (pid,) = runner.pids("reap")
    grant, session = in_use(world, case)
    rule = {"id": f"reap-{kind}", "kind": kind, "pid": pid, **deny_of(case, grant), **PUT_DENY}
    with gate.faults(rule):
        assert world.release(case, grant).status == 202
        until = time.monotonic() + 20
        while not gate.fired()[rule["id"]]:
            assert time.monotonic() < until, "the reaper did not come to write its deny"
            time.sleep(0.1)
    assert world.show(case, grant)["state"] == "Revoking"
    restart("reap")
    return case, grant, session


@pytest.fixture(scope="module")
def orphans(world: World) -> dict[str, tuple[Case, str, Session]]:
    """What dead reapers left behind; their ends overlap."""
    cases = {"kill_before": AGENT, "kill_after": ONCALL}
    return {kind: released_into_a_kill(world, case, kind) for kind, case in cases.items()}


def test_issue_killed_between_record_and_call_leaves_nothing_open(world: World, orphans: object) -> None:
    grant = world.approved(PIPELINE, term_s=240)
    (pid,) = runner.pids("issue")
    with gate.faults({"id": "issue-dies", "kind": "kill_before", "pid": pid, **ASSUME}):
        answer = world.fetch(PIPELINE, grant)
    assert answer.status >= 500, str(answer)
    restart("issue")
    view = world.show(PIPELINE, grant)
    assert (view["state"], [v["answer"]["kind"] for v in view["vends"]["last"]]) == ("Active", ["awaited"])
    # What was recorded bounds whatever may have come of it: the next vend gets the same deadline.
    fetched = world.fetch(PIPELINE, grant)
    assert fetched.status == 200, str(fetched)
    assert instant(fetched.body["Expiration"]) <= instant(view["deadline"])
    assert world.release(PIPELINE, grant).status == 202
    ended_early(world, PIPELINE, grant, Session.vended(fetched.body))


@pytest.mark.parametrize("kind", ["kill_before", "kill_after"])
def test_reap_killed_at_its_deny_is_followed_by_the_next_tick(
    world: World, orphans: dict[str, tuple[Case, str, Session]], kind: str
) -> None:
    case, grant, session = orphans[kind]
    ended_early(world, case, grant, session, within_s=100)


def test_two_reapers_at_once_end_each_grant_once(world: World) -> None:
    runner.stack("start", "reap")
    assert len(runner.pids("reap")) == 2
    released = [(case, *early_release(world, case)) for case in (AGENT, ONCALL, PIPELINE, AGENT, PIPELINE)]
    for case, grant, session in released:
        ended_early(world, case, grant, session, within_s=100)
    snapshot = store.snapshot()
    for _, grant, _ in released:
        entries = snapshot.evidence[grant]
        # Entries may follow an end (its session leaves the reserved deny, its secrets are rotated), but it ends once.
        first = next(n for n, entry in enumerate(entries) if entry["state"] == "Ended")
        assert {entry["state"] for entry in entries[first:]} == {"Ended"}
        assert {entry["event"] for entry in entries[first + 1 :]} <= AFTER_THE_END, entries
        assert [e["event"] for e in entries].count("Stopped") == 1
