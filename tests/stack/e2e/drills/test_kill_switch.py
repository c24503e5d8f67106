"""The kill switch: what one identity holds ends at once and provably, what others hold goes on; then it is lifted."""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import store
from observer.aws import Session
from observer.client import Answer
from observer.world import AGENT, PIPELINE, World, instant

import attachments
from attachments import Hold, Tasks
from lives import in_use

KEY = f"identity:{PIPELINE.identity}"
PLACED_BY, LIFTED_BY = "omar", "lea"
# A decision that was under way may come in for so long after the block; then a walk, and two ticks.
ZERO_WITHIN_S = 90
REASON = "its signing key was published by accident"


def place(world: World, token: str | None, scope: Any = None, reason: str = REASON) -> Answer:
    body = {"scope": scope or {"identity": PIPELINE.identity}, "reason": reason}
    return world.api.call("POST", "/v1/revocations", token, body)


def lift(world: World, token: str | None, key: str = KEY) -> Answer:
    return world.api.call("POST", f"/v1/revocations/{key}/lift", token, {"reason": "the key was changed"})


def show(world: World, by: str = PLACED_BY) -> Answer:
    return world.api.call("GET", f"/v1/revocations/{KEY}", world.vote_token(by))


@pytest.fixture(scope="module")
def held(world: World, tasks: Tasks) -> dict[str, Any]:
    """Two live sessions and an attachment of one identity, one session of another; and that they go on by themselves."""
    first, second = in_use(world, PIPELINE), in_use(world, PIPELINE)
    hold = tasks.ask(attachments.KILLED, term_s=300).await_active()
    other = in_use(world, AGENT)
    # The control: ticks go by, and without a block nothing ends.
    time.sleep(8)
    for _, session in (first, second):
        assert PIPELINE.use(session).outcome == "allowed"
    assert hold.use().outcome == "allowed"
    return {"sessions": [first, second], "hold": hold, "other": other}


def test_a_machine_a_bystander_and_a_token_of_another_kind_stop_nothing(world: World, held: dict[str, Any]) -> None:
    before = {item["pk"] for item in store.items()}
    for token, status in [
        (None, 401),
        (world.token(PLACED_BY), 401),
        (world.credentials_token(PLACED_BY), 401),
        (world.vote_token("dana"), 403),
        (world.vote_token(AGENT.identity), 403),
    ]:
        for answer in (place(world, token), place(world, token, {"all": True}), lift(world, token)):
            assert answer.status == status, str(answer)
    assert lift(world, world.vote_token(LIFTED_BY)).status == 403, "nothing was placed that somebody else could lift"
    blocks = {item["pk"] for item in store.items()} - before
    assert not [pk for pk in blocks if pk.startswith(("REVOCATION#", "BLOCK#identity", "BLOCK#all"))]


def test_what_the_identity_holds_ends_and_what_another_holds_goes_on(world: World, held: dict[str, Any]) -> None:
    answer = place(world, world.vote_token(PLACED_BY))
    assert answer.status == 200, str(answer)
    assert (answer.body["key"], answer.body["standing"], answer.body["latest"]["by"]) == (KEY, True, PLACED_BY)
    placed_at = instant(answer.body["latest"]["at"])
    # Again is the same.
    assert place(world, world.vote_token(LIFTED_BY), reason="me too").body["latest"] == answer.body["latest"]
    # Nothing is vended or decided from here on.
    grant, _ = held["sessions"][0]
    fetched = world.fetch(PIPELINE, grant)
    assert (fetched.status, fetched.body["code"]) in ((410, "blocked"), (410, "grant_over"), (409, "not_active")), str(fetched)
    asked = world.ask(PIPELINE)
    assert asked.body.get("state") == "Denied" or asked.status == 403, str(asked)
    # Real calls: those that were let through are not any more.
    for _, session in held["sessions"]:
        world.await_use(PIPELINE, session, "denied", within_s=30)
    hold: Hold = held["hold"]
    hold.await_use("denied", within_s=30)
    other_grant, other_session = held["other"]
    assert AGENT.use(other_session).outcome == "allowed"
    # Proved zero, and measured.
    until = time.monotonic() + ZERO_WITHIN_S
    while (known := show(world).body)["progress"] is None or known["progress"]["zero_at"] is None:
        assert time.monotonic() < until, f"no zero within {ZERO_WITHIN_S} s: {known}"
        time.sleep(1)
    progress = known["progress"]
    assert progress["n_alive"] == 0
    assert abs(instant(progress["zero_at"]) - placed_at - progress["zero_after_s"]) < 2
    for grant, session in held["sessions"]:
        end = world.show(PIPELINE, grant)["end"]
        assert (end["cause"], end["proof"]["kind"]) == ("killed", "observed")
        assert PIPELINE.use(session).outcome == "denied"
    hold.ended("killed", within_s=1)
    # Whoever is not covered was never touched.
    assert world.show(AGENT, other_grant)["state"] == "Active"
    assert AGENT.use(other_session).outcome == "allowed"


def test_another_one_lifts_it_and_what_is_asked_anew_works(world: World, held: dict[str, Any]) -> None:
    assert lift(world, world.vote_token(PLACED_BY)).status == 403, "their own"
    answer = lift(world, world.vote_token(LIFTED_BY))
    assert (answer.status, answer.body["standing"]) == (200, False), str(answer)
    history = show(world).body["history"]
    assert [(one["version"], one["act"], one["by"]) for one in history] == [(2, "lifted", "lea"), (1, "placed", "omar")]
    assert history[1]["prev"] == "0" * 64 != history[0]["prev"]
    listed = world.api.call("GET", "/v1/revocations", world.vote_token(PLACED_BY)).body["revocations"]
    assert KEY in [one["key"] for one in listed]
    grant, session = held["sessions"][0]
    assert world.show(PIPELINE, grant)["state"] == "Ended", "what was ended stays ended"
    assert PIPELINE.use(session).outcome == "denied"
    anew: Session = in_use(world, PIPELINE)[1]
    assert PIPELINE.use(anew).outcome == "allowed"
