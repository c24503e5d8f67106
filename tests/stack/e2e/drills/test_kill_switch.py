"""The kill switch: one identity's grants end at once with proof, others' grants go on; then the block is lifted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from observer import store, tries
from observer.client import Answer
from observer.patience import until
from observer.world import AGENT, PIPELINE, World, instant

import attachments
from attachments import Hold, Tasks
from issuing import in_use
from passes import await_passes

KEY = f"identity:{PIPELINE.identity}"
PLACED_BY, LIFTED_BY = "omar", "lea"
REASON = "its signing key was published by accident"


def place(world: World, token: str | None, scope: Any = None, reason: str = REASON) -> Answer:
    body = {"scope": scope or {"identity": PIPELINE.identity}, "reason": reason}
    return world.api.call("POST", "/v1/revocations", token, body)


def lift(world: World, token: str | None, key: str = KEY) -> Answer:
    return world.api.call("POST", f"/v1/revocations/{key}/lift", token, {"reason": "the key was changed"})


def show(world: World, by: str = PLACED_BY) -> Answer:
    return world.api.call("GET", f"/v1/revocations/{KEY}", world.vote_token(by))


def begin(world: World, tasks: Tasks) -> dict[str, Any]:
    """Gets two live sessions and an attachment of one identity and a session of another, and checks that they go on."""
    first, second = in_use(world, PIPELINE), in_use(world, PIPELINE)
    hold = tasks.ask(attachments.KILLED).await_active()
    other = in_use(world, AGENT)
    # The control: without a block the reaper's passes end nothing.
    await_passes(3)
    for _, session in (first, second):
        world.await_use(PIPELINE, session, "allowed")
    hold.await_use("allowed")
    return {"sessions": [first, second], "hold": hold, "other": other}


@pytest.fixture(scope="module")
def held(begun: dict[str, Future[Any]]) -> dict[str, Any]:
    """The grants in use before the block."""
    return begun["test_kill_switch"].result()


@pytest.fixture(scope="module")
def refused(world: World, held: dict[str, Any]) -> tuple[list[tuple[int, Answer]], set[str]]:
    """The answers to callers who may not use the kill switch, each with its expected status, and the new items."""
    before = {item["pk"] for item in store.items()}
    answers = [
        (status, answer)
        for token, status in [
            (None, 401),
            (world.token(PLACED_BY), 401),
            (world.credentials_token(PLACED_BY), 401),
            (world.vote_token("dana"), 403),
            (world.vote_token(AGENT.identity), 403),
        ]
        for answer in (place(world, token), place(world, token, {"all": True}), lift(world, token))
    ]
    # No block exists that another approver could lift.
    answers.append((403, lift(world, world.vote_token(LIFTED_BY))))
    return answers, {item["pk"] for item in store.items()} - before


@pytest.fixture(scope="module")
def placed(world: World, held: dict[str, Any], refused: object) -> Iterator[dict[str, Any]]:
    """Records answers from the block until the proof that no covered grant is left."""
    try:
        found: dict[str, Any] = {"placed": place(world, world.vote_token(PLACED_BY))}
        found["again"] = place(world, world.vote_token(LIFTED_BY), reason="me too")
        # From here on nothing is vended or approved for the identity.
        grant, _ = held["sessions"][0]
        found |= {"fetched": world.fetch(PIPELINE, grant), "asked": world.ask(PIPELINE)}
        # Real calls that were allowed before are now denied.
        for _, session in held["sessions"]:
            world.await_use(PIPELINE, session, "denied")
        held["hold"].await_use("denied")
        _, other_session = held["other"]
        found["other"] = AGENT.use(other_session)
        # The progress proves and measures that no grant is left.
        found["zero"] = until(lambda: zero(show(world)), "the progress proves that no grant is left", every_s=1)
        yield found
    finally:
        if show(world).body.get("standing"):
            lift(world, world.vote_token(LIFTED_BY))


def zero(answer: Answer) -> dict[str, Any] | None:
    """The progress of the block, once it proves that no grant is left."""
    progress = answer.body["progress"]
    return progress if progress and progress["zero_at"] else None


@pytest.fixture(scope="module")
def lifted(world: World, placed: dict[str, Any]) -> dict[str, Answer]:
    """The answers to two lifts of the block: by the person who placed it, and by another."""
    own = lift(world, world.vote_token(PLACED_BY))
    return {"own": own, "other": lift(world, world.vote_token(LIFTED_BY))}


def test_kill_switch_refuses_machines_bystanders_and_other_tokens(
    refused: tuple[list[tuple[int, Answer]], set[str]],
) -> None:
    answers, created = refused
    for status, answer in answers:
        assert answer.status == status, str(answer)
    assert not [pk for pk in created if pk.startswith(("REVOCATION#", "BLOCK#identity", "BLOCK#all"))]


def test_kill_switch_ends_the_identitys_grants_and_no_others(
    world: World, held: dict[str, Any], placed: dict[str, Any]
) -> None:
    answer: Answer = placed["placed"]
    assert answer.status == 200, str(answer)
    assert (answer.body["key"], answer.body["standing"], answer.body["latest"]["by"]) == (KEY, True, PLACED_BY)
    placed_at = instant(answer.body["latest"]["at"])
    # A second identical block returns the first.
    assert placed["again"].body["latest"] == answer.body["latest"]
    fetched, asked = placed["fetched"], placed["asked"]
    assert (fetched.status, fetched.body["code"]) in ((410, "blocked"), (410, "grant_over"), (409, "not_active")), str(fetched)
    assert asked.body.get("state") == "Denied" or asked.status == 403, str(asked)
    progress = placed["zero"]
    assert progress["n_alive"] == 0
    assert abs(instant(progress["zero_at"]) - placed_at - progress["zero_after_s"]) < 2
    log = tries.calls()
    for grant, session in held["sessions"]:
        end = world.show(PIPELINE, grant)["end"]
        assert (end["cause"], end["proof"]["kind"]) == ("killed", "observed")
        assert PIPELINE.use(session).outcome == "denied"
        uses = tries.uses(log, PIPELINE, session.access_key)
        assert "allowed" in uses.before(placed_at) and uses.since(instant(end["verified_at"])) <= {"denied"}, uses
    hold: Hold = held["hold"]
    hold.ended("killed")
    # The other identity's grant is untouched.
    other_grant, other_session = held["other"]
    assert placed["other"].outcome == "allowed", str(placed["other"])
    assert world.show(AGENT, other_grant)["state"] == "Active"
    assert AGENT.use(other_session).outcome == "allowed"


def test_block_is_lifted_only_by_another_person_and_requests_work_again(
    world: World, held: dict[str, Any], lifted: dict[str, Answer]
) -> None:
    assert lifted["own"].status == 403, "nobody may lift a block that they placed"
    answer = lifted["other"]
    assert (answer.status, answer.body["standing"]) == (200, False), str(answer)
    history = show(world).body["history"]
    assert [(one["version"], one["act"], one["by"]) for one in history] == [(2, "lifted", "lea"), (1, "placed", "omar")]
    assert history[1]["prev"] == "0" * 64 != history[0]["prev"]
    listed = world.api.call("GET", "/v1/revocations", world.vote_token(PLACED_BY)).body["revocations"]
    assert KEY in [one["key"] for one in listed]
    grant, session = held["sessions"][0]
    assert world.show(PIPELINE, grant)["state"] == "Ended", "ended grants must stay ended"
    assert PIPELINE.use(session).outcome == "denied"
    _, fresh = in_use(world, PIPELINE)
    assert PIPELINE.use(fresh).outcome == "allowed"
