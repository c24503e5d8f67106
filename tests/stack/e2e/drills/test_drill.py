"""The expiry drill: a canary grant of each delivery is used and ends, and all other issuing waits for it.

The functions drill more often and with shorter terms than in the template. The control removes the time limit from one
canary session's policy: the drill must fail, and all issuing must stop until the drill passes again.
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
# On a slow machine the moment at which all drills have passed may be missed.
MAX_ATTEMPTS = 3
STAGES = ["begun", "barred", "asked", "live", "used", "passed"]
SETTINGS = {
    "BREVET_DRILLS": ",".join(DRILLED), "BREVET_DRILL_TERM_S": "60", "BREVET_DRILL_PERIOD_S": "1",
    "BREVET_DRILL_MAX_AGE_S": "600",
}  # fmt: skip
"""The shortest possible term, and each run right after the one before."""
NO_TIME_LIMIT = {"id": "no-time-deny", "kind": "strip_time_deny", "service": "sts", "times": 100,
                 "resource": "session/brevet-dev-canary"}  # fmt: skip


def records(drilled: str) -> list[dict[str, Any]]:
    """The chain of one drill, in order."""
    found = [json.loads(item["body"]) for item in store.items() if item["pk"] == f"DRILL#{drilled}"]
    return sorted(found, key=lambda record: record["seq"])


def run_of(drilled: str, to: str, after: int = 0, fault: str | None = None) -> list[dict[str, Any]]:
    """Waits for the first run after record `after` that reaches stage `to` (with that `fault`); returns its records."""

    def reached_run() -> list[dict[str, Any]]:
        chain_ = [record for record in records(drilled) if record["seq"] > after]
        reached = [
            one["run"] for one in chain_ if one["stage"]["name"] == to and fault in (None, one["stage"].get("fault"))
        ]
        return [record for record in chain_ if reached and record["run"] == reached[0]]

    return until(reached_run, f"the drill of {drilled} reaches `{to}`", every_s=1)


def begin(world: World) -> dict[str, Any]:
    """Records answers until each drill has passed, while one fails, and until it passes again."""
    with identities.issuing(world.forge):
        with runner.settings("reap", "drill", **SETTINGS):
            found = play(world)
        # Issuing no longer depends on drills.
        world.await_ready()
    return found


def play(world: World) -> dict[str, Any]:
    """Runs the scenario while every delivery is drilled continuously."""
    found: dict[str, Any] = {"begin": answered(world, AGENT, 503)[1], "health": world.api.health()}
    n_seen = 0
    for _ in range(MAX_ATTEMPTS):
        # Once this run has passed, the next run's session is vended without its time limit.
        passed = next_vended_without_time_limit(after=n_seen)
        found |= {drilled: run_of(drilled, "passed") for drilled in DRILLED}
        grant = world.approved(AGENT, term_s=TERM_S)
        stopped = until(lambda: fetched_or_failed(world, grant, passed), "grants are issued, or the drill fails")
        failed = run_of("session", "failed", after=passed, fault="allowed_after")
        if isinstance(stopped, Answer):
            break
        # On a slow machine this drill failed before all others had passed: retry.
        n_seen = run_of("session", "passed", after=failed[-1]["seq"])[-1]["seq"]
    else:
        raise AssertionError(f"the drill of `session` failed before all had passed, in {MAX_ATTEMPTS} attempts")
    found |= {"passed": stopped, "failed": failed}
    found["stopped"], found["stopped health"] = answered(world, AGENT, 503)[1], world.api.health()
    found["again"] = run_of("session", "passed", after=failed[-1]["seq"])
    found["recovered"] = answered(world, AGENT, 200)[1]
    return found


def next_vended_without_time_limit(after: int) -> int:
    """Waits for a run to pass and strips the time limit from the next run's session; returns the number of the pass."""
    run_of("session", "used", after=after)
    gate.arm(NO_TIME_LIMIT)
    try:
        passed = run_of("session", "passed", after=after)[-1]["seq"]
        run_of("session", "used", after=passed)
    finally:
        gate.disarm()
    return passed


def fetched_or_failed(world: World, grant: str, after: int) -> Answer | dict[str, Any] | None:
    """The answer with credentials of `grant`, or the failure record of the drill of `session` after record `after`."""
    answer = world.fetch(AGENT, grant)
    if answer.status == 200:
        return answer
    return next((one for one in records("session") if one["seq"] > after and one["stage"]["name"] == "failed"), None)


@pytest.fixture(scope="module")
def story(begun: dict[str, Future[Any]]) -> dict[str, Any]:
    """The result of `begin`."""
    return begun["test_drill"].result()


def test_issuing_is_stopped_until_every_drill_has_passed(story: dict[str, Any]) -> None:
    for stopped in (story["begin"], story["stopped"]):
        assert (stopped.status, stopped.problem, stopped.body["code"]) == (503, "issuing-stopped", "drill_failed"), str(stopped)
        assert int(stopped.headers["Retry-After"]) > 0
    assert "has not passed" in story["begin"].body["detail"], str(story["begin"])
    for health in (story["health"], story["stopped health"]):
        assert (health.status, health.body["stopped_by"]) == (503, "not_drilled"), str(health)
    assert story["passed"].status == 200


@pytest.mark.parametrize("drilled", DRILLED)
def test_drill_probes_are_denied_then_allowed_then_denied_by_the_gate(story: dict[str, Any], drilled: str) -> None:
    run = story[drilled]
    assert [record["stage"]["name"] for record in run] == STAGES, run
    passed = run[-1]["stage"]
    calls = {call["request_id"]: call for call in tries.calls() if call["request_id"]}
    probes = [calls[passed[when]["request_id"]] for when in ("before", "during", "after")]
    assert [call["decision"] for call in probes] == ["denied", "allowed", "denied"], probes
    assert {call["actions"][0]["resource"].rsplit("/")[-1] for call in probes} == {"canary-dev"}
    # The calls use the grant's own access; for a session, the same unexpired credentials.
    role = {"session": "canary", "inline": "canary-inline", "managed": "canary-managed"}[drilled]
    assert all(f":assumed-role/brevet-dev-{role}/" in call["principal"] for call in probes[1:]), probes
    if drilled == "session":
        assert probes[1]["access_key_id"] == probes[2]["access_key_id"]
    assert probes[0]["at"] < probes[1]["at"] < passed["deadline"] < probes[2]["at"]
    grant = store.snapshot().grants[passed["grant"]]
    assert (grant["identity"], grant["entitlement"]) == ("canary", f"canary-{drilled}")


@pytest.mark.parametrize("drilled", DRILLED)
def test_drill_records_form_a_chain(story: dict[str, Any], drilled: str) -> None:
    found = records(drilled)
    assert found[0]["prev"] == chain.ZERO
    for number, (before, after) in enumerate(pairwise(found), 2):
        assert (after["seq"], after["prev"]) == (number, chain.digest(before)), after


def test_control_drill_fails_and_stops_issuing_without_the_time_limit(story: dict[str, Any]) -> None:
    failed = story["failed"][-1]
    assert (failed["stage"]["name"], failed["stage"]["fault"]) == ("failed", "allowed_after"), failed
    assert failed["failing_since"] == failed["at"]
    call = next(call for call in tries.calls() if call["request_id"] == failed["stage"]["last"]["request_id"])
    assert call["decision"] == "allowed"
    # The drill had passed before it failed.
    assert failed["passed_at"] and failed["passed_at"] < failed["failing_since"]
    assert "`session` failed" in story["stopped"].body["detail"], str(story["stopped"])


def test_issuing_resumes_once_the_failed_drill_passes_again(story: dict[str, Any]) -> None:
    # The canary was issued while all other issuing was stopped.
    assert [record["stage"]["name"] for record in story["again"]] == STAGES, story["again"]
    assert story["again"][-1]["failing_since"] is None
    assert story["recovered"].status == 200


def test_functions_cannot_read_the_canary_table(world: World) -> None:
    for role in ("drill", "issue", "reap"):
        seen = Session.assumed(runner.role_arn(role), "nosy").get_item("canary-dev")
        assert seen.outcome == "denied", str(seen)
