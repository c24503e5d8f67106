"""One key, one request: the same body gets the same answer, another body is a conflict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from observer import store
from observer.client import new_key
from observer.world import AGENT, PIPELINE, World


def test_the_same_key_and_body_get_the_same_grant(world: World) -> None:
    key = new_key()
    first = world.ask(PIPELINE, key=key)
    before = store.keys("REQUEST#", "IDEM#", "DECISION#", "ACT#")
    again = world.ask(PIPELINE, key=key)
    assert (first.status, again.status) == (201, 201), f"{first} {again}"
    assert first.body == again.body
    assert store.keys("REQUEST#", "IDEM#", "DECISION#", "ACT#") == before


def test_the_same_key_with_another_body_is_a_conflict(world: World) -> None:
    key = new_key()
    first = world.ask(PIPELINE, key=key)
    before = store.keys("REQUEST#", "IDEM#", "DECISION#", "ACT#")
    other = world.ask(PIPELINE, key=key, parameters={"version": "v9.9.9"})
    assert (other.status, other.problem) == (409, "conflict"), str(other)
    assert store.keys("REQUEST#", "IDEM#", "DECISION#", "ACT#") == before
    assert world.show(PIPELINE, first.body["id"])["request"]["parameters"] == PIPELINE.body["parameters"]


def test_idempotency_key_belongs_to_its_caller(world: World) -> None:
    key = new_key()
    one, other = world.ask(PIPELINE, key=key), world.ask(AGENT, key=key)
    assert (one.status, other.status) == (201, 201), f"{one} {other}"
    assert one.body["id"] != other.body["id"]


def test_concurrent_requests_with_one_key_make_one_grant(world: World) -> None:
    key = new_key()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.ask(PIPELINE, key=key), range(8)))
    ids = {answer.body["id"] for answer in answers if answer.status == 201}
    assert len(ids) == 1, [str(answer) for answer in answers]
    # A request that lost the race is asked to retry; no other answer is allowed.
    assert {answer.status for answer in answers} <= {201, 202, 503}, [str(answer) for answer in answers]


def test_concurrent_first_vends_share_one_deadline(world: World) -> None:
    """One decision, one activation: the loser takes the stored deadline, or is asked to retry."""
    grant = world.approved(PIPELINE)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.fetch(PIPELINE, grant), range(4)))
    assert {answer.status for answer in answers} <= {200, 409, 503}, [str(answer) for answer in answers]
    vended = [answer.body["Expiration"] for answer in answers if answer.status == 200]
    assert vended and len(set(vended)) == 1, vended
    assert len(store.keys(f"ACT#{grant}")) == 1
