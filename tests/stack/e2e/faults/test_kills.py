"""Functions that crash at critical points, and two reapers at once; only the next tick cleans up after them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from observer import gate, runner, store
from observer.aws import Session
from observer.world import AGENT, ONCALL, PIPELINE, Case, World, instant

from lives import deny_of, early_release, ended_early, in_use
from faulting import ASSUME, PUT_DENY, await_free, await_strike, restart

TERM_S = 300
AFTER_THE_END = {"RemovalRecorded", "RotationRecorded", "RotationObserved", "RotationTroubled"}


def released_into_a_kill(world: World, case: Case, kind: str) -> tuple[Case, str, Session]:
    """Releases a grant whose reaper crashes at its write of the deny, before or after AWS got the write."""
    await_free(case.role)
    (pid,) = runner.pids("reap")
    grant, session = in_use(world, case, term_s=TERM_S)
    rule = {"id": f"reap-{kind}", "kind": kind, "pid": pid, **deny_of(case, grant), **PUT_DENY}
    with gate.faults(rule):
        assert world.release(case, grant).status == 202
        await_strike(rule["id"])
    assert world.show(case, grant)["state"] == "Revoking"
    restart("reap")
    return case, grant, session


@pytest.fixture(scope="module")
def orphans(world: World) -> dict[str, tuple[Case, str, Session]]:
    """The grants that crashed reapers left unfinished; their ends overlap."""
    cases = {"kill_before": AGENT, "kill_after": ONCALL}
    return {kind: released_into_a_kill(world, case, kind) for kind, case in cases.items()}


def test_issue_killed_between_record_and_call_leaves_nothing_open(world: World, orphans: object) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    (pid,) = runner.pids("issue")
    with gate.faults({"id": "issue-dies", "kind": "kill_before", "pid": pid, **ASSUME}):
        answer = world.fetch(PIPELINE, grant)
    assert answer.status >= 500, str(answer)
    restart("issue")
    view = world.show(PIPELINE, grant)
    assert (view["state"], [v["answer"]["kind"] for v in view["vends"]["last"]]) == ("Active", ["awaited"])
    # The recorded deadline bounds a possible vend: the next vend gets the same deadline.
    fetched = world.fetch(PIPELINE, grant)
    assert fetched.status == 200, str(fetched)
    assert instant(fetched.body["Expiration"]) <= instant(view["deadline"])
    assert world.release(PIPELINE, grant).status == 202
    ended_early(world, PIPELINE, grant, Session.vended(fetched.body))


@pytest.mark.parametrize("kind", ["kill_before", "kill_after"])
def test_early_end_is_proved_by_the_next_tick_after_reap_was_killed_at_its_deny(
    world: World, orphans: dict[str, tuple[Case, str, Session]], kind: str
) -> None:
    case, grant, session = orphans[kind]
    ended_early(world, case, grant, session)


@pytest.fixture
def two_reapers() -> Iterator[None]:
    """A second copy of the reaper runs beside the first."""
    runner.stack("start", "reap")
    try:
        assert len(runner.pids("reap")) == 2
        yield
    finally:
        with runner.left_alone("reap"):
            runner.stack("kill", "reap")
            restart("reap")


def test_two_reapers_at_once_end_each_grant_once(world: World, two_reapers: None) -> None:
    cases = (AGENT, ONCALL, PIPELINE, AGENT, PIPELINE)
    released = [(case, *early_release(world, case, term_s=TERM_S)) for case in cases]
    for case, grant, session in released:
        ended_early(world, case, grant, session)
    snapshot = store.snapshot()
    for _, grant, _ in released:
        entries = snapshot.evidence[grant]
        # Entries may follow the end (removal from the reserved deny, rotations), but the grant ends only once.
        first = next(n for n, entry in enumerate(entries) if entry["state"] == "Ended")
        assert {entry["state"] for entry in entries[first:]} == {"Ended"}
        assert {entry["event"] for entry in entries[first + 1 :]} <= AFTER_THE_END, entries
        assert [e["event"] for e in entries].count("Stopped") == 1
