"""Explanation: a dry run says what the real request then says, a refusal names what passes, lists tell what there is."""

from __future__ import annotations

from typing import Any

from observer import store
from observer.client import Answer
from observer.world import AGENT, BATCH, BYSTANDER, ONCALL, PIPELINE, Case, World

KEPT = ("REQUEST#", "IDEM#", "DECISION#", "ACT#", "SPONSOR#")
# For the agent, without a task: its policy wants one.
NO_TASK = {"task_id": None}


def rehearse(world: World, case: Case, claims: dict[str, Any] | None = None, **changes: Any) -> Answer:
    body = {name: value for name, value in {**case.body, **changes}.items() if value is not None}
    return world.api.call("POST", "/v1/evaluations", world.token(case.identity, **(claims or {})), body)


def test_a_dry_run_says_what_the_request_then_says_and_leaves_nothing(world: World) -> None:
    world.await_ready()
    for case, changes in [(PIPELINE, {}), (AGENT, {}), (AGENT, {"ticket": None}), (ONCALL, {}), (BATCH, {})]:
        before = store.keys(*KEPT)
        said = rehearse(world, case, **changes)
        assert said.status == 200, str(said)
        assert store.keys(*KEPT) == before, "a dry run left something behind"
        assert said.body["issuing"] == "ok"

        asked = world.ask(case, **changes)
        assert asked.status == (201 if said.body["outcome"] == "allow" else 202), f"{said.body}, but {asked}"
        for field in ("determining", "bundle", "identity", "class", "sponsor", "term_s", "risk", "rotate", "outlives"):
            assert said.body.get(field) == asked.body.get(field), (field, said.body, asked.body)
        if said.body["outcome"] == "needs_approval":
            approval = asked.body["approval"]
            assert (said.body["count"], said.body["approvers"]) == (approval["needed"], approval["approvers"])
        world.release(case, asked.body["id"])


def test_the_plan_is_narrowed_as_it_will_be(world: World) -> None:
    plan = rehearse(world, PIPELINE).body["plan"]
    version = PIPELINE.body["parameters"]["version"]
    allow, deadline, never = plan["policy"]["Statement"]
    assert plan["kind"] == "session" and all(f"/{version}/" in arn for arn in allow["Resource"])
    assert (deadline["Effect"], deadline["Action"], never["Effect"]) == ("Deny", "*", "Deny")
    assert rehearse(world, BATCH).body["plan"]["kind"] == "inline"


def test_a_refusal_names_what_would_pass_and_that_passes(world: World) -> None:
    said = rehearse(world, AGENT, NO_TASK)
    assert (said.status, said.body["outcome"]) == (200, "deny"), str(said)
    assert said.body["determining"] == ["agents-work-on-a-task"]
    nearest = said.body["nearest"]
    assert [one["change"] for one in nearest["changes"]] == ["task"] and nearest["outcome"] == "allow"
    # In earnest it is refused with the same words.
    refused = world.api.ask(world.token(AGENT.identity, **NO_TASK), AGENT.body)
    assert (refused.status, refused.problem, refused.body["detail"]) == (403, "denied", said.body["reason"]), str(refused)
    # And passes as named: the usual token names a task.
    passed = world.ask(AGENT)
    assert passed.status == 201, str(passed)
    world.release(AGENT, passed.body["id"])


def test_what_does_not_fit_says_what_would(world: World) -> None:
    for answer in (rehearse(world, ONCALL, ticket=None), world.ask(ONCALL, ticket=None)):
        assert (answer.status, answer.problem) == (422, "unfit"), str(answer)
        assert "needs a `ticket` that matches `INC-" in answer.body["detail"]


def test_an_entitlement_of_somebody_else_has_nothing_near(world: World) -> None:
    said = world.api.call("POST", "/v1/evaluations", world.token(BYSTANDER), PIPELINE.body)
    assert (said.status, said.body["outcome"], said.body.get("nearest"), said.body.get("plan")) == (200, "deny", None, None)


def test_only_a_token_for_asking_asks(world: World) -> None:
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


def test_everybody_is_listed_what_they_may_ask_for(world: World) -> None:
    pipeline = entitlements(world, PIPELINE.identity)
    assert set(pipeline) == {"deploy-release"}
    one = pipeline["deploy-release"]
    assert one["ways"] == [{"needs_ticket": False, "max_term_s": 600}]
    assert one["parameters"]["version"]["must"].startswith("match `v")
    ways = entitlements(world, ONCALL.identity)["read-orders-table"]["ways"]
    assert len(ways) == 1 and ways[0]["needs_ticket"] and ways[0]["approval"]["approvers"] == ["lea", "omar"]
    # The longest term that is listed can be asked for.
    longest = ways[0]["max_term_s"]
    assert rehearse(world, ONCALL, term_s=longest).body["outcome"] == "needs_approval"
    assert rehearse(world, ONCALL, term_s=longest + 1).status == 422
    assert "deploy-release" not in entitlements(world, BYSTANDER)


def test_a_query_for_entitlements_must_be_right(world: World) -> None:
    for query, expected in [("limit=0", 400), ("state=Active", 400), ("cursor=made-up", 422)]:
        answer = world.api.call("GET", f"/v1/entitlements?{query}", world.token("ana"))
        assert answer.status == expected and answer.problem in ("malformed", "unfit"), str(answer)
