"""An end that AWS refuses for too long stops new access on its own role, and nowhere else; it goes on by itself.

The functions take an end for overdue sooner than the template says, so that nobody has to wait three minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from observer import gate, runner, store
from observer.client import Answer
from observer.world import AGENT, ONCALL, Case, World

from lives import deny_of, ended_early, in_use
from faulting import PUT_DENY, await_free

OVERDUE_S = 20
FUNCTIONS = ("intake", "evaluate", "issue", "reap")
IN_CHARGE = "omar"


@pytest.fixture(scope="module")
def impatient(world: World) -> Iterator[None]:
    """An end that takes longer than `OVERDUE_S` is overdue, and one overdue grant that nobody knows of is too many."""
    with runner.settings(*FUNCTIONS, BREVET_OVERDUE_S=str(OVERDUE_S), BREVET_MAX_OVERDUE="0"):
        world.await_ready()
        yield
    world.await_ready()


def fetched_until(world: World, grant: str, status: int, within_s: float, case: Case = AGENT) -> Answer:
    """What a fetch is answered, once that has this status."""
    until = time.monotonic() + within_s
    while (answer := world.fetch(case, grant)).status != status:
        assert time.monotonic() < until, f"expected {status} within {within_s:.0f} s, saw {answer}"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def stuck(world: World, impatient: None) -> dict[str, Any]:
    """What was seen while the deny of a released grant was refused, and then no more."""
    await_free(AGENT.role)
    grant, session = in_use(world, AGENT)
    waiting, elsewhere = world.approved(AGENT, term_s=240), world.approved(ONCALL, term_s=240)
    rule = {"id": "deny-refused", "kind": "refuse", "times": 1000, **deny_of(AGENT, grant), **PUT_DENY}
    found: dict[str, Any] = {"grant": grant, "session": session}
    with gate.faults(rule):
        assert world.release(AGENT, grant).status == 202
        # The control: refused, but not for long enough.
        found["early"] = world.fetch(AGENT, waiting)
        found["all"] = fetched_until(world, waiting, 503, within_s=OVERDUE_S + 15)
        found["health"] = world.api.health()
        found["all elsewhere"] = world.fetch(ONCALL, elsewhere)
        found["machine"] = world.api.acknowledge(world.vote_token(AGENT.identity), grant)
        found["asking"] = world.api.acknowledge(world.token(IN_CHARGE), grant)
        found["acknowledged"] = world.api.acknowledge(world.vote_token(IN_CHARGE), grant)
        found["elsewhere"] = fetched_until(world, elsewhere, 200, within_s=15, case=ONCALL)
        found["own"] = world.fetch(AGENT, waiting)
        found["health after"] = world.api.health()
        found["state"] = world.show(AGENT, grant)
    # Nobody resets anything.
    found["recovered"] = fetched_until(world, waiting, 200, within_s=100)
    return found


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


def test_it_goes_on_by_itself_once_the_end_is_proved(world: World, stuck: dict[str, Any]) -> None:
    ended_early(world, AGENT, stuck["grant"], stuck["session"], within_s=1)
    assert AGENT.use(stuck["session"]).outcome == "denied"
    events = [entry["event"] for entry in store.snapshot().evidence[stuck["grant"]]]
    assert events.count("OverdueAcknowledged") == 1
    health = world.api.health()
    assert (health.status, health.body["n_overdue"]) == (200, 0), str(health)
