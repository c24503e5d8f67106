"""The sweep removes policies under our names that no grant explains; with an unconfirmed table nothing is issued.

The administrator attaches the unexplained policies, as a lost table or a manual change would. Each protection has its
control beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from observer import gate, runner, store
from observer.aws import Session
from observer.calllog import made_by
from observer.patience import until
from observer.store import TABLE, admin
from observer.world import PIPELINE, World

from attachments import OUT, POLICY, ROLES, TASK, Tasks, standing

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
STRAY = f"brevet-dev-{NOBODY}"
# Names that resemble ours but belong to others.
FOREIGN = (f"brevet-dev-2-{NOBODY}", f"brevet-prod-{NOBODY}", "brevet-dev-nightly", "standing")
ALLOW = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{OUT}/*"}
HARMLESS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{OUT}/none"}


def put(name: str, statement: dict[str, Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam().put_role_policy(RoleName="brevet-dev-swept", PolicyName=name, PolicyDocument=document)


def iam() -> Any:
    return Session.admin().client("iam")


def acts_on(policy: str) -> list[str]:
    """The recorded acts of the findings about a policy, in order."""
    found = store.snapshot().findings
    return [one["action"] for one in found if policy in (one["target"].get("policy_name"), one["target"].get("policy_arn"))]


@contextmanager
def reap_without(sid: str) -> Iterator[None]:
    """In the block reap's role lacks one statement."""
    held = {"RoleName": "brevet-dev-reap", "PolicyName": "attachments"}
    kept = iam().get_role_policy(**held)["PolicyDocument"]
    rest = {**kept, "Statement": [one for one in kept["Statement"] if one["Sid"] != sid]}
    try:
        iam().put_role_policy(**held, PolicyDocument=json.dumps(rest))
        # A pass that was under way may have listed the roles already.
        with runner.left_alone("reap"):
            pass
        yield
    finally:
        iam().put_role_policy(**held, PolicyDocument=json.dumps(kept))


def refused_lists(since: int) -> int:
    """The number of denied `ListRoles` calls of the reaper (the sweep's first call) since call number `since`."""
    calls = [call for call in gate.log(since, whole_within_s=0) if made_by("reap", call)]
    return sum((call["operation"], call["decision"]) == ("ListRoles", "denied") for call in calls)


def test_sweep_removes_a_policy_that_no_grant_explains() -> None:
    task = Session.assumed(f"{ROLES}/brevet-dev-swept", TASK)
    use = lambda: task.put_object(OUT, "stray/part").outcome  # noqa: E731
    try:
        for name in FOREIGN:
            put(name, HARMLESS)
        assert use() == "denied"
        with reap_without("List"):
            put(STRAY, ALLOW)
            # The control: without the sweep the policy stays and the access is allowed.
            since = gate.last()
            until(lambda: refused_lists(since) >= 3, "three passes without a sweep")
            assert use() == "allowed" and acts_on(STRAY) == []
        until(lambda: use() == "denied", "the task is denied")
        until(lambda: acts_on(STRAY) == ["removal_recorded", "gone_observed"], "both findings")
        assert standing("swept") == set(FOREIGN), "the sweep must not touch policies with other names"
    finally:
        for name in standing("swept"):
            iam().delete_role_policy(RoleName="brevet-dev-swept", PolicyName=name)


def test_sweep_removes_an_unexplained_managed_policy_that_preflight_refused(world: World, tasks: Tasks) -> None:
    with runner.left_alone("reap"):
        iam().attach_role_policy(RoleName="brevet-dev-taken", PolicyArn=POLICY)
        hold = tasks.ask("taken")
        view = hold.await_state("Lapsed")
        hold.over = True
        assert "preflight" in view["reason"], view
        _, entries = world.api.evidence(world.token(hold.case.identity), hold.grant)
        refused = next(entry for entry in entries if entry["event"] == "PreflightRefused")
        assert "already attached, and no grant explains it" in json.dumps(refused), refused
        # The control: without a sweep the policy stays attached and allows the call.
        assert standing("taken") == {POLICY} and hold.use().outcome == "allowed"
    hold.await_use("denied")
    assert standing("taken") == set()
    until(lambda: "gone_observed" in acts_on(POLICY), "the finding")
    # A new attachment waits until a late detach can no longer land; then it works as usual.
    hold = tasks.ask("taken").await_active()
    hold.release()
    hold.ended("released")


@pytest.fixture
def another_table() -> Iterator[None]:
    """The confirmation item names another table, as in a restored table."""
    key = {"pk": {"S": "TABLE#confirmed"}, "sk": {"S": "-"}}
    kept = admin().get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]
    confirmation = json.loads(kept["body"]["S"])
    other = {**confirmation, "table": confirmation["table"] + "0"}
    try:
        admin().put_item(TableName=TABLE, Item={**kept, "body": {"S": json.dumps(other)}})
        yield
    finally:
        admin().put_item(TableName=TABLE, Item=kept)


def test_issuing_stops_when_the_table_is_not_confirmed(world: World, request: pytest.FixtureRequest) -> None:
    grant = world.approved(PIPELINE)
    request.getfixturevalue("another_table")
    answer = world.fetch(PIPELINE, grant)
    assert (answer.status, answer.problem, answer.body["code"]) == (503, "issuing-stopped", "table_not_confirmed"), answer
    assert answer.headers["Retry-After"] == "60"
    assert "AssumeRole" not in [entry["event"] for entry in store.snapshot().evidence[grant]]


def test_issuing_works_with_the_confirmed_table(world: World) -> None:
    grant = world.approved(PIPELINE)
    assert world.fetch(PIPELINE, grant).status == 200
    world.release(PIPELINE, grant)
