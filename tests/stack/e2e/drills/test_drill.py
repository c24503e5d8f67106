"""The expiry drill: a canary grant of each delivery is used and ends, and everything else waits for that.

The functions drill more often and for shorter than the template says. The control takes the time limit out of what one
canary's session is vended with: it must turn the drill red, and stop all issuing until access ends again.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import pytest

from observer import chain, gate, identities, runner, store, tries
from observer.aws import Session
from observer.client import Answer
from observer.patience import until
from observer.world import AGENT, World

from issuing import TERM_S, answered

DRILLED = ("session", "inline", "managed")
# So often a slow machine may have missed that all had passed.
MAX_BEGUN = 3
WAY = ["begun", "barred", "asked", "live", "used", "passed"]
SETTINGS = {
    "BREVET_DRILLS": ",".join(DRILLED), "BREVET_DRILL_TERM_S": "60", "BREVET_DRILL_PERIOD_S": "1",
    "BREVET_DRILL_MAX_AGE_S": "600",
}  # fmt: skip
"""The shortest term that there is, and each run at once after the one before."""
NO_TIME_LIMIT = {"id": "no-time-deny", "kind": "strip_time_deny", "service": "sts", "times": 100,
                 "resource": "session/brevet-dev-canary"}  # fmt: skip


def records(drilled: str) -> list[dict[str, Any]]:
    """The chain of one drill, in order."""
    found = [json.loads(item["body"]) for item in store.items() if item["pk"] == f"DRILL#{drilled}"]
    return sorted(found, key=lambda record: record["seq"])


def run_of(drilled: str, to: str, after: int = 0, fault: str | None = None) -> list[dict[str, Any]]:
    """The records of the first run after record `after` that came to stage `to` (by that `fault`), once there is one."""

    def look() -> list[dict[str, Any]]:
        chain_ = [record for record in records(drilled) if record["seq"] > after]
        reached = [
            one["run"] for one in chain_ if one["stage"]["name"] == to and fault in (None, one["stage"].get("fault"))
        ]
        return [record for record in chain_ if reached and record["run"] == reached[0]]

    return until(look, f"the drill of {drilled} comes to `{to}`", every_s=1)


def begin(world: World) -> dict[str, Any]:
    """What was seen until each drill had passed, while one could not, and until it passed again."""
    with identities.issuing(world.forge):
        with runner.settings("reap", "drill", **SETTINGS):
            found = play(world)
        # Drills do not count any more.
        world.await_ready()
    return found


def play(world: World) -> dict[str, Any]:
    """Each delivery is drilled all the time, and must pass."""
    found: dict[str, Any] = {"begin": answered(world, AGENT, 503)[1], "health": world.api.health()}
    n_seen = 0
    for _ in range(MAX_BEGUN):
        # While this run goes on to its end, the next one's session is to be vended without its time limit.
        passed = next_vended_without_time_limit(after=n_seen)
        found |= {drilled: run_of(drilled, "passed") for drilled in DRILLED}
        grant = world.approved(AGENT, term_s=TERM_S)
        stopped = until(lambda: fetched_or_failed(world, grant, passed), "grants are issued, or the drill fails")
        failed = run_of("session", "failed", after=passed, fault="allowed_after")
        if isinstance(stopped, Answer):
            break
        # A slow machine was not done with the other drills before that one failed: once more.
        n_seen = run_of("session", "passed", after=failed[-1]["seq"])[-1]["seq"]
    else:
        raise AssertionError(f"{MAX_BEGUN} times the drill of `session` failed before all had passed")
    found |= {"passed": stopped, "failed": failed}
    found["stopped"], found["stopped health"] = answered(world, AGENT, 503)[1], world.api.health()
    found["again"] = run_of("session", "passed", after=failed[-1]["seq"])
    found["recovered"] = answered(world, AGENT, 200)[1]
    return found


def next_vended_without_time_limit(after: int) -> int:
    """Waits for a run that passes, and has the next one's session vended without its time limit; the record that it passed."""
    run_of("session", "used", after=after)
    gate.arm(NO_TIME_LIMIT)
    try:
        passed = run_of("session", "passed", after=after)[-1]["seq"]
        run_of("session", "used", after=passed)
    finally:
        gate.disarm()
    return passed


def fetched_or_failed(world: World, grant: str, after: int) -> Answer | dict[str, Any] | None:
    """The credentials of `grant`, or else the record after `after` that says that the drill of `session` failed."""
    answer = world.fetch(AGENT, grant)
    if answer.status == 200:
        return answer
    return next((one for one in records("session") if one["seq"] > after and one["stage"]["name"] == "failed"), None)


@pytest.fixture(scope="module")
def story(begun: dict[str, Future[Any]]) -> dict[str, Any]:
    """What `begin` came to."""
    return begun["test_drill"].result()


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
    calls = {call["request_id"]: call for call in tries.calls() if call["request_id"]}
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
    call = next(call for call in tries.calls() if call["request_id"] == failed["stage"]["last"]["request_id"])
    assert call["decision"] == "allowed"
    # It had passed, and failed since.
    assert failed["passed_at"] and failed["passed_at"] < failed["failing_since"]
    assert "`session` failed" in story["stopped"].body["detail"], str(story["stopped"])


def test_it_passes_again_and_everything_goes_on_by_itself(story: dict[str, Any]) -> None:
    # It was issued while everything else was stopped.
    assert [record["stage"]["name"] for record in story["again"]] == WAY, story["again"]
    assert story["again"][-1]["failing_since"] is None
    assert story["recovered"].status == 200


def test_nobody_else_may_read_the_canary(world: World) -> None:
    for role in ("drill", "issue", "reap"):
        seen = Session.assumed(runner.role_arn(role), "nosy").get_item("canary-dev")
        assert seen.outcome == "denied", str(seen)
