"""Secrets that a grant could read are rotated once its end is proved, visibly, and never in the way of the end.

Locally nothing rotates: LocalStack runs no rotation function, and refuses `RotateSecret` of a secret without one. So each
first call is seen to fail, and its failure to be recorded. Then the test does what the function would have: it makes the version that the
call's token names the current one. Rotations that are under way, and two of them in turn, are shown over the fakes and a
stub of Secrets Manager alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from observer import targets
from observer.aws import Session
from observer.patience import until
from observer.world import AGENT, World, instant

from attachments import Tasks

TERM_S = 300


def await_rotation(world: World, grant: str, what: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The one rotation of a grant, once it `fits`."""

    def look() -> dict[str, Any] | None:
        rotations = world.show(AGENT, grant).get("rotations")
        return rotations[0] if rotations and fits(rotations[0]) else None

    return until(look, f"the rotation after {grant} {what}", every_s=1)


def recorded(world: World, grant: str, event: str) -> list[dict[str, Any]]:
    _, entries = world.api.evidence(world.token(AGENT.identity), grant)
    return [entry for entry in entries if entry["event"] == event]


def begin(world: World, _tasks: Tasks) -> str:
    """A grant that was used and given back, and has ended."""
    grant = world.approved(AGENT, term_s=TERM_S)
    assert AGENT.use(world.session(AGENT, grant)).outcome == "allowed"
    active = world.show(AGENT, grant)
    assert "rotations" not in active and [one["times"] for one in active["rotate"]] == [1]
    assert world.release(AGENT, grant).status == 202
    # Before its deadline as any other end, although no rotation works here.
    ended = world.await_state(AGENT, grant, "Ended")
    assert instant(ended["end"]["verified_at"]) < instant(active["deadline"])
    return grant


@pytest.fixture(scope="module")
def troubled(world: World, begun: dict[str, Future[str]]) -> tuple[str, dict[str, Any]]:
    """A grant that has ended, whose rotation was asked for and refused."""
    grant = begun["test_rotation"].result()
    return grant, await_rotation(world, grant, "was refused", lambda one: "last_problem" in one)


def test_a_rotation_that_fails_is_recorded_and_tried_again(world: World, troubled: tuple[str, dict[str, Any]]) -> None:
    grant, one = troubled
    assert one["secret"].endswith(f":secret:{targets.SECRET}-??????")
    assert (one["done"], one["times"]) == (0, 1) and one["attempts"] >= 1
    assert "`secretsmanager:RotateSecret` was refused" in one["last_problem"] and one["next_at"]
    (first, *_) = recorded(world, grant, "RotationRecorded")
    assert first["state"] == "Ended"


def test_it_is_done_once_the_version_that_it_asked_for_is_the_current_one(world: World, troubled: tuple[str, Any]) -> None:
    grant, _ = troubled
    secrets = Session.admin().client("secretsmanager")
    current: set[str] = set()

    def is_done(one: dict[str, Any]) -> bool:
        # Meanwhile it may have been asked for again.
        token = recorded(world, grant, "RotationRecorded")[-1]["detail"]["token"]
        if one["done"] == 0 and token not in current:
            secrets.put_secret_value(
                SecretId=targets.SECRET, ClientRequestToken=token, SecretString="fresh", VersionStages=["AWSCURRENT"]
            )
            current.add(token)
        return one["done"] == 1

    one = await_rotation(world, grant, "is done", is_done)
    assert "next_at" not in one and "last_problem" not in one
    (seen,) = recorded(world, grant, "RotationObserved")
    assert seen["detail"]["token"] in current
