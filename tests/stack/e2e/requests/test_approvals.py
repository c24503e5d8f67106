"""Approval: by an eligible approver, for the digest shown, and in time. Nothing is issued before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from observer import store
from observer.world import AGENT, APPROVER, BYSTANDER, ONCALL, World

from lives import LONG_S, Lives


@pytest.fixture
def awaited(world: World) -> Iterator[dict[str, Any]]:
    answer = world.ask(ONCALL, term_s=LONG_S)
    assert (answer.status, answer.body["state"]) == (202, "ApprovalAwaited"), str(answer)
    assert int(answer.headers["Retry-After"]) > 0
    try:
        yield answer.body
    finally:
        # The release stays below the limit of concurrent grants.
        world.release(ONCALL, answer.body["id"])


def still_awaited(world: World, grant: str) -> bool:
    decision = next(i for i in store.items() if i["pk"] == f"DECISION#{grant}")
    return world.show(ONCALL, grant)["state"] == "ApprovalAwaited" and int(decision.get("n_votes", 0)) == 0


def test_credentials_are_issued_only_after_approval(world: World, awaited: dict[str, Any]) -> None:
    early = world.fetch(ONCALL, awaited["id"])
    assert (early.status, early.problem) == (409, "conflict"), str(early)
    assert world.approve(awaited).body["state"] == "Approved"
    session = world.session(ONCALL, awaited["id"])
    assert ONCALL.use(session).outcome == "allowed"


def test_requester_cannot_approve_their_own_request(world: World, awaited: dict[str, Any]) -> None:
    answer = world.approve(awaited, by=ONCALL.identity)
    assert (answer.status, answer.problem) == (403, "forbidden"), str(answer)
    # A built-in rule, which holds whatever the policies say.
    assert answer.body["code"] == "approver_is_requester"
    assert still_awaited(world, awaited["id"])


def test_sponsor_cannot_approve_the_requesters_request(world: World) -> None:
    asked = world.ask(AGENT, ticket=None)
    assert asked.body["state"] == "ApprovalAwaited", str(asked)
    answer = world.approve(asked.body, by="rui")
    assert (answer.status, answer.problem) == (403, "forbidden"), str(answer)
    assert answer.body["code"] == "approver_is_sponsor"
    assert world.show(AGENT, asked.body["id"])["state"] == "ApprovalAwaited"
    # The control: somebody else from the right team may.
    assert world.approve(asked.body, by=APPROVER).body["state"] == "Approved"


def test_bystander_cannot_approve(world: World, awaited: dict[str, Any]) -> None:
    answer = world.approve(awaited, by=BYSTANDER)
    assert (answer.status, answer.problem) == (404, "not-found"), str(answer)
    assert still_awaited(world, awaited["id"])


def test_vote_for_another_digest_is_a_conflict(world: World, awaited: dict[str, Any]) -> None:
    for digest in ("0" * 64, awaited["bundle"]):
        answer = world.approve({**awaited, "digest": digest})
        assert (answer.status, answer.problem) == (409, "conflict"), str(answer)
    assert still_awaited(world, awaited["id"])


@pytest.mark.parametrize(
    "body",
    [
        {"approve": "yes", "digest": "0" * 64},
        {"approve": True, "digest": "0" * 63},
        {"approve": True, "digest": "X" * 64},
        {"approve": True},
        {"digest": "0" * 64},
        {"approve": True, "digest": "0" * 64, "by": "omar"},
        [],
    ],
    ids=str,
)
def test_malformed_ballot_is_rejected(world: World, awaited: dict[str, Any], body: Any) -> None:
    answer = world.api.call("POST", f"/v1/grants/{awaited['id']}/approvals", world.vote_token(APPROVER), body)
    assert answer.status in (400, 422) and answer.problem in ("malformed", "invalid"), str(answer)
    assert still_awaited(world, awaited["id"])


def test_a_refusal_is_final(world: World, awaited: dict[str, Any]) -> None:
    assert world.approve(awaited, approve=False).body["state"] == "Denied"
    late = world.approve(awaited, by="lea")
    assert (late.status, late.problem) == (409, "conflict"), str(late)
    fetched = world.fetch(ONCALL, awaited["id"])
    assert (fetched.status, fetched.problem) == (403, "denied"), str(fetched)


def test_a_vote_counts_once(world: World, awaited: dict[str, Any]) -> None:
    assert world.approve(awaited).status == 200
    assert world.approve(awaited).status == 200
    decision = next(item for item in store.items() if item["pk"] == f"DECISION#{awaited['id']}")
    assert int(decision["n_votes"]) == 1


def test_approval_past_its_deadline_is_a_conflict(world: World, lives: Lives) -> None:
    late = lives.late_vote()
    assert (late.status, late.problem) == (409, "conflict"), str(late)
    view = world.await_state(ONCALL, lives.unapproved, "Lapsed")
    assert "vends" not in view
    fetched = world.fetch(ONCALL, lives.unapproved)
    assert (fetched.status, fetched.problem) == (410, "over"), str(fetched)
