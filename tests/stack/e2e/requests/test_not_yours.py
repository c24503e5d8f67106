"""Another identity's grant looks like an unknown grant and stays unchanged."""

from __future__ import annotations

import pytest

from observer.world import AGENT, PIPELINE, World

STRANGERS = ("ana", "omar", "remediation-agent")


@pytest.fixture(scope="module")
def grant(world: World) -> str:
    return world.approved(PIPELINE)


@pytest.mark.parametrize("who", STRANGERS)
def test_foreign_grant_is_not_found(world: World, grant: str, who: str) -> None:
    api = world.api
    answers = {
        "show": api.show(world.token(who), grant),
        "evidence": api.call("GET", f"/v1/grants/{grant}/evidence", world.token(who)),
        "release": api.release(world.token(who), grant),
        "credentials": api.credentials(world.credentials_token(who), grant),
        "approve": api.vote(world.vote_token(who), grant, "0" * 64),
    }
    for route, answer in answers.items():
        assert (answer.status, answer.problem) == (404, "not-found"), f"{route}: {answer}"
    assert world.show(PIPELINE, grant)["state"] == "Approved"


def test_foreign_and_unknown_grants_get_the_same_answer(world: World, grant: str) -> None:
    unknown = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    foreign_answer = world.api.show(world.token("ana"), grant).body
    unknown_answer = world.api.show(world.token("ana"), unknown).body
    detail = foreign_answer["detail"].replace(grant, unknown)
    assert {**foreign_answer, "detail": detail, "grant": None} == {**unknown_answer, "grant": None}


def test_list_contains_only_the_callers_grants(world: World, grant: str) -> None:
    def listed(who: str) -> set[str]:
        return {one["id"] for one in world.api.call("GET", "/v1/grants?limit=100", world.token(who)).body["grants"]}

    assert grant in listed(PIPELINE.identity)
    assert grant not in listed(AGENT.identity)


def test_another_task_of_the_same_identity_gets_no_credentials(world: World) -> None:
    grant = world.approved(PIPELINE, task="run-1")
    other = world.api.credentials(world.credentials_token(PIPELINE.identity, task="run-2"), grant)
    assert (other.status, other.problem) == (403, "forbidden"), str(other)
    own = world.api.credentials(world.credentials_token(PIPELINE.identity, task="run-1"), grant)
    assert own.status == 200, str(own)


def test_owner_reads_and_releases_but_gets_no_credentials(world: World) -> None:
    grant = world.approved(PIPELINE)
    assert world.api.show(world.token("dana"), grant).status == 200
    fetched = world.api.credentials(world.credentials_token("dana"), grant)
    assert (fetched.status, fetched.problem) == (404, "not-found"), str(fetched)
    assert world.api.release(world.token("dana"), grant).status == 202
    view = world.await_state(PIPELINE, grant, "Withdrawn")
    assert "vends" not in view
