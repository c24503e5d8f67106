"""The sweep: what stands in AWS under this installation's names without a grant goes; and a table that nobody confirmed.

The administrator plays what left it there: an older table, or a hand. Each protection has its control beside it.
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
# Names that are nearly ours.
FOREIGN = (f"brevet-dev-2-{NOBODY}", f"brevet-prod-{NOBODY}", "brevet-dev-nightly", "standing")
ALLOW = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{OUT}/*"}
HARMLESS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{OUT}/none"}


def put(name: str, statement: dict[str, Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam().put_role_policy(RoleName="brevet-dev-swept", PolicyName=name, PolicyDocument=document)


def iam() -> Any:
    return Session.admin().client("iam")


def acts_on(policy: str) -> list[str]:
    """What the findings say was done about a policy, in order."""
    found = store.snapshot().findings
    return [one["act"] for one in found if policy in (one["place"].get("policy_name"), one["place"].get("policy_arn"))]


@contextmanager
def reap_without(sid: str) -> Iterator[None]:
    """Reap's role lacks one statement."""
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
    """How often the reaper was refused what its sweep begins with, since the call of that number."""
    calls = [call for call in gate.log(since, whole_within_s=0) if made_by("reap", call)]
    return sum((call["operation"], call["decision"]) == ("ListRoles", "denied") for call in calls)


def test_a_policy_that_no_grant_explains_goes_and_without_the_sweep_it_stays() -> None:
    task = Session.assumed(f"{ROLES}/brevet-dev-swept", TASK)
    use = lambda: task.put_object(OUT, "stray/part").outcome  # noqa: E731
    try:
        for name in FOREIGN:
            put(name, HARMLESS)
        assert use() == "denied"
        with reap_without("List"):
            put(STRAY, ALLOW)
            # The observer turns red where the protection is gone.
            since = gate.last()
            until(lambda: refused_lists(since) >= 3, "three passes without a sweep")
            assert use() == "allowed" and acts_on(STRAY) == []
        until(lambda: use() == "denied", "the task is denied")
        until(lambda: acts_on(STRAY) == ["removal_recorded", "gone_observed"], "both findings")
        assert standing("swept") == set(FOREIGN), "nothing of another name is touched"
    finally:
        for name in standing("swept"):
            iam().delete_role_policy(RoleName="brevet-dev-swept", PolicyName=name)


def test_what_is_attached_already_is_refused_and_swept(world: World, tasks: Tasks) -> None:
    with runner.left_alone("reap"):
        iam().attach_role_policy(RoleName="brevet-dev-taken", PolicyArn=POLICY)
        hold = tasks.ask("taken")
        view = hold.await_state("Lapsed")
        hold.over = True
        assert "not fit" in view["reason"], view
        _, entries = world.api.evidence(world.token(hold.case.identity), hold.grant)
        refused = next(entry for entry in entries if entry["event"] == "PreflightRefused")
        assert "attached already, and no grant explains it" in json.dumps(refused), refused
        # The control: with nobody to sweep, it stands and allows.
        assert standing("taken") == {POLICY} and hold.use().outcome == "allowed"
    hold.await_use("denied")
    assert standing("taken") == set()
    until(lambda: "gone_observed" in acts_on(POLICY), "the finding")
    # Nobody can attach it until a detaching that is late cannot land any more; then it goes as ever.
    hold = tasks.ask("taken").await_active()
    hold.release()
    hold.ended("released")


@pytest.fixture
def another_table() -> Iterator[None]:
    """The word that stands in the table is about another one, as in a table that was restored."""
    key = {"pk": {"S": "TABLE#confirmed"}, "sk": {"S": "-"}}
    kept = admin().get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]
    word = json.loads(kept["body"]["S"])
    other = {**word, "table": word["table"] + "0"}
    try:
        admin().put_item(TableName=TABLE, Item={**kept, "body": {"S": json.dumps(other)}})
        yield
    finally:
        admin().put_item(TableName=TABLE, Item=kept)


def test_over_a_table_that_nobody_confirmed_nothing_is_issued(world: World, request: pytest.FixtureRequest) -> None:
    grant = world.approved(PIPELINE)
    request.getfixturevalue("another_table")
    answer = world.fetch(PIPELINE, grant)
    assert (answer.status, answer.problem, answer.body["code"]) == (503, "issuing-stopped", "table_not_confirmed"), answer
    assert answer.headers["Retry-After"] == "60"
    assert "AssumeRole" not in [entry["event"] for entry in store.snapshot().evidence[grant]]


def test_over_the_confirmed_one_it_is_again(world: World) -> None:
    grant = world.approved(PIPELINE)
    assert world.fetch(PIPELINE, grant).status == 200
    world.release(PIPELINE, grant)
