"""Break-glass: access at once, with a report; the requester gets no ordinary grant until another person reviews it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from observer import store, targets
from observer.aws import Session
from observer.patience import until
from observer.world import ONCALL, Case, World

from attachments import Tasks

RESCUE = Case(
    ONCALL.identity,
    {
        "entitlement": "rescue-secret", "parameters": {"secret": targets.SECRET.removeprefix("prod/")}, "term_s": 600,
        "justification": "the shop is down and nobody answers",
    },
    "agent-secret", "secret", "other_secret",
)  # fmt: skip
REVIEWER = "lea"
MAX_REVIEW_ATTEMPTS = 30


def awaited() -> set[str]:
    """The grants whose use awaits review, from the table."""
    return {item["sk"] for item in store.items() if item["pk"] == f"REVIEW#{RESCUE.identity}"}


def review(world: World, grant: dict[str, Any], by: str = REVIEWER, **changes: Any) -> Any:
    """Sends a review and retries while the grant changes meanwhile, as the rotation may add entries.

    Returns the answer.
    """
    for _ in range(MAX_REVIEW_ATTEMPTS):
        answer = world.api.review(world.vote_token(by), grant["id"], **{"digest": grant["digest"], **changes})
        if answer.body.get("code") != "changed_meanwhile":
            return answer
        time.sleep(1)
    raise AssertionError(f"a review was sent {MAX_REVIEW_ATTEMPTS} times: {answer}")


def begin(world: World, _tasks: Tasks | None = None) -> dict[str, Any]:
    """A break-glass grant that was used, has ended, and awaits review."""
    answer = world.ask(RESCUE)
    assert (answer.status, answer.body["state"]) == (201, "Approved"), str(answer)
    grant = answer.body["id"]
    # The awaited review is stored with the decision, before any use.
    assert awaited() == {grant}
    fetched = until(lambda: (one := world.fetch(RESCUE, grant)).status == 200 and one, f"{grant} is issued")
    world.await_use(RESCUE, Session.vended(fetched.body), "allowed")
    early = review(world, answer.body)
    assert (early.status, early.body["code"]) == (409, "not_over"), str(early)
    assert world.release(RESCUE, grant).status in (200, 202)
    return world.await_state(RESCUE, grant, "Ended")


@pytest.fixture(scope="module")
def uses(world: World, begun: dict[str, Future[Any]]) -> Iterator[list[dict[str, Any]]]:
    """All break-glass uses; each is reviewed at the end."""
    made = [begun["test_break_glass"].result()]
    try:
        yield made
    finally:
        for use in made:
            if use["id"] in awaited():
                review(world, use)


@pytest.fixture
def used(world: World, uses: list[dict[str, Any]]) -> dict[str, Any]:
    """A break-glass grant that was used, has ended, and awaits review."""
    if uses[-1]["id"] not in awaited():
        uses.append(begin(world))
    return uses[-1]


def test_ordinary_request_is_denied_until_the_use_is_reviewed(world: World, used: dict[str, Any]) -> None:
    denied = world.ask(ONCALL)
    assert (denied.status, denied.problem) == (403, "denied"), str(denied)
    assert used["id"] in denied.body["detail"], str(denied)
    dry_run = world.api.call("POST", "/v1/evaluations", world.token(ONCALL.identity), ONCALL.body)
    assert (dry_run.status, dry_run.body["determining"]) == (200, ["brevet:review-awaited"]), str(dry_run)


def test_break_glass_is_granted_again_while_a_review_is_awaited(world: World, used: dict[str, Any]) -> None:
    again = world.ask(RESCUE)
    assert again.body["state"] == "Approved", str(again)
    assert world.release(RESCUE, again.body["id"]).status in (200, 202)
    world.await_state(RESCUE, again.body["id"], "Withdrawn")
    # The grant was never used, so there is nothing to review.
    none = review(world, again.body)
    assert (none.status, none.body["code"]) == (409, "nothing_to_review"), str(none)


@pytest.mark.parametrize(
    ("by", "status", "code"),
    [("ana", 403, "not_reviewer"), ("rui", 403, "not_reviewer"), ("dana", 404, "grant_not_found")],
)
def test_only_the_reviewer_may_review(world: World, used: dict[str, Any], by: str, status: int, code: str) -> None:
    answer = review(world, used, by=by)
    assert (answer.status, answer.body["code"]) == (status, code), str(answer)
    assert used["id"] in awaited()


def test_review_is_refused_with_a_request_token_or_another_digest(world: World, used: dict[str, Any]) -> None:
    asking = world.api.review(world.token(REVIEWER), used["id"], used["digest"])
    assert asking.status == 401, str(asking)
    other = review(world, used, digest="0" * 64)
    assert (other.status, other.body["code"]) == (409, "digest_mismatch"), str(other)
    assert used["id"] in awaited()


def test_review_is_recorded_in_evidence_and_frees_the_requester(world: World, used: dict[str, Any]) -> None:
    listed = world.api.reviews(world.vote_token(REVIEWER))
    assert used["id"] in [one["id"] for one in listed.body["reviews"]], str(listed)
    answer = review(world, used)
    assert answer.status == 200, str(answer)
    assert used["id"] not in awaited()
    _, entries = world.api.evidence(world.token(RESCUE.identity), used["id"])
    # Exactly one review entry; rotation entries may come before and after it.
    (reviewed,) = [entry for entry in entries if entry["event"] == "Reviewed"]
    assert reviewed["detail"]["with"]["digest"] == used["digest"]
    # The same review again is accepted; another outcome is refused.
    assert review(world, used).status == 200
    otherwise = review(world, used, outcome="unjustified")
    assert (otherwise.status, otherwise.body["code"]) == (409, "reviewed_already"), str(otherwise)
    free = world.ask(ONCALL)
    assert free.body["state"] == "ApprovalAwaited", str(free)
    world.release(ONCALL, free.body["id"])
