"""The expiry drill: a canary grant of each delivery is used and ends, and everything else waits for that.

The functions drill more often and for shorter than the template says. The control takes the time limit out of what one
canary's session is vended with: it must turn the drill red, and stop all issuing until access ends again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from observer import chain, gate, identities, runner, store
from observer.aws import Session
from observer.client import Answer
from observer.world import PIPELINE, World

TERM_S, RUN_S = 60, 110
DRILLED = ("session", "inline", "managed")
WAY = ["begun", "barred", "asked", "live", "used", "passed"]
SETTINGS = {
    "BREVET_DRILLS": ",".join(DRILLED), "BREVET_DRILL_TERM_S": str(TERM_S), "BREVET_DRILL_PERIOD_S": "20",
    "BREVET_DRILL_MAX_AGE_S": "600",
}  # fmt: skip


def records(drilled: str) -> list[dict[str, Any]]:
    """The chain of one drill, in order."""
    found = [json.loads(item["body"]) for item in store.items() if item["pk"] == f"DRILL#{drilled}"]
    return sorted(found, key=lambda record: record["seq"])


def ran(drilled: str, to: str, after: int = 0, within_s: float = RUN_S) -> list[dict[str, Any]]:
    """The records of the first run after number `after` that came to stage `to`."""
    until = time.monotonic() + within_s
    while True:
        chain_ = [record for record in records(drilled) if record["seq"] > after]
        reached = [record["run"] for record in chain_ if record["stage"]["name"] == to]
        if reached:
            return [record for record in chain_ if record["run"] == reached[0]]
        seen = [record["stage"] for record in chain_][-3:]
        assert time.monotonic() < until, f"{drilled}: expected `{to}` within {within_s:.0f} s, saw {seen}"
        time.sleep(1)


def answered(world: World, status: int, within_s: float) -> Answer:
    """What an ordinary fetch is answered, once that has this status."""
    until = time.monotonic() + within_s
    grant = world.approved(PIPELINE)
    while (answer := world.fetch(PIPELINE, grant)).status != status:
        assert time.monotonic() < until, f"expected {status} within {within_s:.0f} s, saw {answer}"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def drilling(world: World) -> Iterator[None]:
    """Each delivery is drilled, and must pass."""
    with identities.issuing(world.forge):
        with runner.settings("reap", "drill", **SETTINGS):
            yield
        # Nothing is wanted of drills any more.
        world.await_ready()


@pytest.fixture(scope="module")
def story(world: World, drilling: None) -> dict[str, Any]:
    """What was seen until each drill had passed, while one could not, and until it passed again."""
    found: dict[str, Any] = {"begin": answered(world, 503, within_s=20), "health": world.api.health()}
    found |= {drilled: ran(drilled, "passed") for drilled in DRILLED}
    found["passed"] = answered(world, 200, within_s=20)
    last = max(record["seq"] for record in records("session"))
    rule = {"id": "no-time-deny", "kind": "strip_time_deny", "service": "sts", "resource": "session/brevet-dev-canary",
            "times": 100}  # fmt: skip
    with gate.faults(rule):
        # A run may be under way that was vended for before.
        found["failed"] = ran("session", "failed", after=last, within_s=2 * RUN_S)
        found["stopped"] = answered(world, 503, within_s=20)
        found["stopped health"] = world.api.health()
    failed_at = found["failed"][-1]["seq"]
    found["again"] = ran("session", "passed", after=failed_at, within_s=2 * RUN_S)
    found["recovered"] = answered(world, 200, within_s=20)
    return found


def test_nothing_is_issued_before_each_drill_has_passed_and_all_is_afterwards(story: dict[str, Any]) -> None:
    for stopped in (story["begin"], story["stopped"]):
        assert (stopped.status, stopped.problem, stopped.body["code"]) == (503, "issuing-stopped", "drill_failed"), str(stopped)
        assert int(stopped.headers["Retry-After"]) > 0
    assert "has not passed" in story["begin"].body["detail"], str(story["begin"])
    for health in (story["health"], story["stopped health"]):
        assert (health.status, health.body["stopped_by"]) == (503, "not_drilled"), str(health)
    assert story["passed"].status == 200


@pytest.mark.parametrize("drilled", DRILLED)
def test_a_drill_is_denied_then_allowed_then_denied_as_the_gate_saw_it(story: dict[str, Any], drilled: str) -> None:
    run = story[drilled]
    assert [record["stage"]["name"] for record in run] == WAY, run
    passed = run[-1]["stage"]
    calls = {call["request_id"]: call for call in gate.log() if call["request_id"]}
    probes = [calls[passed[when]["request_id"]] for when in ("before", "during", "after")]
    assert [call["decision"] for call in probes] == ["denied", "allowed", "denied"], probes
    assert {call["actions"][0]["resource"].rsplit("/")[-1] for call in probes} == {"canary-dev"}
    # By the grant's own access: of a session the very one that was used, and it had not expired.
    role = {"session": "canary", "inline": "canary-inline", "managed": "canary-managed"}[drilled]
    assert all(f":assumed-role/brevet-dev-{role}/" in call["principal"] for call in probes[1:]), probes
    if drilled == "session":
        assert probes[1]["access_key_id"] == probes[2]["access_key_id"]
    assert probes[0]["at"] < probes[1]["at"] < passed["deadline"] < probes[2]["at"]
    grant = store.snapshot().grants[passed["grant"]]
    assert (grant["identity"], grant["entitlement"]) == ("canary", f"canary-{drilled}")


@pytest.mark.parametrize("drilled", DRILLED)
def test_its_records_are_a_chain(story: dict[str, Any], drilled: str) -> None:
    found = records(drilled)
    assert found[0]["prev"] == chain.ZERO
    for number, (before, after) in enumerate(pairwise(found), 2):
        assert (after["seq"], after["prev"]) == (number, chain.digest(before)), after


def test_without_the_time_limit_the_drill_turns_red_and_everything_stops(story: dict[str, Any]) -> None:
    failed = story["failed"][-1]
    assert (failed["stage"]["name"], failed["stage"]["fault"]) == ("failed", "allowed_after"), failed
    assert failed["failing_since"] == failed["at"]
    call = next(call for call in gate.log() if call["request_id"] == failed["stage"]["last"]["request_id"])
    assert call["decision"] == "allowed"
    assert "`session` failed" in story["stopped"].body["detail"], str(story["stopped"])


def test_it_passes_again_and_everything_goes_on_by_itself(story: dict[str, Any]) -> None:
    # It was issued while everything else was stopped.
    assert [record["stage"]["name"] for record in story["again"]] == WAY, story["again"]
    assert story["again"][-1]["failing_since"] is None
    assert story["recovered"].status == 200


def test_nobody_else_may_read_the_canary(world: World, drilling: None) -> None:
    for role in ("drill", "issue", "reap"):
        seen = Session.assumed(runner.role_arn(role), "nosy").get_item("canary-dev")
        assert seen.outcome == "denied", str(seen)
