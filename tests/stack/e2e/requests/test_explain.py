"""Explanations: a dry run agrees with the request, a refusal names a request that passes, and lists are complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observer import runner, store
from observer.client import Answer
from observer.world import AGENT, ARCHIVE, BATCH, BYSTANDER, ONCALL, PIPELINE, Case, World

KEPT = ("REQUEST#", "IDEM#", "DECISION#", "ACT#", "SPONSOR#")


def rehearse(world: World, case: Case, **changes: Any) -> Answer:
    body = {name: value for name, value in {**case.body, **changes}.items() if value is not None}
    return world.api.call("POST", "/v1/evaluations", world.token(case.identity), body)


def test_dry_run_agrees_with_the_request_and_stores_nothing(world: World) -> None:
    world.await_ready()
    for case, changes in [(PIPELINE, {}), (AGENT, {}), (AGENT, {"ticket": None}), (ONCALL, {}), (ARCHIVE, {}), (BATCH, {})]:
        before = store.keys(*KEPT)
        dry_run = rehearse(world, case, **changes)
        assert dry_run.status == 200, str(dry_run)
        assert store.keys(*KEPT) == before, "a dry run must store no record"
        assert dry_run.body["issuing"] == "ok"

        asked = world.ask(case, **changes)
        assert asked.status == (201 if dry_run.body["outcome"] == "allow" else 202), f"{dry_run.body}, but {asked}"
        for field in ("determining", "bundle", "identity", "class", "sponsor", "term_s", "risk", "rotate", "outlives"):
            assert dry_run.body.get(field) == asked.body.get(field), (field, dry_run.body, asked.body)
        if dry_run.body["outcome"] == "needs_approval":
            steps = [(one["name"], one["needed"], one["approvers"]) for one in asked.body["approval"]["steps"]]
            assert [(one["name"], one["count"], one["approvers"]) for one in dry_run.body["steps"]] == steps
        world.release(case, asked.body["id"])


def test_dry_run_shows_the_narrowed_plan(world: World) -> None:
    plan = rehearse(world, PIPELINE).body["plan"]
    version = PIPELINE.body["parameters"]["version"]
    allow, deadline, never = plan["policy"]["Statement"]
    assert plan["kind"] == "session" and all(f"/{version}/" in arn for arn in allow["Resource"])
    assert (deadline["Effect"], deadline["Action"], never["Effect"]) == ("Deny", "*", "Deny")
    assert rehearse(world, BATCH).body["plan"]["kind"] == "inline"


@pytest.fixture
def hurried(world: World, catalogue: Path, tmp_path: Path) -> Iterator[None]:
    """A catalogue whose policy limits the agent's term more than its entitlement does."""
    # The catalogue's own cases would fail with this policy, so they are left out.
    hasty = Path(shutil.copytree(catalogue, tmp_path / "catalogue", ignore=shutil.ignore_patterns("cases")))
    file = hasty / "policies" / "read-secret.cedar"
    before = file.read_text()
    file.write_text(before.replace("context.termSeconds <= 300", "context.termSeconds <= 120"))
    assert file.read_text() != before
    try:
        runner.stack("publish", str(hasty))
        yield
    finally:
        runner.stack("publish", str(catalogue))


def test_refusal_names_the_nearest_request_that_passes(world: World, hurried: None) -> None:
    dry_run = rehearse(world, AGENT, term_s=300)
    assert (dry_run.status, dry_run.body.get("outcome")) == (200, "deny"), str(dry_run)
    assert dry_run.body.get("plan") is None
    nearest = dry_run.body["nearest"]
    assert (nearest["changes"], nearest["outcome"]) == ([{"change": "term", "term_s": 120}], "allow")
    # The real request is refused with the same reason.
    refused = world.ask(AGENT, term_s=300)
    assert (refused.status, refused.problem, refused.body["detail"]) == (403, "denied", dry_run.body["reason"]), str(refused)
    # The named term passes, and one second more does not.
    assert world.ask(AGENT, term_s=121).status == 403
    passed = world.ask(AGENT, term_s=120)
    assert passed.status == 201, str(passed)
    world.release(AGENT, passed.body["id"])


def test_invalid_request_detail_says_what_would_be_valid(world: World) -> None:
    for answer in (rehearse(world, ONCALL, ticket=None), world.ask(ONCALL, ticket=None)):
        assert (answer.status, answer.problem) == (422, "invalid"), str(answer)
        assert "needs a `ticket` that matches `INC-" in answer.body["detail"]


def test_refusal_for_another_identitys_entitlement_has_no_nearest_request(world: World) -> None:
    dry_run = world.api.call("POST", "/v1/evaluations", world.token(BYSTANDER), PIPELINE.body)
    assert (dry_run.status, dry_run.body["outcome"]) == (200, "deny"), str(dry_run)
    assert dry_run.body.get("nearest") is None and dry_run.body.get("plan") is None


def test_dry_run_and_entitlement_list_need_a_token_for_requests(world: World) -> None:
    for token in (world.vote_token(PIPELINE.identity), world.credentials_token(PIPELINE.identity), None):
        for method, path, body in (("POST", "/v1/evaluations", PIPELINE.body), ("GET", "/v1/entitlements", None)):
            answer = world.api.call(method, path, token, body)
            assert (answer.status, answer.problem) == (401, "unauthenticated"), str(answer)


def entitlements(world: World, identity: str) -> dict[str, dict[str, Any]]:
    found, query = {}, "?limit=1"
    while True:
        answer = world.api.call("GET", f"/v1/entitlements{query}", world.token(identity))
        assert answer.status == 200, str(answer)
        found.update({one["id"]: one for one in answer.body["entitlements"]})
        if answer.body["next"] is None:
            return found
        query = f"?limit=1&cursor={answer.body['next']}"


def test_entitlement_list_shows_what_the_caller_may_request(world: World) -> None:
    pipeline = entitlements(world, PIPELINE.identity)
    assert "deploy-release" in pipeline and not {"read-secret", "read-orders-table"} & set(pipeline)
    one = pipeline["deploy-release"]
    assert one["options"] == [{"needs_ticket": False, "max_term_s": 600}]
    assert one["parameters"]["version"]["must"].startswith("match `v")
    options = entitlements(world, ONCALL.identity)["read-orders-table"]["options"]
    assert len(options) == 1 and options[0]["needs_ticket"]
    (step,) = options[0]["approval"]["steps"]
    assert (step["count"], step["approvers"]) == (1, ["lea", "omar"])
    # The listed maximum term can be requested, and one second more cannot.
    longest = options[0]["max_term_s"]
    assert rehearse(world, ONCALL, term_s=longest).body["outcome"] == "needs_approval"
    assert rehearse(world, ONCALL, term_s=longest + 1).status == 422
    assert "deploy-release" not in entitlements(world, BYSTANDER)


def test_invalid_entitlement_query_is_refused(world: World) -> None:
    for query, expected in [("limit=0", 400), ("state=Active", 400), ("cursor=made-up", 422)]:
        answer = world.api.call("GET", f"/v1/entitlements?{query}", world.token("ana"))
        assert answer.status == expected and answer.problem in ("malformed", "invalid"), str(answer)
