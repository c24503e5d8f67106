"""Renewal: a new grant that names the one it renews; the first keeps its deadline."""

from __future__ import annotations

from observer.client import Answer, new_key
from observer.world import PIPELINE, World

from lives import in_use

# Long enough for the second grant to outlast the end of the first.
TERM_S = 600


def renew(world: World, grant: str, term_s: int = TERM_S, by: str = PIPELINE.identity) -> Answer:
    headers = {"Idempotency-Key": new_key()}
    return world.api.call("POST", f"/v1/grants/{grant}/renew", world.token(by), {"term_s": term_s}, headers=headers)


def test_renewal_is_a_new_grant_and_the_first_keeps_its_deadline(world: World) -> None:
    first, _ = in_use(world, PIPELINE, term_s=TERM_S)
    deadline = world.show(PIPELINE, first)["deadline"]
    answer = renew(world, first)
    assert (answer.status, answer.body["state"]) == (201, "Approved"), str(answer)
    second = answer.body["id"]
    assert second != first and answer.body["renewal"] == {"of": first, "n": 1}
    session = world.session(PIPELINE, second)
    assert world.show(PIPELINE, first)["deadline"] == deadline
    assert world.release(PIPELINE, first).status == 202
    world.await_state(PIPELINE, first, "Ended")
    assert PIPELINE.use(session).outcome == "allowed", "the end of the first grant must not end the second"
    again = renew(world, second)
    assert (again.status, again.problem) == (403, "denied"), str(again)
    assert "at most 1 are allowed" in again.body["detail"]
    assert world.release(PIPELINE, second).status == 202


def test_renewal_is_refused_for_an_unused_or_foreign_grant(world: World) -> None:
    grant = world.approved(PIPELINE)
    early = renew(world, grant)
    assert (early.status, early.problem) == (403, "denied"), str(early)
    others = renew(world, grant, by="remediation-agent")
    assert (others.status, others.problem) == (404, "not-found"), str(others)
    assert world.release(PIPELINE, grant).status == 202
