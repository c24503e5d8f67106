"""Approval in steps: in their order, each by a different person, with what a step wants its people to have shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observer import runner
from observer.client import Answer
from observer.tokens import Forge
from observer.world import ARCHIVE, World

TEAM, SECURITY = "lea", "omar"
FRESH_S = 3_600
# Long enough for the release to end the grant before its deadline.
TERM_S = 600


@pytest.fixture
def awaited(world: World) -> Iterator[dict[str, Any]]:
    answer = world.ask(ARCHIVE, term_s=TERM_S)
    assert (answer.status, answer.body["state"]) == (202, "ApprovalAwaited"), str(answer)
    try:
        yield answer.body
    finally:
        # A person may have no more than a few at once.
        world.release(ARCHIVE, answer.body["id"])


def approved_by(grant: dict[str, Any]) -> dict[str, list[str]]:
    """The approvers of each step, from the grant's view."""
    return {step["name"]: step["approved_by"] for step in grant["approval"]["steps"]}


def refused(answer: Answer, status: int, code: str, *advice: str) -> None:
    assert (answer.status, answer.body.get("code")) == (status, code), str(answer)
    missing = [words for words in advice if words not in answer.body["detail"]]
    assert not missing, f"{missing} not in {answer.body['detail']}"


def team_approves(world: World, grant: dict[str, Any]) -> dict[str, Any]:
    voted = world.approve(grant, by=TEAM)
    assert (voted.status, voted.body["state"]) == (200, "ApprovalAwaited"), str(voted)
    assert approved_by(voted.body) == {"team": [TEAM], "security": []}
    return voted.body


def test_approval_steps_are_shown_with_their_requirements(awaited: dict[str, Any]) -> None:
    team, security = awaited["approval"]["steps"]
    assert team == {"name": "team", "needed": 1, "approved_by": [], "approvers": [TEAM]}
    assert security == {
        "name": "security", "needed": 1, "approved_by": [], "approvers": [SECURITY], "mfa": True, "auth_within_s": FRESH_S,
    }  # fmt: skip


def test_approval_of_a_later_step_is_refused_until_the_first_is_done(world: World, awaited: dict[str, Any]) -> None:
    early = world.approve(awaited, by=SECURITY, **Forge.signed_in("pwd", "mfa"))
    refused(early, 409, "step_not_open", "step `team` comes first and still needs 1 more", "vote in step `security`")
    assert approved_by(world.show(ARCHIVE, awaited["id"])) == {"team": [], "security": []}
    # A refusal needs no order: an approver of a later step may refuse at once.
    assert world.approve(awaited, by=SECURITY, approve=False).body["state"] == "Denied"


def test_security_step_requires_two_factors_and_a_recent_sign_in(world: World, awaited: dict[str, Any]) -> None:
    team_approves(world, awaited)
    for claims in ({}, Forge.signed_in("pwd"), Forge.signed_in(), {"amr": "mfa"}, {"amr": ["mfa", 7]}, {"acr": "mfa"}):
        answer = world.approve(awaited, by=SECURITY, **claims)
        refused(answer, 403, "mfa_needed", "step `security`", "sign in again with a second factor")
    old = world.approve(awaited, by=SECURITY, **Forge.signed_in("mfa", ago_s=FRESH_S + 60))
    refused(old, 403, "sign_in_too_old", f"at most {FRESH_S} s ago", "shows one 3", "sign in again")
    # A missing `auth_time`, one in the future, or one in another form does not count as a sign-in.
    for time in (None, Forge.signed_in(ago_s=-600)["auth_time"], "now"):
        answer = world.approve(awaited, by=SECURITY, amr=["mfa"], auth_time=time)
        refused(answer, 403, "sign_in_too_old", "does not show when", "sign in again")
    assert approved_by(world.show(ARCHIVE, awaited["id"])) == {"team": [TEAM], "security": []}
    early = world.fetch(ARCHIVE, awaited["id"])
    assert (early.status, early.problem) == (409, "conflict"), str(early)


def test_grant_is_approved_by_both_steps_and_records_each_sign_in(world: World, awaited: dict[str, Any]) -> None:
    grant = awaited["id"]
    team_approves(world, awaited)
    how = Forge.signed_in("pwd", "mfa", ago_s=FRESH_S - 60)
    voted = world.approve(awaited, by=SECURITY, **how)
    assert (voted.status, voted.body["state"]) == (200, "Approved"), str(voted)
    session = world.session(ARCHIVE, grant)
    assert ARCHIVE.use(session).outcome == "allowed"
    assert ARCHIVE.use_neighbour(session).outcome == "denied"

    _, chain = world.api.evidence(world.token(ARCHIVE.identity), grant)
    votes = [entry for entry in chain if entry["event"] == "ApprovalGiven"]
    assert [(one["by"], one["detail"]["with"]["by"]) for one in votes] == [("evaluate", TEAM), ("evaluate", SECURITY)]
    first, second = (one["detail"]["with"]["proof"] for one in votes)
    assert "auth" not in first
    assert (second["auth"]["mfa"], second["auth"]["amr"]) == (True, ["pwd", "mfa"])
    assert "auth_time" in second["auth"]

    assert world.release(ARCHIVE, grant).status == 202
    view = world.await_state(ARCHIVE, grant, "Ended")
    assert (view["end"]["cause"], view["end"]["proof"]["kind"]) == ("released", "observed")
    assert ARCHIVE.use(session).outcome == "denied"


@pytest.fixture
def in_both_steps(world: World, catalogue: Path, tmp_path: Path) -> Iterator[None]:
    """A catalogue in which the team's approver may also approve the step `security`."""
    both = tmp_path / "catalogue"
    shutil.copytree(catalogue, both)
    file = both / "entitlements" / f"{ARCHIVE.body['entitlement']}.yaml"
    before = file.read_text()
    file.write_text(before.replace("of: [security]", "of: [platform-leads, security]"))
    assert file.read_text() != before
    try:
        runner.stack("publish", str(both))
        yield
    finally:
        runner.stack("publish", str(catalogue))


def test_approver_counts_in_one_step_only(world: World, in_both_steps: None, awaited: dict[str, Any]) -> None:
    security = awaited["approval"]["steps"][1]
    assert security["approvers"] == [TEAM, SECURITY]
    team_approves(world, awaited)
    again = world.approve(awaited, by=TEAM, **Forge.signed_in("mfa"))
    assert (again.status, again.body["state"]) == (200, "ApprovalAwaited"), str(again)
    assert approved_by(again.body) == {"team": [TEAM], "security": []}
    assert world.approve(awaited, by=SECURITY, **Forge.signed_in("mfa")).body["state"] == "Approved"
