"""An end that AWS refuses for too long stops new access on its own role, and nowhere else; it goes on by itself.

The functions take an end for overdue sooner than the template says, so that nobody has to wait three minutes.
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

# With so little patience first, and with more if the machine is too slow to show that an end is not overdue at once.
OVERDUE_S = (20, 60, 180)
FUNCTIONS = ("intake", "evaluate", "issue", "reap")
IN_CHARGE = "omar"


def fetched_until(world: World, grant: str, status: int, case: Case = AGENT) -> Answer:
    """What a fetch is answered, once that has this status."""
    found: list[Answer] = []

    def is_so() -> bool:
        found[:] = [world.fetch(case, grant)]
        return found[0].status == status

    until(is_so, f"a fetch is answered {status}")
    return found[0]


def under_way() -> set[str]:
    """The grants that may come to an end by themselves meanwhile."""
    grants = store.snapshot().grants
    return {grant for grant, body in grants.items() if body["state"]["name"] in ("activating", "active", "revoking")}


def refuse(world: World, overdue_s: int) -> dict[str, Any] | None:
    """What is seen while the deny of a released grant is refused, and then no more.

    Nothing, if no fetch was answered before the end was overdue.
    """
    grant, session = in_use(world, AGENT)
    # One is in use all the while; of the others the term begins with the first fetch that is answered.
    waiting, later, elsewhere = (world.approved(case, term_s=LONG_S) for case in (AGENT, AGENT, ONCALL))
    rule = {"id": "deny-refused", "kind": "refuse", "times": 10_000, **deny_of(AGENT, grant), **PUT_DENY}
    found: dict[str, Any] = {"grant": grant, "session": session}
    with gate.faults(rule):
        assert world.release(AGENT, grant).status == 202
        # The control: refused, but not for long enough.
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
            found["asking"] = world.api.acknowledge(world.token(IN_CHARGE), grant)
            found["acknowledged"] = world.api.acknowledge(world.vote_token(IN_CHARGE), grant)
            found["elsewhere"] = fetched_until(world, elsewhere, 200, case=ONCALL)
            found["own"] = world.fetch(AGENT, later)
            found["health after"] = world.api.health()
            found["state"] = world.show(AGENT, grant)
    # Nobody resets anything.
    found["recovered"] = fetched_until(world, later, 200)
    found["end"] = ended_early(world, AGENT, grant, session)
    found["health at last"] = world.api.health()
    for case, one in ((AGENT, waiting), (AGENT, later), (ONCALL, elsewhere)):
        world.release(case, one)
    return found if is_early else None


@pytest.fixture(scope="module")
def stuck(world: World) -> dict[str, Any]:
    """What was seen while an end took longer than it may, and one overdue grant that nobody knew of was too many."""
    await_free(AGENT.role)
    for overdue_s in OVERDUE_S:
        until(lambda: not under_way(), "every grant that others used has ended")
        with runner.settings(*FUNCTIONS, BREVET_OVERDUE_S=str(overdue_s), BREVET_MAX_OVERDUE="0"):
            world.await_ready()
            found = refuse(world, overdue_s)
        world.await_ready()
        if found:
            return found
    raise AssertionError(f"no fetch was answered within {OVERDUE_S[-1]} s after a release")


def test_one_overdue_grant_too_many_stops_everything_and_says_so(stuck: dict[str, Any]) -> None:
    assert stuck["early"].status == 200, str(stuck["early"])
    for answer in (stuck["all"], stuck["all elsewhere"]):
        assert (answer.status, answer.problem) == (503, "issuing-stopped"), str(answer)
        assert answer.body["code"] == "too_many_overdue"
        assert int(answer.headers["Retry-After"]) > 0
        assert stuck["grant"] not in answer.body["detail"]
    health = stuck["health"]
    assert (health.status, health.body["stopped_by"], health.body["n_overdue"]) == (503, "too_many_overdue", 1)
    assert "grt_" not in str(health.body)


def test_once_somebody_in_charge_knows_it_stops_its_own_role_alone(stuck: dict[str, Any]) -> None:
    assert (stuck["machine"].status, stuck["asking"].status) == (403, 401)
    assert stuck["acknowledged"].status == 200, str(stuck["acknowledged"])
    assert stuck["acknowledged"].body["acknowledged"]["by"] == IN_CHARGE
    assert stuck["elsewhere"].status == 200
    own = stuck["own"]
    assert (own.status, own.problem, own.body["code"]) == (503, "issuing-stopped", "principal_overdue"), str(own)
    # It is the caller's own grant that stands in the way.
    assert stuck["grant"] in own.body["detail"]
    health = stuck["health after"]
    assert (health.status, health.body["n_overdue"], health.body["n_unacknowledged"]) == (200, 1, 0), str(health)
    assert (stuck["state"]["state"], stuck["state"]["revoking"]["acknowledged"]["by"]) == ("Revoking", IN_CHARGE)


def test_it_goes_on_by_itself_once_the_end_is_proved(stuck: dict[str, Any]) -> None:
    assert stuck["recovered"].status == 200
    events = [entry["event"] for entry in store.snapshot().evidence[stuck["grant"]]]
    assert events.count("OverdueAcknowledged") == 1
    health = stuck["health at last"]
    assert (health.status, health.body["n_overdue"]) == (200, 0), str(health)
