"""The five cases from request to proof of ending, with real calls to S3, DynamoDB and Secrets Manager."""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import runner, store, tries
from observer.aws import Session
from observer.world import AGENT, BATCH, ONCALL, PIPELINE, VENDOR, Case, World, instant

from lives import LONG_S, Lives, deadline_of, early_release, ended_early, in_use


@pytest.mark.parametrize("case", [PIPELINE, ONCALL], ids=lambda case: case.identity)
def test_access_lasts_until_the_deadline_and_its_end_is_proved(lives: Lives, case: Case) -> None:
    life = lives.of(case)
    assert life.granted.before(life.deadline) == {"allowed"} and life.neighbour.before(life.deadline) == {"denied"}
    assert life.granted.since(life.deadline) == {"denied"}
    end = life.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "by_construction", "time_limit")
    assert instant(end["proof"]["deadline"]) == life.deadline < instant(end["proof"]["aws_date"])


@pytest.mark.parametrize("case", [PIPELINE, AGENT, ONCALL], ids=lambda case: case.identity)
def test_session_reaches_the_granted_resource_and_no_neighbour(world: World, case: Case) -> None:
    grant, session = in_use(world, case)
    assert case.use_neighbour(session).outcome == "denied"
    assert world.release(case, grant).status == 202
    # The control: without a session policy the session role reaches the neighbour, so the session policy is what denies
    # it.
    base = Session.assumed(runner.role_arn(case.role), "base.control")
    assert case.use(base).outcome == "allowed"
    assert case.use_neighbour(base).outcome == "allowed"


def test_an_inline_attachment_is_denied_then_allowed_then_denied_at_its_deadline(lives: Lives) -> None:
    life = lives.of(BATCH)
    started = next(one for one in store.snapshot().evidence[life.grant] if one["event"] == "ActivationRecorded")
    assert life.granted.before(instant(started["at"])) == {"denied"}
    assert life.granted.between(life.active_at, life.deadline) == {"allowed"}
    assert life.granted.since(life.deadline) == {"denied"}
    assert life.neighbour.since(0) == {"denied"} and life.own.since(0) == {"allowed"}
    end = life.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "observed", "time_limit")
    assert end["effective"] == {"outcome": "not_allowed"}


def test_of_two_overlapping_managed_grants_the_first_hands_over_and_the_last_detaches(lives: Lives) -> None:
    first, second = lives.overlapping()
    evidence = store.snapshot().evidence
    started = next(one for one in evidence[first.grant] if one["event"] == "ActivationRecorded")
    assert first.granted.before(instant(started["at"])) == {"denied"}
    assert first.granted.between(first.active_at, first.deadline) == {"allowed"}
    end = first.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "handed_over", "hand_over")
    assert end["proof"]["holders"] == [second.grant]
    assert end["effective"] == {"outcome": "not_allowed", "but_by": [second.grant]}
    # The second grant keeps the access until its own end.
    assert second.granted.between(first.ended_at, second.deadline) == {"allowed"}
    assert second.granted.since(second.ended_at) == {"denied"}
    end = second.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "observed", "removal")
    assert end["effective"] == {"outcome": "not_allowed"}
    for life in (first, second):
        assert life.neighbour.since(0) == {"denied"} and life.own.since(0) == {"allowed"}
    # Two grants attached it, and one detached it. Calls without an answer are left out, since they may be repeated.
    role = runner.role_arn(VENDOR.role)
    writes = [
        call["operation"]
        for call in tries.calls()
        if (call["wrote"] or {}).get("role") == role and "policy_arn" in call["wrote"] and call["answered"]
        and instant(call["at"]) >= instant(started["at"])
    ]  # fmt: skip
    assert writes == ["AttachRolePolicy", "AttachRolePolicy", "DetachRolePolicy"]


@pytest.fixture(scope="module")
def released(world: World) -> dict[str, tuple[str, Session]]:
    """A grant of each case, released long before its deadline."""
    return {case.role: early_release(world, case) for case in (AGENT, ONCALL)}


@pytest.mark.parametrize("case", [AGENT, ONCALL], ids=lambda case: case.identity)
def test_a_release_ends_access_before_the_deadline(world: World, released: dict[str, Any], case: Case) -> None:
    grant, session = released[case.role]
    world.await_use(case, session, "denied")
    view = ended_early(world, case, grant, session)
    judged = tries.uses(tries.calls(), case, session.access_key)
    assert judged.between(instant(view["end"]["verified_at"]), deadline_of(grant)) == {"denied"}
    # Another grant on the same role is not affected: only this session was ended.
    other, session = in_use(world, case)
    assert world.release(case, other).status == 202


def test_a_grant_released_before_use_is_withdrawn(world: World) -> None:
    grant = world.approved(PIPELINE)
    assert world.release(PIPELINE, grant).status == 202
    view = world.await_state(PIPELINE, grant, "Withdrawn")
    assert "vends" not in view
    assert world.fetch(PIPELINE, grant).status == 410


def test_credentials_can_be_fetched_again_under_the_same_deadline(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=LONG_S)
    first = world.fetch(PIPELINE, grant)
    # Long enough for the deadlines to differ, if the second vend had its own.
    time.sleep(1.1)
    second = world.fetch(PIPELINE, grant)
    assert (first.status, second.status) == (200, 200)
    assert first.body["Expiration"] == second.body["Expiration"]
    assert first.body["AccessKeyId"] != second.body["AccessKeyId"]
    assert second.headers["Cache-Control"] == "no-store"
    assert world.show(PIPELINE, grant)["vends"]["count"] == 2
    assert world.release(PIPELINE, grant).status == 202
