"""Secrets that a grant could read are rotated once its end is proved, visibly, and never in the way of the end.

Locally nothing rotates: LocalStack runs no rotation function, and refuses `RotateSecret` of a secret without one. So each
first call is seen to fail, and to be told. Then the test does what the function would have: it makes the version that the
call's token names the current one. Rotations that are under way, and two of them in turn, are shown over the fakes and a
stub of Secrets Manager alone.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import targets
from observer.aws import Session
from observer.world import AGENT, World

# A call's fence and the longest wait after a first trouble, and a tick each.
LOOKED_AT_WITHIN_S = 120


def await_rotation(world: World, grant: str, wanted: Any) -> dict[str, Any]:
    """The one rotation of a grant, once it is as wanted."""
    until = time.monotonic() + LOOKED_AT_WITHIN_S
    while True:
        (one,) = world.show(AGENT, grant)["rotations"]
        if wanted(one):
            return one
        assert time.monotonic() < until, f"still {one}"
        time.sleep(1)


def recorded(world: World, grant: str, event: str) -> list[dict[str, Any]]:
    _, entries = world.api.evidence(world.token(AGENT.identity), grant)
    return [entry for entry in entries if entry["event"] == event]


@pytest.fixture(scope="module")
def troubled(world: World) -> tuple[str, dict[str, Any]]:
    """A grant that was used and given back, whose rotation was asked for and refused."""
    grant = world.approved(AGENT)
    assert AGENT.use(world.session(AGENT, grant)).outcome == "allowed"
    active = world.show(AGENT, grant)
    assert "rotations" not in active and [one["times"] for one in active["rotate"]] == [1]
    assert world.release(AGENT, grant).status == 202
    # No later than any other end, although no rotation works here.
    world.await_state(AGENT, grant, "Ended", within_s=30)
    return grant, await_rotation(world, grant, lambda one: "last_problem" in one)


def test_a_rotation_that_fails_is_told_and_tried_again(world: World, troubled: tuple[str, dict[str, Any]]) -> None:
    grant, one = troubled
    assert one["secret"].endswith(f":secret:{targets.SECRET}-??????")
    assert (one["done"], one["times"], one["attempts"]) == (0, 1, 1)
    assert "`secretsmanager:RotateSecret` was refused" in one["last_problem"] and one["next_at"]
    (first, *_) = recorded(world, grant, "RotationRecorded")
    assert first["state"] == "Ended"


def test_it_is_done_once_the_version_that_it_asked_for_is_the_current_one(world: World, troubled: tuple[str, Any]) -> None:
    grant, _ = troubled
    token = recorded(world, grant, "RotationRecorded")[-1]["detail"]["token"]
    Session.admin().client("secretsmanager").put_secret_value(
        SecretId=targets.SECRET, ClientRequestToken=token, SecretString="fresh", VersionStages=["AWSCURRENT"]
    )
    one = await_rotation(world, grant, lambda one: one["done"] == 1)
    assert "next_at" not in one and "last_problem" not in one
    (seen,) = recorded(world, grant, "RotationObserved")
    assert seen["detail"]["token"] == token
