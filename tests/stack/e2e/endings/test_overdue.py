"""An overdue end, whose removal AWS refuses, stops new access on its own role only; issuing resumes by itself.

The functions use a shorter overdue limit than the template's, so that no test waits three minutes.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import gate, runner, store
from observer.client import Answer
from observer.patience import until
from observer.world import AGENT, ONCALL, Case, World, instant

from lives import LONG_S, deny_of, ended_early, in_use
from faulting import PUT_DENY, await_free

# The overdue limits to try. A longer one follows if the machine is too slow to fetch before the end is overdue.
OVERDUE_S = (20, 60, 180)
FUNCTIONS = ("intake", "evaluate", "issue", "reap")
RESPONSIBLE = "omar"


def fetched_until(world: World, grant: str, status: int, case: Case = AGENT) -> Answer:
    """Fetches until the answer has this status; returns that answer."""
    found: list[Answer] = []

    def has_status() -> bool:
        found[:] = [world.fetch(case, grant)]
        return found[0].status == status

    until(has_status, f"a fetch is answered {status}")
    return found[0]


def under_way() -> set[str]:
    """The grants that may end by themselves meanwhile."""
    grants = store.snapshot().grants
    return {grant for grant, body in grants.items() if body["state"]["name"] in ("activating", "active", "revoking")}


def refuse(world: World, overdue_s: int) -> dict[str, Any] | None:
    """Records answers while AWS refuses the deny of a released grant, and after it no longer refuses.

    Returns None if no fetch was answered before the end was overdue.
    """
    grant, session = in_use(world, AGENT)
    # One grant is in use throughout; the terms of the others begin with their first vend.
    waiting, later, elsewhere = (world.approved(case, term_s=LONG_S) for case in (AGENT, AGENT, ONCALL))
    rule = {"id": "deny-refused", "kind": "refuse", "times": 10_000, **deny_of(AGENT, grant), **PUT_DENY}
    found: dict[str, Any] = {"grant": grant, "session": session}
    with gate.faults(rule):
        assert world.release(AGENT, grant).status == 202
        # The control: the end is refused, but not yet overdue.
        found["early"] = world.fetch(AGENT, waiting)
        answered_at = time.time()
        world.await_state(AGENT, grant, "Revoking")
        since = next(one["at"] for one in store.snapshot().evidence[grant] if one["state"] == "Revoking")
        is_early = answered_at < instant(since) + overdue_s
        if is_early:
            found["all"] = fetched_until(world, waiting, 503)
            found["health"] = world.api.health()
            found["all elsewhere"] = world.fetch(ONCALL, elsewhere)
            found["machine"] = world.api.acknowledge(world.vote_token(AGENT.identity), grant)
            found["asking"] = world.api.acknowledge(world.token(RESPONSIBLE), grant)
            found["acknowledged"] = world.api.acknowledge(world.vote_token(RESPONSIBLE), grant)
            found["elsewhere"] = fetched_until(world, elsewhere, 200, case=ONCALL)
            found["own"] = world.fetch(AGENT, later)
            found["health after"] = world.api.health()
            found["state"] = world.show(AGENT, grant)
    # Issuing resumes without any reset.
    found["recovered"] = fetched_until(world, later, 200)
    found["end"] = ended_early(world, AGENT, grant, session)
    found["health at last"] = world.api.health()
    for case, one in ((AGENT, waiting), (AGENT, later), (ONCALL, elsewhere)):
        world.release(case, one)
    return found if is_early else None


@pytest.fixture(scope="module")
def stuck(world: World) -> dict[str, Any]:
    """The answers while one end is overdue and unacknowledged, with `BREVET_MAX_OVERDUE` set to 0."""
    await_free(AGENT.role)
    for overdue_s in OVERDUE_S:
        until(lambda: not under_way(), "every other grant has ended")
        with runner.settings(*FUNCTIONS, BREVET_OVERDUE_S=str(overdue_s), BREVET_MAX_OVERDUE="0"):
            world.await_ready()
            found = refuse(world, overdue_s)
        world.await_ready()
        if found:
            return found
    raise AssertionError(f"no fetch was answered within {OVERDUE_S[-1]} s after a release")


def test_too_many_overdue_grants_stop_all_issuing_with_a_reason(stuck: dict[str, Any]) -> None:
    assert stuck["early"].status == 200, str(stuck["early"])
    for answer in (stuck["all"], stuck["all elsewhere"]):
        assert (answer.status, answer.problem) == (503, "issuing-stopped"), str(answer)
        assert answer.body["code"] == "too_many_overdue"
        assert int(answer.headers["Retry-After"]) > 0
        assert stuck["grant"] not in answer.body["detail"]
    health = stuck["health"]
    assert (health.status, health.body["stopped_by"], health.body["n_overdue"]) == (503, "too_many_overdue", 1)
    assert "grt_" not in str(health.body)


def test_acknowledged_overdue_grant_stops_only_its_own_role(stuck: dict[str, Any]) -> None:
    assert (stuck["machine"].status, stuck["asking"].status) == (403, 401)
    assert stuck["acknowledged"].status == 200, str(stuck["acknowledged"])
    assert stuck["acknowledged"].body["acknowledged"]["by"] == RESPONSIBLE
    assert stuck["elsewhere"].status == 200
    own = stuck["own"]
    assert (own.status, own.problem, own.body["code"]) == (503, "issuing-stopped", "principal_overdue"), str(own)
    # The detail may name the overdue grant, since it is the caller's own.
    assert stuck["grant"] in own.body["detail"]
    health = stuck["health after"]
    assert (health.status, health.body["n_overdue"], health.body["n_unacknowledged"]) == (200, 1, 0), str(health)
    assert (stuck["state"]["state"], stuck["state"]["revoking"]["acknowledged"]["by"]) == ("Revoking", RESPONSIBLE)


def test_issuing_resumes_once_the_overdue_end_is_proved(stuck: dict[str, Any]) -> None:
    assert stuck["recovered"].status == 200
    events = [entry["event"] for entry in store.snapshot().evidence[stuck["grant"]]]
    assert events.count("OverdueAcknowledged") == 1
    health = stuck["health at last"]
    assert (health.status, health.body["n_overdue"]) == (200, 0), str(health)
