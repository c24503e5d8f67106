"""The five cases from request to proof of ending, on real calls: S3, DynamoDB, Secrets Manager."""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import gate, runner, store
from observer.aws import Session
from observer.world import AGENT, ONCALL, PIPELINE, VENDOR, Case, World, instant

from lives import Lives, early_release, ended_early


@pytest.mark.parametrize("case", [PIPELINE, ONCALL], ids=lambda case: case.identity)
def test_access_lasts_until_the_deadline_and_its_end_is_proved(lives: Lives, case: Case) -> None:
    life = lives.of(case)
    assert (life.during.outcome, life.late.outcome, life.after.outcome) == ("allowed", "allowed", "denied")
    end = life.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "by_construction", "time_limit")
    assert instant(end["proof"]["deadline"]) == life.deadline < instant(end["proof"]["aws_date"])


@pytest.mark.parametrize("case", [PIPELINE, AGENT, ONCALL], ids=lambda case: case.identity)
def test_the_session_reaches_what_was_granted_and_no_neighbour(world: World, case: Case) -> None:
    session = world.session(case, world.approved(case))
    assert case.use(session).outcome == "allowed"
    assert case.use_neighbour(session).outcome == "denied"
    # The control: the session role without a session policy does reach the neighbour, so the policy is what narrows.
    base = Session.assumed(runner.role_arn(case.role), "base.control")
    assert case.use(base).outcome == "allowed"
    assert case.use_neighbour(base).outcome == "allowed"


def test_an_inline_attachment_is_denied_then_allowed_then_denied_at_its_deadline(lives: Lives) -> None:
    life = lives.attached("batch")
    seen = [one.outcome for one in (life.before, life.during, life.neighbour, life.late, life.past, life.after)]
    assert seen == ["denied", "allowed", "denied", "allowed", "denied", "denied"]
    assert 0 <= life.past.at - life.deadline < 1
    assert [one.outcome for one in life.own] == ["allowed"] * 4
    end = life.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "observed", "time_limit")
    assert end["effective"] == {"outcome": "not_allowed"}


def test_of_two_overlapping_managed_grants_the_first_hands_over_and_the_last_detaches(lives: Lives) -> None:
    first, second = lives.attached("first vendor"), lives.attached("second vendor")
    assert [one.outcome for one in (first.before, first.during, first.neighbour)] == ["denied", "allowed", "denied"]
    end = first.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "handed_over", "hand_over")
    assert end["proof"]["holders"] == [second.grant]
    assert end["effective"] == {"outcome": "not_allowed", "but_by": [second.grant]}
    # The access stays for the second until its own end.
    assert first.after.at < second.deadline
    assert (first.after.outcome, second.late.outcome, second.after.outcome) == ("allowed", "allowed", "denied")
    end = second.ended["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("deadline", "observed", "removal")
    assert end["effective"] == {"outcome": "not_allowed"}
    assert [one.outcome for one in first.own + second.own] == ["allowed"] * 8
    # Two attached it, one detached it.
    role = runner.role_arn(VENDOR.role)
    writes = [c for c in gate.log() if (c["wrote"] or {}).get("role") == role and "policy_arn" in c["wrote"]]
    assert [c["operation"] for c in writes] == ["AttachRolePolicy", "AttachRolePolicy", "DetachRolePolicy"]


@pytest.fixture(scope="module")
def released(world: World) -> dict[str, tuple[str, Session, float]]:
    """A grant of each case that was given back while its deadline was far ahead."""
    found = {}
    for case in (AGENT, ONCALL):
        grant, session = early_release(world, case)
        seen = world.await_use(case, session, "denied", within_s=20)
        found[case.role] = (grant, session, seen.at)
    return found


@pytest.mark.parametrize("case", [AGENT, ONCALL], ids=lambda case: case.identity)
def test_a_release_ends_access_before_the_deadline(world: World, released: dict[str, Any], case: Case) -> None:
    grant, session, denied_at = released[case.role]
    entries = store.snapshot().evidence[grant]
    deadline = next(entry["detail"]["deadline"] for entry in entries if entry["event"] == "VendRecorded")
    assert denied_at < instant(deadline)
    ended_early(world, case, grant, session)
    assert time.time() < instant(deadline)
    # Another grant on the same role goes on: only this session was ended.
    other = world.session(case, world.approved(case))
    assert case.use(other).outcome == "allowed"


def test_a_grant_released_before_use_is_withdrawn(world: World) -> None:
    grant = world.approved(PIPELINE)
    assert world.release(PIPELINE, grant).status == 202
    view = world.await_state(PIPELINE, grant, "Withdrawn", within_s=20)
    assert "vends" not in view
    assert world.fetch(PIPELINE, grant).status == 410


def test_credentials_can_be_fetched_again_under_the_same_deadline(world: World) -> None:
    grant = world.approved(PIPELINE)
    first = world.fetch(PIPELINE, grant)
    time.sleep(1.1)
    second = world.fetch(PIPELINE, grant)
    assert (first.status, second.status) == (200, 200)
    assert first.body["Expiration"] == second.body["Expiration"]
    assert first.body["AccessKeyId"] != second.body["AccessKeyId"]
    assert second.headers["Cache-Control"] == "no-store"
    assert world.show(PIPELINE, grant)["vends"]["count"] == 2
