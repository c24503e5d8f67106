"""Secrets that a grant could read are rotated after its end is proved; the rotation never delays the end.

LocalStack runs no rotation function, and refuses `RotateSecret` for a secret without one. So each first call fails, and
the failure is recorded. Then the test does the rotation function's work: it makes the version named by the call's token
the current one. Rotations under way, and two rotations in turn, are tested only with the fakes and a stub of Secrets
Manager.
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
    """Waits until the only rotation of a grant `fits`; returns that rotation."""

    def fitting() -> dict[str, Any] | None:
        rotations = world.show(AGENT, grant).get("rotations")
        return rotations[0] if rotations and fits(rotations[0]) else None

    return until(fitting, f"the rotation after {grant} {what}", every_s=1)


def recorded(world: World, grant: str, event: str) -> list[dict[str, Any]]:
    _, entries = world.api.evidence(world.token(AGENT.identity), grant)
    return [entry for entry in entries if entry["event"] == event]


def begin(world: World, _tasks: Tasks) -> str:
    """Uses and releases a grant and waits for its end; returns its id."""
    grant = world.approved(AGENT, term_s=TERM_S)
    assert AGENT.use(world.session(AGENT, grant)).outcome == "allowed"
    active = world.show(AGENT, grant)
    assert "rotations" not in active and [one["times"] for one in active["rotate"]] == [1]
    assert world.release(AGENT, grant).status == 202
    # The grant ends before its deadline, although its rotation fails.
    ended = world.await_state(AGENT, grant, "Ended")
    assert instant(ended["end"]["verified_at"]) < instant(active["deadline"])
    return grant


@pytest.fixture(scope="module")
def troubled(world: World, begun: dict[str, Future[str]]) -> tuple[str, dict[str, Any]]:
    """An ended grant and its rotation, which was refused."""
    grant = begun["test_rotation"].result()
    return grant, await_rotation(world, grant, "was refused", lambda one: "last_problem" in one)


def test_failed_rotation_is_recorded_and_retried(world: World, troubled: tuple[str, dict[str, Any]]) -> None:
    grant, one = troubled
    assert one["secret"].endswith(f":secret:{targets.SECRET}-??????")
    assert (one["done"], one["times"]) == (0, 1) and one["attempts"] >= 1
    assert "`secretsmanager:RotateSecret` was refused" in one["last_problem"] and one["next_at"]
    (first, *_) = recorded(world, grant, "RotationRecorded")
    assert first["state"] == "Ended"


def test_rotation_is_done_once_its_version_is_current(world: World, troubled: tuple[str, Any]) -> None:
    grant, _ = troubled
    secrets = Session.admin().client("secretsmanager")
    current: set[str] = set()

    def is_done(one: dict[str, Any]) -> bool:
        # The reaper may have called again meanwhile, with a new token.
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
