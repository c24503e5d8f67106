"""Delegation: a grant on a human's behalf requires that human's stored delegation, and ends with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from observer.client import Answer
from observer.world import AGENT, ONCALL, World

WHAT = "read-shop-orders"
HUMAN = ONCALL.identity
ASK = {
    "entitlement": WHAT,
    "parameters": {"shop": "north", "day": "2026-11-21", "part": "7"},
    "term_s": 300,
    "ticket": None,
    "justification": "order 4711 was charged twice",
    "on_behalf_of": HUMAN,
}


def in_an_hour() -> str:
    return datetime.fromtimestamp(time.time() + 3_600, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def delegate(world: World, token: str, body: Any = None, to: str = AGENT.identity) -> Answer:
    given = {"entitlements": [WHAT], "until": in_an_hour()} if body is None else body
    return world.api.call("PUT", f"/v1/delegations/{to}", token, given)


def end(world: World, by: str = HUMAN) -> Answer:
    return world.api.call("DELETE", f"/v1/delegations/{AGENT.identity}", world.vote_token(by))


@pytest.fixture
def delegated(world: World) -> Iterator[dict[str, Any]]:
    answer = delegate(world, world.vote_token(HUMAN))
    assert answer.status == 200, str(answer)
    try:
        yield answer.body
    finally:
        end(world)


def test_request_on_behalf_is_denied_without_a_stored_delegation(world: World) -> None:
    answer = world.ask(AGENT, **ASK)
    assert (answer.status, answer.problem) == (403, "denied"), str(answer)
    assert "must store a delegation first" in answer.body["detail"]


def test_delegation_needs_a_human_and_a_vote_token(world: World) -> None:
    for token, status in (
        (world.token(HUMAN), 401),
        (world.credentials_token(HUMAN), 401),
        (world.vote_token(AGENT.identity), 403),
    ):
        answer = delegate(world, token)
        assert answer.status == status, str(answer)
    assert delegate(world, world.vote_token(HUMAN), to="lea").status == 422


def test_delegated_request_needs_approval_by_somebody_other_than_the_delegator(
    world: World, delegated: dict[str, Any]
) -> None:
    asked = world.ask(AGENT, **ASK)
    assert asked.status == 202, str(asked)
    assert [step["approvers"] for step in asked.body["approval"]["steps"]] == [["lea"]]
    assert asked.body["delegation"] == {"by": HUMAN, "version": delegated["version"], "digest": delegated["digest"]}
    own = world.approve(asked.body, by=HUMAN)
    assert (own.status, own.body["code"]) == (403, "approver_is_requester"), str(own)
    assert world.approve(asked.body, by="lea").body["state"] == "Approved"
    assert world.release(AGENT, asked.body["id"]).status == 202


def test_end_of_a_delegation_revokes_its_grants(world: World, delegated: dict[str, Any]) -> None:
    asked = world.ask(AGENT, **ASK)
    assert world.approve(asked.body, by="lea").body["state"] == "Approved"
    grant = asked.body["id"]
    world.session(AGENT, grant)
    ended = end(world)
    assert (ended.status, ended.body["in_force"]) == (200, False), str(ended)
    late = world.fetch(AGENT, grant)
    assert (late.status, late.problem) == (410, "over"), str(late)
    view = world.await_state(AGENT, grant, "Ended")
    assert (view["end"]["cause"], view["end"]["proof"]["kind"]) == ("revoked", "observed")
